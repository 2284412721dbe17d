// The evidence profiles as data: what each demands of events, and which kinds of artifacts (spec evidence §6).

/** Members that every event of an export must have. Source: spec evidence §1. */
export const BASELINE_FIELDS = [
  "id",
  "event_type",
  "occurred_at",
  "tenant_id",
  "actor",
  "correlation_id",
  "outcome",
  "evidence_profile_id",
  "hash_profile_id",
  "evidence_pointer",
  "policy_snapshot_id",
  "authority_snapshot_id",
] as const;

/** Members that place an event in its stream. */
export const CHAIN_FIELDS = ["chain_id", "sequence", "prev_hash", "event_hash"] as const;

export interface ProfileDemands {
  /** Kinds under `manifest.artifacts` that must not be empty, beside what the events themselves point to. */
  readonly artifacts: readonly string[];
  /** Whether events must be chained. */
  readonly chained: boolean;
}

const CUSTODY = ["authority", "key_custody"];

/** Each demands what the ones before it demand, and more. */
export const PROFILES: { readonly [profile: string]: ProfileDemands | undefined } = {
  __proto__: null as never,
  "ecs-evidence-baseline": { artifacts: [], chained: false },
  "ecs-evidence-admissible": { artifacts: [], chained: true },
  "ecs-evidence-ncp": { artifacts: CUSTODY, chained: true },
  "ecs-evidence-regulated-ml": {
    artifacts: [...CUSTODY, "data_use_posture", "dataset_manifest", "model_provenance"],
    chained: true,
  },
};

/** Raised when the layout, or what a profile demands, changes. */
export const PROFILE_VERSION = "1";
export const SCHEMA_VERSION = "ecs-evidence-export-v2";
/** Before the ECS contracts' published rules were part of the format. */
export const SCHEMA_VERSION_1 = "ecs-evidence-export-v1";

/** What `verifier-inputs.json` says of the methods, and what is applied here. */
export const METHODS = {
  event_hash_method: "sha256-rfc8785-without-event_hash",
  segment_hash_method: "rfc6962-merkle-root-over-raw-event-hashes",
  bundle_hash_method: "rfc6962-merkle-root-over-raw-event-hashes",
} as const;
