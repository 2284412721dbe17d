// Mesh: the bodies of its commands, and the mesh as it is answered.
import Type, { type Static } from "typebox";
import { closed, Count, Identifier, INTEGER_MAX, Level, optional, Time } from "./base.ts";
import { EvidenceEventSchema, ReceiptSchema } from "./event.ts";

/** On whose behalf, and under which trace; where a listener has no authentication the body names the tenant. */
export const COMMAND_MEMBERS = { tenant_id: optional(Identifier), trace_id: optional(Identifier) };

/** Only what can't be read at all stops at the door: whatever else is wrong with a topology the law says, with evidence. */
export const TopologyBodySchema = closed({ rails: Type.Array(Type.Unknown()), ...COMMAND_MEMBERS });

export const ElevationPolicy = closed({
  elevation_allowed: Type.Boolean(),
  max_target_level: Level,
  preserve_latency_budget: Type.Boolean(),
  latency_budget_us: Type.Integer({ minimum: 0, maximum: INTEGER_MAX }),
});

export const PlacementBodySchema = closed({
  workload_id: Identifier,
  rail_id: Identifier,
  policy: ElevationPolicy,
  ...COMMAND_MEMBERS,
});

export const ElevationBodySchema = closed({ target_rail_id: Identifier, ...COMMAND_MEMBERS });

/** A rail of a topology that the law accepted. */
export const Rail = closed({ rail_id: Identifier, level: Level, latency_overhead_us: Count, capacity: Count });

export const RailState = closed({
  active_count: Count,
  total_placed: Count,
  total_elevated_in: Count,
  total_elevated_out: Count,
  total_removed: Count,
});

export const MeshPlacement = closed({
  workload_id: Identifier,
  rail_id: Identifier,
  level: Level,
  policy: ElevationPolicy,
  placed_at: Time,
  elevations: Type.Array(
    closed({ from_rail_id: Identifier, from_level: Level, to_rail_id: Identifier, to_level: Level, at: Time }),
  ),
});

export const MeshSchema = closed({
  mesh_id: Identifier,
  revision: Count,
  topology: closed({ rails: Type.Array(Rail) }),
  rail_states: Type.Record(Type.String(), RailState),
  placements: Type.Record(Type.String(), MeshPlacement),
});

export const MeshAnswer = closed({ mesh: MeshSchema, event: EvidenceEventSchema, receipt: ReceiptSchema });
export const PlacementAnswer = closed({ placement: MeshPlacement, event: EvidenceEventSchema, receipt: ReceiptSchema });

export type TopologyBody = Static<typeof TopologyBodySchema>;
export type ElevationPolicy = Static<typeof ElevationPolicy>;
export type Rail = Static<typeof Rail>;
export type RailState = Static<typeof RailState>;
export type MeshPlacement = Static<typeof MeshPlacement>;
export type Mesh = Static<typeof MeshSchema>;
export type MeshAnswer = Static<typeof MeshAnswer>;
export type PlacementAnswer = Static<typeof PlacementAnswer>;
