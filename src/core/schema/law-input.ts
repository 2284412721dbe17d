// The input documents of the lifecycle, the mesh and the reconciliation law, as `opa check` is told of them; admission's is in input.ts.
import Type from "typebox";
import {
  closed,
  Count,
  EnvelopeKind,
  EpochMs,
  Identifier,
  Level,
  nullable,
  oneOf,
  optional,
  OUTCOMES,
  Time,
  TRANSITIONS,
  WORKLOAD_STATES,
} from "./base.ts";
import { AttestationFact, Context, PlacedFact } from "./input.ts";
import { ElevationPolicy, Rail } from "./mesh.ts";
import { Attestation } from "./request.ts";

const LifecycleRequest = Type.Union([
  closed({ command: oneOf(["transition"]), workload_id: Identifier, transition: oneOf(TRANSITIONS) }),
  closed({ command: oneOf(["attest"]), workload_id: Identifier, attestation: Attestation }),
  closed({ command: oneOf(["deadline"]), workload_id: Identifier }),
]);

const LifecycleWorkload = closed({
  state: oneOf(WORKLOAD_STATES),
  envelope_kind: EnvelopeKind,
  platform: nullable(Type.String()),
  governance_profile: nullable(Type.String()),
  crp: Type.Boolean(),
  valid_until_ms: nullable(EpochMs),
  attestation: nullable(closed({ measured_at_ms: nullable(EpochMs), standing: oneOf(["passed", "failed"]) })),
  /** Of the newest attestation that passed; like `used_tokens` absent in inputs of 0.1 and taken for none. */
  measured_at_ms: optional(nullable(EpochMs)),
  used_tokens: optional(Type.Array(Type.String())),
  least_level: Level,
  reattestation: nullable(closed({ by_ms: EpochMs, missed: Type.Boolean() })),
});

const LifecycleFacts = closed({
  now_ms: EpochMs,
  workload: nullable(LifecycleWorkload),
  attestation: nullable(AttestationFact),
  /** Of an attestation: whose workload it is, and what was declared of it when it was admitted. */
  bound: optional(
    closed({ tenant_id: Identifier, init_data_digest: nullable(Type.String()), images: Type.Array(Type.String()) }),
  ),
  reattestation: nullable(closed({ interval_s: Type.Number(), by: Time })),
  placements: optional(Type.Array(PlacedFact)),
});

/** The input of `railgate/lifecycle/decision`. */
export const LifecycleInputSchema = closed({ request: LifecycleRequest, facts: LifecycleFacts, context: Context });

const MeshRequest = Type.Union([
  closed({ command: oneOf(["reload"]), mesh_id: Identifier, rails: Type.Array(Type.Unknown()) }),
  closed({
    command: oneOf(["place"]),
    mesh_id: Identifier,
    workload_id: Identifier,
    rail_id: Identifier,
    policy: ElevationPolicy,
  }),
  closed({ command: oneOf(["elevate"]), mesh_id: Identifier, workload_id: Identifier, target_rail_id: Identifier }),
  closed({ command: oneOf(["remove"]), mesh_id: Identifier, workload_id: Identifier }),
]);

const PlacementFact = closed({ workload_id: Identifier, rail_id: Identifier, level: Level, policy: ElevationPolicy });
const AdmissionFact = closed({
  least_level: Level,
  crp: Type.Boolean(),
  governance_profile: nullable(Type.String()),
});
const OccupiedRail = closed({
  rail_id: Identifier,
  level: Level,
  active_count: Count,
  least_budget_us: nullable(Count),
});

/** The slice of the mesh that a command is about: all that any command's has. */
const MeshFacts = Type.Union([
  closed({ occupied: Type.Array(OccupiedRail) }),
  closed({
    rail: nullable(closed({ ...Rail.properties, active_count: Count })),
    placement: nullable(PlacementFact),
    departed_level: nullable(Level),
    admission: nullable(AdmissionFact),
  }),
]);

/** The input of `railgate/mesh/decision`. */
export const MeshInputSchema = closed({ request: MeshRequest, facts: MeshFacts, context: Context });

const ReconciliationRequest = Type.Union([
  closed({ command: oneOf(["reconcile"]), chain_id: Type.String(), from_sequence: Count, to_sequence: Count }),
  closed({
    command: oneOf(["supersede"]),
    workload_id: Identifier,
    decisions: Type.Array(
      Type.Object({
        node_id: Identifier,
        event_id: Type.String(),
        at: Time,
        outcome: oneOf(OUTCOMES),
        envelope: nullable(Type.String()),
        least_level: nullable(Type.String()),
      }),
    ),
  }),
]);

/** The input of `railgate/reconciliation/decision`. */
export const ReconciliationInputSchema = closed({
  request: ReconciliationRequest,
  facts: closed({}),
  context: Context,
});
