// A refused command as an error that any door can give.
import { RefusedError, type RequestFault } from "../core/errors.ts";
import { explainRefusal, refusalStatus, type Catalogue, type Explanation } from "../core/outcome.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { SingleRefusal } from "./commands/command.ts";

/** What there is to say of a refusal; plain JSON, so that it can be kept. */
export interface CommandRefusal extends Explanation {
  readonly code: string;
  readonly pointer: string;
  /** Each fault of a topology. */
  readonly errors?: readonly RequestFault[];
}

/** undefined where the command was accepted. */
export function refusalIn(
  { error_code, pointer, params }: SingleRefusal,
  catalogue: Catalogue,
): CommandRefusal | undefined {
  if (error_code === null) return undefined;
  const explanation = explainRefusal(error_code, params, catalogue);
  return { code: error_code, pointer: pointer ?? "", ...explanation, ...faultsIn(params) };
}

function faultsIn({ errors }: SingleRefusal["params"]): Pick<CommandRefusal, "errors"> {
  return Array.isArray(errors) ? { errors: errors as RequestFault[] } : {};
}

export function refusedError(
  { code, pointer, title, message, solution, errors }: CommandRefusal,
  { event, receipt }: { event: EvidenceEvent; receipt: string },
): RefusedError {
  return new RefusedError(message, {
    code,
    status: refusalStatus(code),
    title,
    solution,
    pointer,
    errors,
    event,
    receipt,
  });
}
