// A decision as a person wants to read it: what came out, why, where in the request, and what would cure it.
import type { Decision, ExplainedRefusal, Obligation } from "../../core/schema/decision.ts";
import { safe, visible, type Output } from "./output.ts";

const LABEL_WIDTH = "Envelope".length;
const VALUE_LENGTH_MAX = 60;

/** @param request what was decided on, to show what stands where a refusal points. */
export function writeDecision(out: Output, decision: Decision, request: unknown): void {
  const { colour } = out;
  const { workload_id, tenant_id } = (request as { workload: { workload_id: string; tenant_id: string } }).workload;
  const admitted = decision.outcome === "accepted";
  const verdict = admitted ? colour.green(colour.bold("Admitted")) : colour.red(colour.bold("Refused"));
  out.line(`${verdict}  ${colour.bold(safe(workload_id))} of tenant ${safe(tenant_id)}`);
  out.line();
  writeEnvelope(out, decision);
  if (decision.rail.least_level !== null)
    out.labelled("Rail", `${decision.rail.least_level} or stricter`, 0, LABEL_WIDTH);
  writeRefusals(out, decision.refusals, request);
  for (const exception of decision.exceptions ?? []) {
    out.labelled(
      "Excepted",
      safe(
        `${exception.rules.join(", ")}, by ${exception.issuer} until ${new Date(exception.not_after_ms).toISOString()}: ${exception.reason}`,
      ),
      0,
      LABEL_WIDTH,
    );
  }
  if (decision.obligations.length > 0) out.line();
  for (const obligation of decision.obligations) out.labelled("Must", safe(describe(obligation)), 0, LABEL_WIDTH);
}

function writeEnvelope(out: Output, { envelope }: Decision): void {
  const declared = envelope.declared === null ? "none declared" : `${safe(envelope.declared)} declared`;
  out.labelled("Envelope", `${declared}, ${envelope.required ?? "nothing"} required`, 0, LABEL_WIDTH);
  for (const { trigger, requires, because } of envelope.triggers) {
    out.labelled("", `${trigger} is ${safe(because)}, which asks for ${requires}`, 0, LABEL_WIDTH);
  }
}

function writeRefusals(out: Output, refusals: readonly ExplainedRefusal[], request: unknown): void {
  for (const { rule, code, title, message, solution, pointer } of refusals) {
    out.line();
    const heading = `${out.colour.red(rule)}  ${out.colour.bold(safe(title))}`;
    const fits = visible(heading).length + 2 + code.length <= out.columns;
    out.line(`${heading}${fits ? "  " : `\n${" ".repeat(rule.length + 2)}`}${out.colour.dim(safe(code))}`);
    out.labelled("What", safe(message), 1, 5);
    if (pointer !== "") {
      out.labelled("Where", safe(pointer), 1, 5);
      out.labelled("Found", found(request, pointer), 1, 5);
    }
    out.labelled("Cure", safe(solution), 1, 5);
  }
}

function describe({ obligation, by, ...rest }: Obligation): string {
  const more = Object.entries(rest).map(
    ([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  return [obligation.replaceAll("_", " "), ...(by === undefined ? [] : [`by ${by}`]), ...more].join(", ");
}

/** What stands at an RFC 6901 pointer, shortened. */
function found(request: unknown, pointer: string): string {
  let at = request;
  for (const token of pointer.split("/").slice(1)) {
    const name = token.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, name)) return "nothing";
    at = (at as Record<string, unknown>)[name];
  }
  const text = safe(JSON.stringify(at));
  return text.length > VALUE_LENGTH_MAX ? `${text.slice(0, VALUE_LENGTH_MAX - 1)}…` : text;
}
