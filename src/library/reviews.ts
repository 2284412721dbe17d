// A cluster's reviews: read, decided by the gate, answered. Whatever fails is an answer that lets nothing pass.
import { clusterActing, provenTenant, type Caller } from "../core/caller.ts";
import { EvidenceUnavailableError, RailgateError, RequestError, TenantForbiddenError } from "../core/errors.ts";
import { explain } from "../core/outcome.ts";
import { parser } from "../core/request.ts";
import {
  answer,
  failedAnswer,
  podAnswer,
  recordedOf,
  refusalText,
  type Recorded,
  type ReviewAnswer,
  type Subject,
} from "../core/kubernetes/answer.ts";
import { namespaceAt, saysTheSame, type Namespace } from "../core/kubernetes/namespace.ts";
import { reviewed, type NamespaceReview, type PodReview } from "../core/kubernetes/review.ts";
import { AdmissionReviewSchema, type AdmissionReview } from "../core/schema/kubernetes.ts";
import {
  namespaceRefusal,
  namespaceReview,
  podAdmission,
  tenantOfPod,
  type NamespaceRefusal,
} from "../gate/commands/kubernetes.ts";
import type { Evidenced, Gate, Trace } from "../gate/gate.ts";
import type { StoreReader } from "../store/store.ts";

/** What a cluster's namespaces are known from beside their reviews: a watch on the API server. */
export interface NamespaceSource {
  /** As it was seen last; null where it was never seen. */
  namespace(name: string): Namespace | null;
}

export interface ReviewOptions {
  readonly trace?: Trace | undefined;
  /** When whoever asks stops waiting, milliseconds since the epoch; what is not durable by then is refused. */
  readonly deadlineMs?: number | undefined;
}

export interface ReviewParts {
  readonly gate: Gate;
  readonly store: StoreReader;
  readonly caller: Caller;
  readonly namespaces: NamespaceSource | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

const parseReview = parser(AdmissionReviewSchema);

/** How long before the deadline an answer must be on its way. */
const ANSWERED_MS = 100;

/** Answers an AdmissionReview v1. Never rejects: what cannot be read or decided is refused. */
export async function review(parts: ReviewParts, body: unknown, options: ReviewOptions = {}): Promise<ReviewAnswer> {
  const uid = uidIn(body);
  try {
    const leftMs = (options.deadlineMs ?? Number.POSITIVE_INFINITY) - parts.now() - ANSWERED_MS;
    if (leftMs <= 0) throw new DeadlineError(TOO_LATE);
    return await inTime(answered(parts, parseReview(body), options), leftMs);
  } catch (error) {
    return failure(uid, error);
  }
}

/** Also of what is no review, as far as it has one. */
function uidIn(body: unknown): string {
  const { uid } = ((body as { request?: unknown } | null)?.request ?? {}) as { uid?: unknown };
  return typeof uid === "string" ? uid : "";
}

async function answered(parts: ReviewParts, body: AdmissionReview, options: ReviewOptions): Promise<ReviewAnswer> {
  const { uid, kind } = body.request;
  const asked = reviewed(body, parts.now());
  switch (asked.about) {
    case "nothing":
      return answer({ uid, allowed: true, auditAnnotations: { "not-judged": asked.because } });
    case "namespace":
      return answerNamespace(parts, body, asked.namespace, options);
    case "pod":
      return answerPod(parts, body, asked.pod, kind, options);
  }
}

async function answerPod(
  { gate, store, caller, namespaces, now }: ReviewParts,
  { request: { uid, dryRun } }: AdmissionReview,
  asked: PodReview,
  { kind, group }: AdmissionReview["request"]["kind"],
  { trace }: ReviewOptions,
): Promise<ReviewAnswer> {
  const known = await knownNamespace(store, namespaces, asked.namespace, now());
  const acting = clusterActing(caller);
  const own = provenTenant(acting);
  if (own !== null && own !== tenantOfPod(asked, known))
    throw new TenantForbiddenError("Callers are answered for their own tenant's namespaces only.");
  const command = podAdmission(asked, known, acting);
  const subject: Subject = { name: asked.workloadId.slice(asked.workloadId.lastIndexOf("/") + 1), kind, group };
  if (dryRun === true) {
    const { decision, catalogue } = await gate.try(command, acting);
    return podAnswer(uid, subject, explain(decision, catalogue), undefined);
  }
  const [done] = await gate.run([command], { caller: acting, trace });
  return podAnswer(uid, subject, done!.outcome.decision, recordedBy(done!));
}

async function answerNamespace(
  { gate, store, caller }: ReviewParts,
  { request: { uid, dryRun } }: AdmissionReview,
  asked: NamespaceReview,
  { trace }: ReviewOptions,
): Promise<ReviewAnswer> {
  const acting = clusterActing(caller);
  if (provenTenant(acting) !== null)
    throw new TenantForbiddenError("Namespaces are the cluster's, and no single tenant's.");
  const remembered = await rememberedNamespace(store, asked.namespace.name);
  if (remembered !== null && saysTheSame(remembered, asked.namespace)) return answer({ uid, allowed: true });
  const command = namespaceReview(asked);
  if (dryRun === true) {
    const { decision, catalogue } = await gate.try(command, acting);
    return namespaceAnswer(uid, asked, namespaceRefusal(decision, catalogue), undefined);
  }
  const [done] = await gate.run([command], { caller: acting, trace });
  return namespaceAnswer(uid, asked, done!.outcome.refusal, recordedBy(done!));
}

function namespaceAnswer(
  uid: string,
  { namespace: { name } }: NamespaceReview,
  refusal: NamespaceRefusal | undefined,
  recorded: Recorded | undefined,
): ReviewAnswer {
  const auditAnnotations = recordedOf(recorded);
  if (refusal === undefined) return answer({ uid, allowed: true, auditAnnotations });
  const { code, rule, pointer, message, solution, errors } = refusal;
  const faults = errors?.map((error) => ({ ...error, message: `${error.message}.` })) ?? [{ pointer, message }];
  const lines = faults.map((fault) => ({ rule, solution, pointer: fault.pointer, message: fault.message }));
  // Of what is Invalid `kubectl` shows the causes and not the message, so they say who, by what rule and on what record.
  const by = recorded === undefined ? "Railgate" : `Railgate, event ${recorded.eventId}`;
  const causes = lines.map((line) => ({
    reason: code,
    message: `${rule}: ${line.message} ${solution} (${by})`,
    field: line.pointer,
  }));
  const text = refusalText(lines, recorded);
  const details = { name, kind: "Namespace", group: "", causes };
  const status = { status: "Failure", code: 422, reason: "Invalid", message: text, details } as const;
  return answer({ uid, allowed: false, status, auditAnnotations });
}

const recordedBy = (done: Evidenced): Recorded => ({ eventId: done.eventId, policy: done.event.policy_snapshot_id });

/** What is remembered of a namespace, by its last review. */
async function rememberedNamespace(store: StoreReader, name: string): Promise<Namespace | null> {
  const { kind, tenant_id, key } = namespaceAt(name);
  const stored = await store.state(kind, tenant_id, key);
  return stored === undefined ? null : (JSON.parse(stored) as Namespace);
}

/** A review tells of what is about to be; until the watch has seen it too, it is what counts. */
const REVIEW_AHEAD_MS = 5000;

async function knownNamespace(
  store: StoreReader,
  source: NamespaceSource | undefined,
  name: string,
  nowMs: number,
): Promise<Namespace | null> {
  const remembered = await rememberedNamespace(store, name);
  const seen = source?.namespace(name) ?? null;
  if (seen === null || remembered === null) return seen ?? remembered;
  return remembered.seen_ms > seen.seen_ms || nowMs - remembered.seen_ms < REVIEW_AHEAD_MS ? remembered : seen;
}

const TOO_LATE = "it takes longer than whoever asks waits";

/** The deadline is the asker's: whatever comes later, it has refused by then. */
async function inTime(made: Promise<ReviewAnswer>, leftMs: number): Promise<ReviewAnswer> {
  if (leftMs === Number.POSITIVE_INFINITY) return made;
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new DeadlineError(TOO_LATE)), leftMs);
  try {
    return await Promise.race([made, promise]);
  } finally {
    clearTimeout(timer);
    made.catch(() => {});
  }
}

class DeadlineError extends RailgateError {
  static override code = "deadline_exceeded";
}

function failure(uid: string, error: unknown): ReviewAnswer {
  if (error instanceof RequestError) {
    const [{ pointer, message }] = error.errors as [{ pointer: string; message: string }];
    return failedAnswer(uid, error.code, pointer === "" ? message : `${pointer} ${message}`, error.status, pointer);
  }
  if (error instanceof TenantForbiddenError) return failedAnswer(uid, error.code, error.message, 403);
  if (error instanceof DeadlineError) return failedAnswer(uid, error.code, error.message, 504);
  if (error instanceof EvidenceUnavailableError)
    return failedAnswer(uid, error.code, "its evidence could not be recorded; ask again", 503);
  return failedAnswer(uid, "internal", "something unexpected went wrong; the node's log has more", 503);
}
