// What settings are once they are read: names as the code has them, paths absolute, every default in its place.
import type { SharedStore } from "../../store/shared.ts";
import type { ATTESTATION_FORMATS } from "../../core/schema/input.ts";
import type { Identity } from "../../trust/provenance/identity.ts";
import type { ServiceAccess } from "../../outbound/access.ts";
import type { KEY_ALGORITHMS, LOG_LEVELS, SUBJECT_FIELDS } from "../../core/schema/config.ts";
import type { EVIDENCE_PROFILES } from "../../core/schema/limits.ts";

export type Environment = Readonly<Record<string, string | undefined>>;
/** Flags by their name in camelCase, as the command line hands them over: `listen`, `dataDir`, … */
/** Flags that stand before a variable and a setting of the file. */
export type SettingFlag =
  | "dataDir"
  | "listen"
  | "logLevel"
  | "nodeId"
  | "settings"
  | "upstreamUrl"
  | "tlsCert"
  | "tlsKey";
/** Flags that stand before a variable. */
export type ServerFlag = "url" | "tokenFile" | "ca" | "cert" | "key";
export type Flags = { readonly [name in SettingFlag | ServerFlag | "configFile"]?: string | undefined };
export type LogLevel = (typeof LOG_LEVELS)[number];
export type EvidenceProfileId = (typeof EVIDENCE_PROFILES)[number];
/** Public keys, checked: no private and no symmetric ones, each usable. */
export type Jwks = { readonly keys: readonly Readonly<Record<string, unknown>>[] };

/** Keys of an issuer; `jwksFile`: where they come from, if from a file. */
type Pinned = { readonly issuer: string; readonly jwks: Jwks; readonly jwksFile?: string };

export type ConfiguredBundle = {
  readonly name: string;
  readonly from:
    | { readonly kind: "file"; readonly path: string }
    | { readonly kind: "service"; readonly service: string; readonly resource: string };
  /** What the signature must satisfy; there is no turning it off. */
  readonly signing: { readonly keyid?: string; readonly scope?: string; readonly excludeFiles: readonly string[] };
  readonly persist: boolean;
  readonly sizeLimitBytes: number;
  readonly polling: { readonly minDelayS: number; readonly maxDelayS: number; readonly longPollingTimeoutS?: number };
};

/** A public key that bundles are verified with: SPKI in PEM. Keys for HS algorithms are left out. */
export type BundleKey = {
  readonly key: string;
  readonly algorithm: (typeof KEY_ALGORITHMS)[number];
  readonly scope?: string;
};

export type Reporting = {
  readonly service?: string;
  readonly resource: string;
  readonly console: boolean;
  readonly minDelayS: number;
  readonly maxDelayS: number;
  readonly uploadSizeLimitBytes: number;
  readonly immediate?: boolean;
};

export type Config = {
  /** The file that was read, or null: defaults alone. */
  readonly file: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly services: Readonly<Record<string, ServiceAccess>>;
  /** With none, the bundle that comes with Railgate is used. */
  readonly bundles: Readonly<Record<string, ConfiguredBundle>>;
  readonly keys: Readonly<Record<string, BundleKey>>;
  readonly decisionLogs?: Reporting;
  readonly status?: Pick<Reporting, "service" | "resource" | "console">;
  /** A file, laid over the settings of the policy. */
  readonly settings?: string;
  readonly defaultDecision: string;
  readonly dataDir: string;
  /** A database that several nodes share. */
  readonly store?: SharedStore;
  readonly listen: Address;
  /** How many threads listen and decide; 1: the main one. */
  readonly threads: number;
  /** Undefined: nowhere. */
  readonly diagnostics?: { readonly listen: Address };
  readonly logLevel: LogLevel;
  /** Undefined: made at first start and kept in the data directory. */
  readonly nodeId?: string;
  /** Where records are sent. */
  readonly upstream?: { readonly access: ServiceAccess; readonly heartbeatMs?: number };
  readonly partition: {
    readonly lostAfterMs?: number;
    readonly settledAfterMs?: number;
    readonly reconciledForMs?: number;
  };
  /** Nodes whose records may be sent here. */
  readonly downstream: readonly {
    readonly nodeId: string;
    readonly keys?: Jwks["keys"];
    readonly via: readonly string[];
  }[];
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string };
  readonly behindProxy: boolean;
  readonly authentication?: {
    readonly jwt?: {
      readonly jwks: Jwks;
      /** Where they come from, if from a file. */
      readonly jwksFile?: string;
      readonly issuer: string;
      readonly audience: string;
      readonly tenantClaim: string;
      readonly operatorClaim: string;
    };
    readonly mtls?: { readonly tenantFrom: (typeof SUBJECT_FIELDS)[number] };
  };
  readonly trust: {
    readonly authorities: readonly (Pinned & { readonly root: boolean })[];
    readonly attesters: readonly Attester[];
    readonly provenance?: {
      /** Files. */
      readonly trustedRoot: string;
      readonly keys: readonly { readonly id: string; readonly file: string }[];
      readonly identities: readonly Identity[];
      readonly store: boolean;
    };
  };
  readonly evidence: {
    readonly profile: EvidenceProfileId;
    /** Undefined: named after the node. */
    readonly logOrigin?: string;
    /** Undefined: inside the data directory. */
    readonly checkpointDir?: string;
    /** Where the event key comes from; undefined: the node makes its own. `read` gives the key's text, and is no data, so that it is never written anywhere. */
    readonly eventKey?: EventKeySource;
    /** How long inputs and decisions are kept, in seconds, by evidence profile; undefined: for ever. */
    readonly retention?: { readonly artifacts: Readonly<Record<string, number>> };
    /** Files by kind of artifact, which exports bring along. */
    readonly artifacts: Readonly<Record<string, readonly string[]>>;
  };
  /** Logs that are witnessed; undefined: none, and there is no witness. */
  readonly witness?: {
    readonly name?: string;
    readonly logs: readonly { readonly origin: string; readonly vkey: string }[];
  };
  /** Undefined: nothing answers AuthZEN's API. */
  readonly authzen?: { readonly entrypoint: string };
  /** The cluster that is watched; undefined: none. */
  readonly kubernetes?: { readonly inCluster: boolean; readonly kubeconfig?: string; readonly context?: string };
  readonly limits: {
    readonly bodyBytesMax: number;
    readonly batchItemsMax: number;
    readonly queueMax: number;
    readonly evaluationMsMax: number;
  };
  /** A running node that commands ask in place of the data directory. */
  readonly server?: { readonly url: string };
  /** What a running node is shown, and whom it must be vouched for by: paths. */
  readonly credentials: {
    readonly tokenFile?: string;
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
  };
  /** What was accepted and does nothing here, one line each: settings of OPA's, keys for other ends. */
  readonly warnings: readonly string[];
  /** What was accepted and exposes something. */
  readonly exposed: readonly { readonly message: string; readonly cure: string }[];
};

/** With `x5cRoots` alone it has no keys. */
interface Attester extends Pinned {
  readonly format?: (typeof ATTESTATION_FORMATS)[number];
  readonly audience?: string;
  /** PEM, and the file that it is from. */
  readonly x5cRoots?: string;
  readonly x5cRootsFile?: string;
  readonly policies?: readonly string[];
  readonly maxAgeS?: number;
}

/** Exactly one place; `name` says which, for messages. */
export type EventKeySource = { readonly name: string } & (
  | { readonly directory: string }
  | { readonly read: () => string }
);

export type Address = { readonly host: string; readonly port: number; readonly loopback: boolean };
