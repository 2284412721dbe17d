// A place for one bundle, by its name: what is active there, where it comes from, and how that goes.
import type { BundleError } from "../core/errors.ts";
import type { Policy } from "../policy/policy.ts";
import type { BundleTerms } from "./choose.ts";
import { isPolled, type BundleSource, type PolledBundle } from "./source.ts";

/** A policy that decides, and when its source last confirmed it (null: it has no remote source, so no age). */
export interface ActiveBundle {
  /** null: it comes with Railgate, or is a host's own. */
  readonly name: string | null;
  readonly policy: Policy;
  readonly confirmedAtMs: number | null;
}

/** What came of the latest attempts to get a bundle; times in milliseconds since the epoch. */
export interface SourceFigures {
  readonly requestedMs?: number;
  readonly answeredMs?: number;
  readonly downloadedMs?: number;
  readonly activatedMs?: number;
  /** Of the last bundle that came. */
  readonly bytes?: number;
  /** Why the last attempt failed; undefined where it did not. */
  readonly problem?:
    | { readonly code: string; readonly message: string; readonly httpStatus?: number | undefined }
    | undefined;
}

export class Slot {
  readonly name: string | null;
  /** null: settings no longer name it. */
  readonly source: BundleSource | PolledBundle | null;
  readonly terms: BundleTerms;
  policy: Policy | null = null;
  confirmedAtMs: number | null = null;
  /** Of what the source last offered while an operator's choice was active over it. */
  over: string | null | undefined;
  /** Why none is active, or why the last one that was offered was not taken. */
  rejected: BundleError | undefined;
  /** What was last put on record as refused: once is enough, until it changes. */
  recorded: string | undefined;
  /** What another node of the same store has activated, and cannot be used here. */
  unusable: string | undefined;
  figures: SourceFigures = {};

  constructor(name: string | null, source: BundleSource | PolledBundle | null, terms: BundleTerms) {
    this.name = name;
    this.source = source;
    this.terms = terms;
  }

  get active(): ActiveBundle | undefined {
    const { name, policy, confirmedAtMs } = this;
    return policy === null ? undefined : { name, policy, confirmedAtMs };
  }

  get polled(): PolledBundle | undefined {
    return this.source !== null && isPolled(this.source) ? this.source : undefined;
  }

  /** Why nothing decides here; undefined where something does. */
  get problem(): string | undefined {
    if (this.policy !== null) return undefined;
    if (this.rejected !== undefined) return this.rejected.message;
    return `the bundle ${this.name ?? ""} has not come yet`;
  }
}
