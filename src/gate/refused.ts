// A refused command as an error that any door can give, and the HTTP status that goes with each code (spec api §1).
import { RefusedError } from "../core/errors.ts";
import type { Explanation } from "../core/outcome.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { SingleRefusal } from "./commands/command.ts";

const STATUSES: ReadonlyMap<string, 404 | 422> = new Map([
  ["ERR_MESH_UNKNOWN_RAIL", 404],
  ["ERR_MESH_UNKNOWN_WORKLOAD", 404],
  ["workload_unknown", 404],
  ["ERR_MESH_INVALID_TOPOLOGY", 422],
]);

/** 404 where what the command names is unknown, 422 for a topology that is none, 409 for all else. */
export const refusalStatus = (code: string): 404 | 409 | 422 => STATUSES.get(code) ?? 409;

/** What there is to say of a refusal; plain JSON, so that it can be kept. */
export interface Refusal extends Explanation {
  readonly code: string;
  readonly pointer: string;
}

/** undefined where the command was accepted. */
export function refusalIn(
  { error_code, pointer }: SingleRefusal,
  explanation: Explanation | null,
): Refusal | undefined {
  if (error_code === null || explanation === null) return undefined;
  const { title, message, solution } = explanation;
  return { code: error_code, pointer: pointer ?? "", title, message, solution };
}

export function refusedError(
  { code, pointer, title, message, solution }: Refusal,
  { event, receipt }: { event: EvidenceEvent; receipt: string },
): RefusedError {
  return new RefusedError(message, { code, status: refusalStatus(code), title, solution, pointer, event, receipt });
}
