// A decision as OPA reports it: made from the event on record and from what was stored with it. Source: OPA documentation, Decision Logs; v1/plugins/logs.
import { parseExact } from "../../core/json-exact.ts";
import { isDecided } from "../../core/event.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";

/** OPA's event. Members that there is nothing to say of are left out. */
export interface DecisionEvent {
  readonly labels: Readonly<Record<string, string>>;
  /** The id of the event on record. */
  readonly decision_id: string;
  readonly batch_decision_id?: string;
  readonly trace_id?: string;
  readonly bundles?: { readonly [name: string]: { readonly revision: string } };
  /** The entrypoint. */
  readonly path?: string;
  input?: unknown;
  result?: unknown;
  erased?: string[];
  masked?: string[];
  readonly error?: { readonly code: string; readonly message: string };
  /** The actor on record. */
  readonly requested_by: string;
  /** RFC 3339. */
  readonly timestamp: string;
  readonly custom: { [name: string]: unknown };
}

export interface EventParts {
  readonly event: EvidenceEvent;
  /** What was evaluated and what came out; undefined where that was erased. */
  readonly artifact: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** The policy that decided; undefined where there was none. */
  readonly bundle: { readonly name: string; readonly revision: string } | undefined;
}

interface Artifact {
  readonly entrypoint?: string;
  readonly input?: unknown;
  readonly decision?: unknown;
  readonly problem?: string;
}

const GATED: ReadonlySet<string> = new Set(["chain.reconciliation", "decision.superseded"]);

/** Whether an event is a decision that was given; what a policy in shadow would have said is none. */
export const isReported = ({ event_type, details }: EvidenceEvent): boolean =>
  (isDecided(event_type) || GATED.has(event_type)) && details?.["shadow_of"] === undefined;

/** Nothing of it is shared with another event: it may be masked in place. */
export function decisionEvent({ event, artifact, labels, bundle }: EventParts): DecisionEvent {
  const {
    id,
    actor,
    occurred_at,
    details = {},
    event_type,
    tenant_id,
    outcome,
    chain_id,
    sequence,
    event_hash,
  } = event;
  const stored = artifact === undefined ? {} : (parseExact(artifact) as Artifact);
  const path = stored.entrypoint ?? textIn(details, "entrypoint");
  const [trace_id, batch_decision_id] = [textIn(details, "trace_id"), textIn(details, "batch_decision_id")];
  return {
    labels,
    decision_id: id,
    ...(batch_decision_id !== undefined && { batch_decision_id }),
    ...(trace_id !== undefined && { trace_id }),
    ...(bundle && { bundles: { [bundle.name]: { revision: bundle.revision } } }),
    ...(path !== undefined && { path }),
    ...("input" in stored && { input: stored.input }),
    ...("decision" in stored && { result: stored.decision }),
    ...(artifact === undefined && { erased: ["/input", "/result"] }),
    ...(stored.problem !== undefined && {
      error: { code: event.refusal_reason_code ?? textIn(details, "error") ?? "policy_error", message: stored.problem },
    }),
    requested_by: actor,
    timestamp: occurred_at,
    custom: { event_type, tenant_id, outcome, chain_id, sequence, event_hash },
  };
}

/** Takes members out as if a mask had, and says why. */
export function withhold(event: DecisionEvent, members: readonly ("input" | "result")[], why: string): void {
  for (const member of members) {
    if (!(member in event)) continue;
    delete event[member];
    event.erased = [...(event.erased ?? []), `/${member}`];
  }
  event.custom["withheld"] = why;
}

/** JSON, whole numbers beyond 2^53−1 as they were. */
export const textOf = (value: unknown): string =>
  JSON.stringify(value, (_key, each: unknown) => (typeof each === "bigint" ? rawJson(each) : each));

/** ECMAScript 2025; the compiler's library does not know it yet. */
const rawJson = (value: bigint): unknown =>
  (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(value.toString());

function textIn(details: NonNullable<EvidenceEvent["details"]>, name: string): string | undefined {
  const value = details[name];
  return typeof value === "string" ? value : undefined;
}
