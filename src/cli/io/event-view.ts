// Events as a person reads them: a line each, or one on a page with what was asked, what came of it, and what proves it.
import { settingsOfEvent } from "../../core/snapshots.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { ProofCheck, Shown, ArtifactView } from "../../library/shown.ts";
import { writeDecision } from "./explain.ts";
import { safe, type Output } from "./output.ts";

const HEADING = ["NUMBER", "TIME", "TENANT", "TYPE", "OUTCOME", "SUBJECT", "CODES", "ACTOR", "EVENT"];
const LABEL_WIDTH = "Correlation".length;

/** Writes events as rows under one heading; what the first ones need is the width of all. */
export function eventRows(out: Output): (events: readonly EvidenceEvent[]) => void {
  const rows = out.rows(HEADING);
  return (events) => rows(events.map((event) => cellsOf(out, event)));
}

function cellsOf(out: Output, event: EvidenceEvent): string[] {
  const { sequence, occurred_at, tenant_id, event_type, subject, actor, id } = event;
  const codes = codesOf(event).join(", ");
  const cells = [String(sequence), occurred_at, tenant_id, event_type, "", subject ?? "-", codes || "-", actor, id];
  return cells.map(safe).with(4, outcome(out, event));
}

const outcome = ({ colour }: Output, { outcome }: EvidenceEvent): string =>
  outcome === "accepted" ? colour.green(outcome) : colour.red(outcome);

/** Every code that it was refused by. */
function codesOf({ refusal_reason_code, details }: EvidenceEvent): string[] {
  const { codes, error_code } = (details ?? {}) as { codes?: object; error_code?: string | null };
  const all = Array.isArray(codes) ? (codes as string[]) : Object.keys(codes ?? {});
  const first = refusal_reason_code ?? error_code ?? undefined;
  return [...new Set([...(first === undefined ? [] : [first]), ...all])];
}

/** @param told of its artifact; undefined where that says nothing, or is gone. */
export function writeEvent(
  out: Output,
  { event }: Shown,
  told: ArtifactView | undefined,
  proofs: readonly ProofCheck[],
): void {
  const { colour } = out;
  const labelled = (label: string, text: string) => out.labelled(label, text, 0, LABEL_WIDTH);
  out.line(`${colour.bold(event.event_type)}  ${outcome(out, event)}  ${safe(event.subject ?? "")}`.trimEnd());
  out.line();
  labelled("Event", `${event.id}, number ${event.sequence} of ${safe(event.chain_id)}`);
  labelled("Time", event.occurred_at);
  labelled("Tenant", safe(event.tenant_id));
  labelled("Actor", safe(event.actor));
  labelled("Correlation", safe(event.correlation_id));
  labelled("Policy", event.policy_snapshot_id);
  const settings = settingsOfEvent(event);
  if (settings !== null) labelled("Settings", settings);
  const isPlain = told === undefined || event.event_type === "policy.evaluate";
  for (const [name, value] of Object.entries(event.details ?? {}))
    if (isPlain || name === "trace_id" || name === "request_id")
      labelled(name, safe(typeof value === "string" ? value : JSON.stringify(value)));
  if (told?.decision) {
    out.line();
    writeDecision(out, told.decision, told.request);
  }
  if (told?.refusal) {
    const { code, title, message, solution, pointer } = told.refusal;
    out.line();
    out.line(`${colour.red(colour.bold("Refused"))}  ${colour.bold(safe(title))}  ${colour.dim(safe(code))}`);
    out.labelled("What", safe(message), 1, 5);
    if (pointer !== "") out.labelled("Where", safe(pointer), 1, 5);
    out.labelled("Cure", safe(solution), 1, 5);
  }
  if (told?.request !== undefined) writeJson(out, "Request", told.request);
  if (told && "result" in told) writeJson(out, "Result", told.result);
  out.line();
  for (const { what, holds, detail } of proofs) {
    const mark = holds === null ? colour.yellow("?") : holds ? colour.green("holds") : colour.red("FAILED");
    labelled(what, `${mark}  ${safe(detail)}`);
  }
}

function writeJson(out: Output, heading: string, value: unknown): void {
  out.line();
  out.line(out.colour.dim(heading));
  const text = JSON.stringify(value, (_, each: unknown) => (typeof each === "bigint" ? String(each) : each), 2);
  for (const line of text.split("\n")) out.line(`  ${safe(line)}`);
}
