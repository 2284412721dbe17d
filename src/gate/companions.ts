// What accompanies an admission where the node's evidence profile asks for it (spec evidence §8): who stood behind it, what it depends on, how it is apart from others.
import { brief, briefly, briefPointer, countOf } from "../core/brief.ts";
import type { EventDraft } from "../core/event.ts";
import type { PolicyDecision, Refusal } from "../core/schema/decision.ts";
import { COMPANION_TYPES, type CompanionType } from "../core/event-types.ts";
import type { AdmissionInput, AuthorityFact, DelegationFact } from "../core/schema/input.ts";
import { settingsDetail } from "../core/snapshots.ts";
import type { Policy } from "../policy/policy.ts";
import type { Enacted, Judged } from "./decider.ts";
import type { GateParts } from "./parts.ts";

/** Evidence profiles are called `ecs-evidence-<name>`; the settings name them by the name alone. */
const PROFILE_PREFIX = "ecs-evidence-";
/** Of the dependencies, which a caller may name by the hundred; the rest is counted. */
const LISTED_CHARS_MAX = 16_000;

type Admitted = Pick<Judged<AdmissionInput, PolicyDecision>, "input" | "decision">;

/** By event: the rules whose refusals it is about, and what else it says. */
const ABOUT: Record<CompanionType, { readonly rules: RegExp; says(admitted: Admitted, policy: Policy): object }> = {
  "authority.check": { rules: /^AUT-/, says: authorityOf },
  "runtime.dependency.declare": { rules: /^DEP-/, says: dependenciesOf },
  "tenant.isolation.verify": { rules: /^(?:TEN|JUR)-/, says: isolationOf },
};

/** The law of admissions may be evaluated as well, and then nobody is admitted. */
export const isAdmission = ({ event: { event_type } }: Enacted): boolean =>
  event_type === "workload.admit" || event_type === "workload.refuse";

/** What accompanies an admission under the node's evidence profile. */
export function besideOf(
  made: Enacted,
  { active, evidenceProfileId, newId }: Pick<GateParts, "active" | "evidenceProfileId" | "newId">,
): Enacted[] {
  if (!isAdmission(made)) return [];
  const judged = { ...made.judged, problem: undefined };
  return companions(made, active().policy, evidenceProfileId, newId).map((event) => ({
    ...made,
    judged,
    event,
    artifact: null,
    changes: [],
  }));
}

/** The events that accompany an admission, each with its artifact and under its correlation id; none where the policy's settings ask for none. */
function companions(
  admission: Enacted,
  policy: Policy | null,
  evidenceProfileId: string,
  newId: () => string,
): EventDraft[] {
  if (!policy?.companions.has(evidenceProfileId.replace(PROFILE_PREFIX, ""))) return [];
  const { event } = admission;
  const judged = admission.judged as unknown as Admitted;
  const { refusals } = judged.decision;
  const seen = seenIn(event);
  return COMPANION_TYPES.map((event_type): EventDraft => {
    const { rules, says } = ABOUT[event_type];
    const found = refusals.filter(({ rule }) => rules.test(rule));
    return {
      ...withoutRefusal(event),
      id: newId(),
      event_type,
      outcome: found.length === 0 ? "accepted" : "refused",
      ...refusalOf(found[0]),
      details: {
        workload_id: event.subject,
        admission_event_id: event.id,
        codes: countOf(found.map(({ code }) => code)),
        ...says(judged, policy),
        ...settingsDetail(policy.settings?.digest ?? null),
        ...(found.length > 0 && { seen_revision: seen }),
      },
    };
  });
}

/** The version of the workload that its admission was decided on. */
function seenIn({ details = {} }: EventDraft): number {
  const { seen_revision, state_revision } = details as { seen_revision?: number; state_revision?: number };
  return seen_revision ?? state_revision! - 1;
}

function withoutRefusal({
  refusal_reason_class: _c,
  refusal_reason_code: _r,
  refusal_subject: _s,
  ...rest
}: EventDraft) {
  return rest;
}

function refusalOf(refusal: Refusal | undefined): Partial<EventDraft> {
  return (
    (refusal && {
      refusal_reason_class: refusal.class,
      refusal_reason_code: refusal.code,
      refusal_subject: briefPointer(refusal.pointer),
    }) ??
    {}
  );
}

/** Binding, chain and exceptions: what held, and what did not. */
function authorityOf({ input: { facts }, decision }: Admitted): object {
  const { authority, exceptions } = facts;
  const lifted = new Set((decision.exceptions ?? []).map(({ digest }) => digest));
  return {
    binding: authority && linkOf(authority),
    chain: authority && { links: authority.delegation.map(linkOf).slice(0, 8), error: authority.delegation_error },
    exceptions: exceptions.map(({ digest, status, error, issuer }) => ({
      digest,
      issuer: briefly(issuer),
      status,
      error,
      lifted: lifted.has(digest),
    })),
  };
}

function linkOf({ issuer, status, error, valid_from_ms, valid_to_ms }: AuthorityFact | DelegationFact): object {
  return { issuer: briefly(issuer), status, error, valid_from_ms, valid_to_ms };
}

/** What was declared, and what of it the law calls critical for this envelope. */
function dependenciesOf({ input: { request }, decision }: Admitted, { critical }: Policy): object {
  const kinds = new Set(critical[decision.envelope.declared ?? ""] ?? []);
  const declared = (request.workload.dependencies ?? []).map((dependency) => ({
    ...dependency,
    critical: dependency.kind !== undefined && kinds.has(dependency.kind),
  }));
  let room = LISTED_CHARS_MAX;
  // Critical ones first, so that they are the last to be left out.
  const ordered = declared.toSorted((a, b) => Number(b.critical) - Number(a.critical));
  const listed = ordered.filter((dependency) => (room -= JSON.stringify(dependency).length) >= 0);
  return { dependencies: listed, declared: declared.length };
}

/** What the rules of tenancy and jurisdiction were asked about. */
function isolationOf({ input: { request } }: Admitted): object {
  const { placement, workload } = request;
  return {
    tenancy: placement?.tenancy === undefined ? null : brief(placement.tenancy),
    jurisdiction: placement?.jurisdiction ?? null,
    tenants_on_host: placement?.tenants_on_host?.length ?? null,
    residency: workload.residency ?? null,
  };
}
