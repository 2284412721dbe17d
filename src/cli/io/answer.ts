// What came of a command: done with its receipt, or refused in words with its cure.
import { RefusedError, RevisionError } from "../../core/errors.ts";
import type { Proof } from "../../library/railgate.ts";
import { EXIT, type CommandContext, type ExitCode } from "./command.ts";
import { withRailgate, type Opened } from "./open.ts";
import { safe, type Output } from "./output.ts";

/** Carries a command out, and says what came of it: exit 0 if it was accepted, 1 if it was refused. */
export async function command<T extends Proof>(
  context: CommandContext,
  carryOut: (railgate: Opened) => Promise<T>,
  say: (answer: T) => void,
): Promise<ExitCode> {
  const { out } = context;
  try {
    const { answer, by } = await withRailgate(context, carryOut);
    if (out.json) await writeJson(out, answer);
    else {
      say(answer);
      out.line();
      writeReceipt(out, answer, "Receipt".length);
      if (by !== undefined) out.note(`Carried out by ${by}, which holds the data directory.`);
    }
    return EXIT.done;
  } catch (error) {
    if (error instanceof RefusedError) return writeRefusal(out, error);
    if (!(error instanceof RevisionError)) throw error;
    if (out.json) out.value({ code: error.code, message: error.message });
    out.note(`railgate: ${safe(error.message)}`);
    return EXIT.refused;
  }
}

/** Canonical, so that identifiers that look like numbers stay in their order. */
export async function writeJson(out: Output, answer: unknown): Promise<void> {
  const { canonicalJson } = await import("../../core/json.ts");
  out.line(canonicalJson(answer));
}

export function writeReceipt(out: Output, { event }: Pick<Proof, "event">, labelWidth: number): void {
  out.labelled("Receipt", `event ${event.id}, number ${event.sequence} of ${event.chain_id}`, 0, labelWidth);
}

async function writeRefusal(out: Output, error: RefusedError): Promise<ExitCode> {
  const { code, status, title, message, solution, pointer, errors, event, receipt } = error;
  if (out.json) {
    const meshEvent = event.details?.["mesh_event"];
    const faults = errors.length > 0 && { errors };
    const proof = { ...(meshEvent !== undefined && { mesh_event: meshEvent }), event, receipt };
    await writeJson(out, { code, status, title, detail: message, solution, pointer, ...faults, ...proof });
    return EXIT.refused;
  }
  const { red, bold, dim } = out.colour;
  out.line(`${red(bold("Refused"))}  ${bold(safe(title))}  ${dim(safe(code))}`);
  out.labelled("What", safe(message), 1, 5);
  // The other commands have no document that it could point into.
  const places = errors.length > 0 ? errors : pointer.startsWith("/rails") ? [{ pointer, message: "" }] : [];
  for (const place of places) out.labelled("Where", safe(`${place.pointer}  ${place.message}`).trim(), 1, 5);
  out.labelled("Cure", safe(solution), 1, 5);
  out.line();
  writeReceipt(out, error, "Receipt".length);
  return EXIT.refused;
}
