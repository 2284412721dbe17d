// What must hold whatever the law says, asserted again by the host before anything is committed.
import { RailgateError } from "./errors.ts";

/** The six invariants of the isolation mesh (spec law §5). */
export const MESH_INVARIANTS = [
  "INV-MESH-MONOTONIC-ELEVATION",
  "INV-MESH-POLICY-CONTINUITY",
  "INV-MESH-ATOMIC-TRANSITION",
  "INV-MESH-LATENCY-BUDGET",
  "INV-MESH-DETERMINISTIC-TOPOLOGY",
  "INV-MESH-FAIL-CLOSED",
] as const;

/** The three invariants of a workload's life (spec law §4). */
export const LIFECYCLE_INVARIANTS = [
  "INV-LIFECYCLE-CONTINUITY",
  "INV-LIFECYCLE-FINAL",
  "INV-LIFECYCLE-FAIL-CLOSED",
] as const;

/** What an event must be to be put on record (spec evidence §1). */
export const EVENT_INVARIANTS = ["INV-EVENT-FITS"] as const;

export type Invariant =
  | (typeof MESH_INVARIANTS)[number]
  | (typeof LIFECYCLE_INVARIANTS)[number]
  | (typeof EVENT_INVARIANTS)[number];

/** An event would break an invariant: it must not be committed, or, read from a store, must not be believed. */
export class InvariantError extends RailgateError {
  static override code: string = "invariant_violated";
  readonly invariant: Invariant;

  constructor(invariant: Invariant, message: string) {
    super(`${invariant}: ${message}`);
    this.invariant = invariant;
  }
}

/** @throws InvariantError unless `holds`. */
export function must(invariant: Invariant, holds: boolean, message: string): asserts holds {
  if (!holds) throw new InvariantError(invariant, message);
}
