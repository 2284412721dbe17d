// What a node is opened with, and what it tells whoever opened it.
import { readFileSync } from "node:fs";
import type { PolicyDecision } from "../core/schema/decision.ts";
import type { Context } from "../core/schema/input.ts";
import type { KeySource } from "../evidence/keys/keys.ts";
import type { BatchFigures } from "../evidence/ledger/ledger.ts";
import type { WitnessedLog } from "../evidence/log/witness.ts";
import type { KnownNode } from "../evidence/upstream/key-ring.ts";
import type { BundleSource, ConfiguredSource } from "../policies/source.ts";
import type { ServiceAccess } from "../outbound/access.ts";
import type { BundleKeys } from "../policy/policy.ts";
import type { GivenSettings } from "./settings.ts";
import type { SharedStore } from "../store/shared.ts";
import type { TrustConfig } from "../trust/trust.ts";
import type { PartitionTimes } from "./partition.ts";
import type { DecisionLogOptions, StatusOptions } from "./report-options.ts";
import type { Retention } from "./retention.ts";
import type { UpstreamOptions } from "./upstreaming.ts";

/** What operators measure and are told; every member is optional. */
export interface NodeObserver {
  evaluated?(ms: number): void;
  decided?(decision: PolicyDecision): void;
  /** A lifecycle or mesh command, by the entrypoint that judged it; `code` null where it was accepted. */
  commanded?(law: string, code: string | null): void;
  /** An evaluation; `result`: `defined`, `undefined` or `error`. */
  answered?(entrypoint: string, result: string): void;
  /** The cause of a POL-01 or POL-03, which the caller finds in the artifact. */
  policyFailed?(problem: string, eventId: string): void;
  /** A bundle was offered and not taken: nothing is active, or what was active before stays. */
  policyRejected?(problem: string): void;
  /** A bundle was taken that should be another: its order cannot be told from the one before, or it lacks an entrypoint that is asked. */
  policyWarned?(problem: string): void;
  /** A bundle could not be fetched; it is tried again. Told once, until it could. */
  bundleFailed?(problem: string): void;
  /** Decisions or status could not be reported, told once until they could; or a decision was reported without all of it. */
  reportFailed?(problem: string): void;
  /** A policy decided beside the active one: as it did, otherwise, or not at all because too many waited. */
  shadowed?(outcome: string): void;
  committed?(figures: BatchFigures): void;
  /** What several replicas command at once was locked for a turn of this one, for so long. */
  turned?(ms: number): void;
  /** So many commands wait for a turn now. */
  turnsWaiting?(commands: number): void;
  /** Commands of one call had their turn, after so long. */
  turnWaited?(ms: number): void;
  /** Decisions were lost to a store that could not be written; their callers were told EVI-01. */
  evidenceFailed?(message: string): void;
  /** Checkpoints that were due could not be made; decisions go on, and it is tried again. */
  checkpointFailed?(message: string): void;
  /** The clock is behind the last event, or behind what it said before; what is recorded now bears its time all the same. */
  clockSetBack?(behindMs: number, latest: string): void;
}

export interface NodeOptions {
  readonly dataDir: string;
  /** A database that other nodes use as well; default: one in the data directory. */
  readonly store?: SharedStore | undefined;
  /** Default: the prebuilt bundle that comes with Railgate. */
  readonly bundle?: BundleSource | undefined;
  /** In place of `bundle`: several, each by its name, about disjoint parts of `data`. */
  readonly bundles?: readonly ConfiguredSource[] | undefined;
  /**
   * Laid over the settings of the policy, as a JSON Merge Patch (RFC 7396): the path of a JSON or YAML file or of a signed
   * bundle of data, its bytes, or the settings themselves. Part of what pins each decision.
   */
  readonly settings?: GivenSettings | undefined;
  /** Who may have signed those, where they come as a bundle. Default: the keys of `bundle`. */
  readonly settingsKeys?: BundleKeys | undefined;
  /** Keys that may sign the policies that operators submit, beside those of the bundles' own. */
  readonly bundleKeys?: BundleKeys | undefined;
  /** Servers that bundles come from and that reports go to, by name. */
  readonly services?: { readonly [name: string]: ServiceAccess } | undefined;
  /** Default: made at first start and kept. */
  readonly nodeId?: string | undefined;
  readonly trust?: TrustConfig | undefined;
  readonly evidenceProfileId?: string | undefined;
  /** Names this node's logs: the origin of a stream's is `<logOrigin>/<chain_id>`. Default: `railgate.local/<node id>`. */
  readonly logOrigin?: string | undefined;
  /** Default: the node makes its event key at first start, and keeps it in the data directory. */
  readonly eventKey?: KeySource | undefined;
  /** Where signed checkpoints are kept outside the database. Default: `checkpoints` in the data directory. */
  readonly checkpointDir?: string | undefined;
  /** Logs of others that this node cosigns; default: none. `name`: what it cosigns as, default `railgate.local/<node id>/witness`. */
  readonly witness?: { readonly name?: string | undefined; readonly logs: readonly WitnessedLog[] } | undefined;
  /** How long inputs and decisions are kept; default: for ever. */
  readonly retention?: Retention | undefined;
  /** Longest evaluation, in milliseconds of the processor (POL-03). */
  readonly evaluationMsMax?: number | undefined;
  /** Events that may wait to be recorded. */
  readonly queueMax?: number | undefined;
  /** Whether this node is cut off; asked at each decision. Default: what it finds out, and is told. */
  readonly partition?: (() => Context["partition"]) | undefined;
  /** Where this node's records are sent; default: nowhere. */
  readonly upstream?: UpstreamOptions | undefined;
  /** Words that describe this node, in what it reports. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Where decisions are reported, in OPA's format; default: nowhere. */
  readonly decisionLogs?: DecisionLogOptions | undefined;
  /** Where it is reported how this node is, in OPA's format; default: nowhere. */
  readonly status?: StatusOptions | undefined;
  /** Other nodes whose records may be sent here. Those not among them are believed on first use, and only by who may open a connection to loopback. */
  readonly downstream?: readonly KnownNode[] | undefined;
  /** How soon a source that fails or answers counts as lost or back. */
  readonly partitionTimes?: Partial<PartitionTimes> | undefined;
  /** Why the data directory is a restored copy: the node goes on under another id, with new keys, and its old streams are only read. */
  readonly afterRestore?: string | undefined;
  /** Whether other threads of this process will decide, too, see `attach`. Default: no. */
  readonly threads?: boolean | undefined;
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined;
  readonly observe?: NodeObserver | undefined;
}

/** Keys and bundle that come with Railgate, beside `src/` and `dist/` alike. */
export const DEFAULT_BUNDLE: BundleSource = {
  bytes: () => readFileSync(new URL("../../bundles/railgate.tar.gz", import.meta.url)),
  get keys() {
    return JSON.parse(readFileSync(new URL("../../bundles/railgate.jwks.json", import.meta.url), "utf8")) as BundleKeys;
  },
};

export const VERSION = (
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }
).version;
