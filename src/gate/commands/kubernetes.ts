// What a cluster asks: may this pod run, or what this template breeds; may this namespace be so labelled (spec law §7).
import { countOf } from "../../core/brief.ts";
import { provenTenant, type Caller } from "../../core/caller.ts";
import type { EventDraft } from "../../core/event.ts";
import { proofChanges, proofNeeds, type About } from "../../core/challenge.ts";
import { buildInput } from "../../core/facts.ts";
import {
  isTooLarge,
  namespaceAt,
  namespaceFact,
  namespaceFields,
  stepNamespace,
  tenantIn,
  type Namespace,
} from "../../core/kubernetes/namespace.ts";
import type { NamespaceReview, PodReview } from "../../core/kubernetes/review.ts";
import { NO_SETTINGS, type KubernetesSettings } from "../../core/kubernetes/settings.ts";
import { workloadMapper, type Mapped } from "../../core/kubernetes/workload.ts";
import { placedAt, type Placed } from "../../core/mesh-state.ts";
import { explain, hostRefusal, hostRefusalOf, type Catalogue } from "../../core/outcome.ts";
import { recogniseNamespace, recognisePod, type PodDecision } from "../../core/kubernetes/outcome.ts";
import type { Decision } from "../../core/schema/decision.ts";
import type {
  KubernetesInput,
  ManifestFault,
  NamespaceDecision,
  NamespaceInput,
} from "../../core/schema/kubernetes.ts";
import type { Reads } from "../../core/state.ts";
import { admissionFact, placementFacts, workloadAt, workloadWrites } from "../../core/workload.ts";
import { refusalIn, type CommandRefusal } from "../refused.ts";
import { admitDetails, heldTokens, verifyTokens } from "./admission.ts";
import { refusalOf, type Command, type Ruling, type Situation, type Statement } from "./command.ts";

const KUBERNETES = "railgate/kubernetes/decision";
const NAMESPACES = "railgate/kubernetes/namespace/decision";
/** Namespaces are the cluster's, whosever workloads are in them; so is their record. */
const CLUSTER_TENANT = "default";

/** What came of a pod's review, with the catalogue's words. */
export interface PodOutcome {
  readonly decision: Decision;
}

export interface NamespaceOutcome {
  /** undefined where its labels were accepted. */
  readonly refusal?: NamespaceRefusal | undefined;
}

/** Whoever made the labels is told the rule, as of a pod. */
export interface NamespaceRefusal extends CommandRefusal {
  readonly rule: string;
}

/** Whose workload a pod is: by the namespace's label, else the namespace itself. */
export const tenantOfPod = ({ namespace }: PodReview, known: Namespace | null): string => tenantIn(namespace, known);

/** @param known what is known of its namespace. */
export function podAdmission(
  review: PodReview,
  known: Namespace | null,
  caller: Caller,
): Command<KubernetesInput, PodDecision, PodOutcome> {
  const tenantId = tenantOfPod(review, known);
  const { workloadId } = review;
  const needs = [workloadAt(tenantId, workloadId), placedAt(tenantId, workloadId)] as const;
  const mapped = mapperOf(review, known, tenantId);
  const own = mapped(NO_SETTINGS).request;
  const about: About = { tenantId, workloadId, correlationId: own.correlation_id };
  return {
    entrypoint: KUBERNETES,
    tenantId,
    workloadId,
    correlationId: own.correlation_id ?? review.uid,
    prove: (trust, nowMs) => verifyTokens(own, trust, nowMs),
    needs: (_state, { proof }) => [...needs, ...proofNeeds(about, proof)],
    revision: (state) => state.version(needs[0]),
    input: (state, situation) =>
      podInput(review, known, mapped(situation.kubernetes), state, needs, caller, heldTokens(state, about, situation)),
    recognise: recognisePod,
    failClosed: (code) => hostRefusal(code, envelopeKind(own)),
    says: (_state, answer) => podStatement(review, answer),
    effect: (state, event, { input, decision, catalogue, tokens }) => ({
      changes: [
        ...workloadWrites(state, event, workloadId),
        ...proofChanges(state, about, tokens.proof, input.facts.now_ms),
      ],
      outcome: { decision: explain(decision, catalogue) },
    }),
  };
}

function mapperOf(
  { pod, metadata, workloadId, namespace: name }: PodReview,
  namespace: Namespace | null,
  tenantId: string,
): (settings: KubernetesSettings) => Mapped {
  const map = workloadMapper({ pod, metadata, workloadId, tenantId, namespace });
  return (settings) => map(settings, namespaceFact(name, namespace, Object.keys(settings.namespaces)).pattern);
}

function podInput(
  { review, namespace, fact }: PodReview,
  known: Namespace | null,
  { request, origins, faults }: Mapped,
  state: Reads,
  [workload, placed]: readonly [ReturnType<typeof workloadAt>, ReturnType<typeof placedAt>],
  caller: Caller,
  { nowMs, tokens, context, kubernetes }: Situation,
): KubernetesInput {
  const tenant_id = provenTenant(caller);
  const admission = buildInput({
    request,
    nowMs,
    caller: tenant_id === null ? null : { tenant_id },
    trust: tokens.facts,
    workload: admissionFact(state.get(workload)),
    placements: placementFacts(state.get<Placed>(placed)),
    context,
  });
  return {
    ...admission,
    kubernetes: {
      review,
      namespace: namespaceFact(namespace, known, Object.keys(kubernetes.namespaces)),
      pod: fact,
      origins: { ...origins },
      faults: [...faults],
    },
  };
}

const envelopeKind = ({ workload: { envelope } }: Mapped["request"]): unknown => (envelope as { kind?: unknown }).kind;

/** Allowed is what nothing speaks against that is enforced: what was only warned of, or noted, folds as an acceptance. */
function podStatement({ review, namespace }: PodReview, answer: Ruling<KubernetesInput, PodDecision>): Statement {
  const { decision, input } = answer;
  const { refusals, kubernetes } = decision;
  const allowed = kubernetes?.allowed === true;
  const only = (mode: "deny" | "warn" | "audit") => refusals.filter(({ modes }) => modes?.includes(mode));
  const [first] = allowed ? [] : kubernetes === undefined ? refusals : only("deny");
  const told = (name: string, mode: "warn" | "audit") => {
    const counts = countOf(only(mode).map(({ code }) => code));
    return allowed && Object.keys(counts).length > 0 ? { [name]: counts } : {};
  };
  return {
    event_type: allowed ? "workload.admit" : "workload.refuse",
    outcome: allowed ? "accepted" : "refused",
    subject: input.request.workload.workload_id,
    refusal: first,
    details: {
      ...admitDetails(input.request, answer),
      codes: countOf(refusals.map(({ code }) => code)),
      modes: kubernetes?.modes ?? null,
      ...told("warned", "warn"),
      ...told("audited", "audit"),
      ...(kubernetes?.exempt && { exempt: kubernetes.exempt }),
      kubernetes: { operation: review.operation, kind: review.kind, namespace },
    },
  };
}

/** What was found of a pod that runs already: on record under its audit, and nothing changes by it. */
export function podAudit(
  review: PodReview,
  known: Namespace | null,
  caller: Caller,
  run: string,
): Command<KubernetesInput, PodDecision, PodOutcome> {
  const admission = podAdmission(review, known, caller);
  return {
    ...admission,
    tenantId: CLUSTER_TENANT,
    correlationId: run,
    says: (state, answer) => {
      const { details, ...said } = admission.says(state, answer);
      return { ...said, event_type: "policy.evaluate", details: { audit: run, ...details } };
    },
    effect: (_state, _event, { decision, catalogue }) => ({
      changes: [],
      outcome: { decision: explain(decision, catalogue) },
    }),
  };
}

/** What was remembered of it is changed by what is accepted. */
export function namespaceReview(review: NamespaceReview): Command<NamespaceInput, NamespaceDecision, NamespaceOutcome> {
  const { namespace, before, uid } = review;
  const at = namespaceAt(namespace.name);
  return {
    entrypoint: NAMESPACES,
    tenantId: CLUSTER_TENANT,
    workloadId: null,
    correlationId: uid,
    needs: () => [at],
    revision: (state) => state.version(at),
    input: (_state, { nowMs, context, kubernetes }) => ({
      facts: { now_ms: nowMs },
      context,
      kubernetes: {
        review: review.review,
        namespace: namespaceFact(namespace.name, namespace, Object.keys(kubernetes.namespaces)),
        before: before?.labels ?? {},
        faults: newFaults(namespace, before),
      },
    }),
    recognise: recogniseNamespace,
    failClosed: (code) => ({ ...hostRefusalOf(code), modes: null }),
    says: (_state, { decision }) => ({
      event_type: "policy.evaluate",
      subject: namespace.name,
      refusal: refusalOf(decision),
      details: {
        namespace: isTooLarge(namespace) ? { name: namespace.name } : named(namespace),
        operation: review.review.operation,
        modes: decision.modes,
        error_code: decision.error_code,
      },
    }),
    effect: (_state, event, { decision, catalogue }) => ({
      changes: remembered(event).map((value) => ({ at, value })),
      outcome: { refusal: namespaceRefusal(decision, catalogue) },
    }),
  };
}

/** undefined where its labels were accepted. */
export function namespaceRefusal(decision: NamespaceDecision, catalogue: Catalogue): NamespaceRefusal | undefined {
  const refusal = refusalIn(decision, catalogue);
  return refusal && { ...refusal, rule: decision.rule ?? refusal.code };
}

const named = ({ name, labels, annotations }: Namespace): object => ({ name, labels, annotations });

function remembered(event: EventDraft): Namespace[] {
  const namespace = stepNamespace(event);
  return namespace === undefined ? [] : [namespace];
}

/** What was let pass before does not keep it from being changed. */
function newFaults(namespace: Namespace, before: Namespace | null): ManifestFault[] {
  const faultsOf = (each: Namespace) => namespaceFields(each).flatMap(({ faults }) => [...faults]);
  const known = new Set((before === null ? [] : faultsOf(before)).map(({ at, message }) => `${at} ${message}`));
  const faults = faultsOf(namespace).filter(({ at, message }) => !known.has(`${at} ${message}`));
  if (isTooLarge(namespace) && (before === null || !isTooLarge(before)))
    faults.push({ at: "metadata", message: "labels and annotations of pod security and Railgate are too large" });
  return faults;
}
