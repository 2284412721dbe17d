// The settings that an operator lays over the policy's own: where they come from, and that a node does not start with bad ones.
import { readFileSync } from "node:fs";
import { BundleError, ConfigError } from "../core/errors.ts";
import { readSignedOverlay, type BundleKeys } from "../policy/policy.ts";
import type { SettingsSource } from "../policies/choose.ts";

/** A file's path, a file's or bundle's bytes, or the settings themselves. */
export type GivenSettings = string | Uint8Array | { readonly [name: string]: unknown };

/** @param keys that may have signed them, where they come as a bundle. @returns undefined where there are none. */
export function settingsSource(given: GivenSettings | undefined, keys: BundleKeys): SettingsSource | undefined {
  if (given === undefined) return undefined;
  if (typeof given === "string") return { bytes: () => readFileSync(given), keys };
  const bytes = given instanceof Uint8Array ? given : new TextEncoder().encode(JSON.stringify(given));
  return { bytes: () => bytes, keys };
}

/**
 * Makes sure of settings before anything is decided with them.
 * @param name what whoever gave them calls them. @throws ConfigError naming the pointer at fault, and what must be there.
 */
export async function checkSettingsSource(
  { bytes, keys }: SettingsSource,
  name: string,
  given: GivenSettings | undefined,
): Promise<void> {
  let read: Uint8Array;
  try {
    read = bytes();
  } catch (cause) {
    throw new ConfigError(name, `can't read ${String(given)} (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
  try {
    await readSignedOverlay(read, keys);
  } catch (cause) {
    if (!(cause instanceof BundleError)) throw cause;
    throw settingsError(name, given, cause);
  }
}

/** What is wrong with settings, of the file that they are in. @param name as above. */
export function settingsError(name: string, given: GivenSettings | undefined, cause: BundleError): ConfigError {
  const place = typeof given === "string" ? `${given}: ` : "";
  return new ConfigError(name, `${place}${cause.message}`, { cause });
}
