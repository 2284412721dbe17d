// The bundles that the settings name, as they can be had with no node running: those of services as the store kept them.
import type { Config } from "../node/config/config.ts";
import { bundleSources } from "../node/config/options.ts";
import type { BundleTerms } from "../policies/choose.ts";
import { lastBundle } from "../policies/records.ts";
import { isPolled } from "../policies/source.ts";
import { openReader, storeExists } from "../store/open.ts";

export interface BundleAtHand {
  readonly name: string | null;
  readonly terms: BundleTerms;
  /** undefined: its service was never reached. Throws where it cannot be read. */
  readonly bytes: () => Uint8Array | undefined | Promise<Uint8Array | undefined>;
}

/** @throws ConfigError for a setting that asks for what can't be done. */
export function bundlesAtHand(config: Config): BundleAtHand[] {
  return bundleSources(config).map((source) => ({
    name: source.name ?? null,
    terms: source,
    bytes: isPolled(source) ? () => kept(config.dataDir, source.name) : source.bytes,
  }));
}

async function kept(dataDir: string, name: string): Promise<Uint8Array | undefined> {
  if (!storeExists(dataDir)) return undefined;
  await using store = await openReader(dataDir);
  return await lastBundle(store, name);
}
