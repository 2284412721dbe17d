// Where a node's policies come from: bytes at hand, a file among them, or a service that is polled.
import type { BundleTerms } from "./choose.ts";

/** A bundle whose bytes are there for the asking. */
export interface BundleSource extends BundleTerms {
  /** As it stands under `bundles`; undefined: the one that comes with Railgate, or a host's own. */
  readonly name?: string | undefined;
  /** Whatever it throws counts as a bundle that cannot be read. */
  readonly bytes: () => Uint8Array;
}

/** How often a service is asked, as OPA's `polling` says it. */
export interface Polling {
  readonly minDelayS: number;
  readonly maxDelayS: number;
  /** How long the service may hold a request open; undefined: not at all. */
  readonly longPollingTimeoutS?: number | undefined;
}

/** A bundle that a service has, asked for again and again. */
export interface PolledBundle extends BundleTerms {
  readonly name: string;
  /** By its name under `services`. */
  readonly service: string;
  /** Path on the service. */
  readonly resource: string;
  readonly polling: Polling;
}

export type ConfiguredSource = (BundleSource & { readonly name: string }) | PolledBundle;

export const isPolled = (source: BundleSource | PolledBundle): source is PolledBundle => "service" in source;
