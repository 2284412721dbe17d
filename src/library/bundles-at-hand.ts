// The bundles that the settings name, as they can be had with no node running: those of services as the store kept them.
import type { Config } from "../node/config/config.ts";
import { bundleSources } from "../node/config/options.ts";
import type { BundleTerms } from "../policies/choose.ts";
import { lastBundle } from "../policies/records.ts";
import { isPolled } from "../policies/source.ts";
import { holdsStore, openReader, type StoreAt } from "../store/open.ts";
import { readableAt } from "../store/shared.ts";

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
    bytes: isPolled(source) ? () => kept(readableAt(config.dataDir, config.store), source.name) : source.bytes,
  }));
}

async function kept(at: StoreAt, name: string): Promise<Uint8Array | undefined> {
  if (!(await holdsStore(at))) return undefined;
  await using store = await openReader(at);
  return await lastBundle(store, name);
}
