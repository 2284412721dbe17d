// What a policy may answer to an admission, what is refused instead when it answers anything else, and how a refusal is explained.

import type { TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { brief } from "./brief.ts";
import { HOST_REFUSALS, HTTP_STATUSES } from "./catalogue.ts";
import type { Refusal, RefusalClass } from "./schema/decision.ts";
import { PolicyDecisionSchema, type Decision, type PolicyDecision } from "./schema/decision.ts";
import { ENVELOPE_KINDS } from "./schema/base.ts";

/** A policy's output as a decision, or why it is none. @property text how it is recorded; default: the decision's canonical JSON. */
export type Recognised<D> = { readonly decision: D; readonly text?: string } | { readonly problem: string };

type Shape<S extends TSchema> = ReturnType<typeof Compile<S>>;

/** Compiled when it is first asked for: most processes decide by one law, if by any. */
export function lazily<S extends TSchema>(schema: S): () => Shape<S> {
  let shape: Shape<S> | undefined;
  return () => (shape ??= Compile(schema) as Shape<S>);
}

/** The first fault of an output that is not of a shape, and whose it is where it is a refusal's. */
export function faultOf(
  shape: { Errors(value: unknown): { instancePath: string; message: string }[] },
  output: unknown,
) {
  const [error] = shape.Errors(output);
  const path = error?.instancePath ?? "";
  return `${path || "it"} ${error?.message ?? "is not a decision"}${whose(path, output)}`;
}

function whose(path: string, output: unknown): string {
  const at = /^\/refusals\/(\d+)/.exec(path)?.[1];
  const refusal = at && (output as { refusals: readonly unknown[] }).refusals[Number(at)];
  const { rule, code } = (typeof refusal === "object" && refusal ? refusal : {}) as { rule?: unknown; code?: unknown };
  const named = [
    ...(typeof rule === "string" ? [`of rule ${brief(rule)}`] : []),
    ...(typeof code === "string" ? [`with code ${brief(code)}`] : []),
  ];
  return named.length > 0 ? `, in the refusal ${named.join(" ")}` : "";
}

const decisionShape = lazily(PolicyDecisionSchema);

export interface CatalogueEntry {
  readonly class: RefusalClass;
  /** Absent in bundles of 0.1. */
  readonly http_status?: number;
  readonly title: string;
  readonly message: string;
  readonly solution: string;
}

/** code → its explanation; part of the policy bundle (`data.railgate.catalogue`). */
export type Catalogue = { readonly [code: string]: CatalogueEntry };

export { HOST_REFUSALS };

/** What a refused command can be answered with. */
export type RefusalStatus = (typeof HTTP_STATUSES)[keyof typeof HTTP_STATUSES];

const REFUSAL_STATUSES: ReadonlySet<unknown> = new Set(Object.values(HTTP_STATUSES));

/**
 * The HTTP status of a command that is refused by `code`: for the law's own codes what their METADATA says, whatever
 * policy is active; for a code that only the active policy has, what its `catalogue` says; else 409.
 */
export function refusalStatus(code: string, catalogue: Catalogue = {}): RefusalStatus {
  if (Object.hasOwn(HTTP_STATUSES, code)) return HTTP_STATUSES[code as keyof typeof HTTP_STATUSES];
  const status = Object.hasOwn(catalogue, code) ? catalogue[code]!.http_status : undefined;
  return REFUSAL_STATUSES.has(status) ? (status as RefusalStatus) : 409;
}

export type HostRefusalCode = "policy_unavailable" | "policy_error";

/** The refusal by which the host fails closed, of a command that has one. */
export function hostRefusalOf(code: HostRefusalCode) {
  const { rule, class: refusalClass } = HOST_REFUSALS[code];
  return { outcome: "refused", error_code: code, class: refusalClass, rule, pointer: "", params: {} } as const;
}

/** The same of an admission. */
export function hostRefusal(code: HostRefusalCode, declared: unknown): PolicyDecision {
  const { rule, class: refusalClass } = HOST_REFUSALS[code];
  return {
    outcome: "refused",
    envelope: { declared: typeof declared === "string" ? declared : null, required: null, triggers: [] },
    refusals: [{ code, class: refusalClass, rule, pointer: "", params: {} }],
    obligations: [],
    rail: { least_level: null },
  };
}

/**
 * Recognises a policy's output, or says why it is no decision (POL-03). An acceptance is recognised only when every
 * member is what it must be, nothing was refused, and envelope and rail level are known.
 */
export function recognise(output: unknown, catalogue: Catalogue): Recognised<PolicyDecision> {
  if (!decisionShape().Check(output)) return { problem: faultOf(decisionShape(), output) };
  const { outcome, envelope, refusals, rail } = output;
  if ((outcome === "accepted") !== (refusals.length === 0)) return { problem: "it contradicts its refusals" };
  if (envelope.required === null || rail.least_level === null)
    return { problem: "it leaves out the required envelope or rail level" };
  if (outcome === "accepted" && !(ENVELOPE_KINDS as readonly unknown[]).includes(envelope.declared))
    return { problem: "it accepts an unknown envelope" };
  const unexplained = refusals.find((refusal) => !Object.hasOwn(catalogue, refusal.code));
  if (unexplained) {
    const { code, rule } = unexplained;
    return { problem: `rule ${brief(rule)} refuses with code ${brief(code)}, which its catalogue does not have` };
  }
  return { decision: output };
}

export interface Explanation {
  readonly title: string;
  readonly message: string;
  readonly solution: string;
}

/** The decision with each refusal's title, message and solution from the catalogue. */
export function explain(
  decision: Omit<Decision, "refusals"> & { readonly refusals: readonly Refusal[] },
  catalogue: Catalogue,
): Decision {
  const refusals = decision.refusals.map((refusal) => ({
    ...refusal,
    ...explainRefusal(refusal.code, refusal.params, catalogue),
  }));
  return { ...decision, refusals };
}

/** What a refusal code means, `{param}`s filled in. */
export function explainRefusal(
  code: string,
  params: { readonly [name: string]: unknown },
  catalogue: Catalogue,
): Explanation {
  const { title, message, solution } = entryOf(code, catalogue);
  const fill = (text: string) =>
    !text.includes("{") ? text : text.replace(/\{(\w+)\}/g, (_, name: string) => shown(params[name]));
  return { title, message: fill(message), solution: fill(solution) };
}

/** Why a command was refused, in the words of the catalogue, without parameters (spec evidence §1). */
export function refusalReason(code: string, catalogue: Catalogue): string {
  return brief(entryOf(code, catalogue).title || code);
}

function entryOf(code: string, catalogue: Catalogue): CatalogueEntry {
  if (Object.hasOwn(catalogue, code)) return catalogue[code]!;
  return (
    HOST_REFUSALS[code as keyof typeof HOST_REFUSALS] ?? {
      class: "policy_denied",
      title: code,
      message: code,
      solution: "",
    }
  );
}

function shown(param: unknown): string {
  if (param === undefined || param === null) return "nothing";
  return typeof param === "string" ? param : JSON.stringify(param);
}
