// What a cluster asks about: a pod or a template that is made or changed, a namespace, or nothing that is judged.
import { hash } from "node:crypto";
import type { AdmissionReview, PodFact, ReviewFact } from "../schema/kubernetes.ts";
import { ManifestPart, wrong } from "./manifest.ts";
import { namespaceIn, type Namespace } from "./namespace.ts";
import { isIgnored, isNamespace, isWorkload, metadataOf, podIn, type PodPlace } from "./objects.ts";
import { podFact } from "./pod.ts";
import { NO_SETTINGS } from "./settings.ts";
import { workloadMapper } from "./workload.ts";

/** A pod, or the template of one, that is to be judged. */
export interface PodReview {
  readonly review: ReviewFact;
  /** Ties what is decided to the cluster's own records: the review's. */
  readonly uid: string | undefined;
  readonly namespace: string;
  /** As it stands in evidence. */
  readonly workloadId: string;
  readonly pod: PodPlace;
  readonly fact: PodFact;
  /** Of the object that brings it. */
  readonly metadata: ManifestPart;
}

export interface NamespaceReview {
  readonly review: ReviewFact;
  readonly uid: string | undefined;
  readonly namespace: Namespace;
  /** As it was; null where it is new. */
  readonly before: Namespace | null;
}

export type Reviewed =
  | { readonly about: "pod"; readonly pod: PodReview }
  | { readonly about: "namespace"; readonly namespace: NamespaceReview }
  /** Nothing of it is judged, and why. */
  | { readonly about: "nothing"; readonly because: string };

const NOTHING = (because: string): Reviewed => ({ about: "nothing", because });

/**
 * What a review is about.
 * @param nowMs milliseconds since the epoch: when a namespace was seen so.
 * @throws RequestError 422 its object is not of the shape that its kind has, or of a kind that brings no pod.
 */
export function reviewed({ request }: AdmissionReview, nowMs: number): Reviewed {
  const { uid, operation, kind, subResource = "", userInfo } = request;
  if (operation === "DELETE" || operation === "CONNECT") return NOTHING("nothing is made or changed");
  const review = { operation, kind: kind.kind, subresource: subResource, user: userInfo?.username ?? "" };
  if (isNamespace(kind.group, kind.kind)) {
    if (subResource !== "") return NOTHING("subresources of a namespace change no label");
    const before = request.oldObject ? namespaceIn(ManifestPart.of(request.oldObject), "review", nowMs) : null;
    const namespace = namespaceIn(ManifestPart.of(request.object), "review", nowMs);
    return { about: "namespace", namespace: { review, uid, namespace, before } };
  }
  if (!isWorkload(kind.group, kind.kind))
    throw wrong("kind", "Pod, Namespace or a kind that has a pod template; leave others out of the webhook's rules");
  if (isIgnored(kind.kind, subResource))
    return NOTHING(`the subresource ${subResource} changes nothing that is judged`);
  const pod = podReview(ManifestPart.of(request.object), review, {
    uid,
    namespace: request.namespace,
    name: request.name,
  });
  if (pod === undefined) return NOTHING("it has no pod template");
  if (operation === "UPDATE" && request.oldObject && unchanged(pod, ManifestPart.of(request.oldObject)))
    return NOTHING("nothing that is judged has changed");
  return { about: "pod", pod };
}

export interface Named {
  readonly uid?: string | undefined;
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
}

/**
 * The pod that an object brings, to be judged; undefined where it brings none.
 * @param named as the review names it; what is absent the object says itself.
 */
export function podReview(object: ManifestPart, review: ReviewFact, named: Named = {}): PodReview | undefined {
  const pod = podIn(review.kind, object);
  if (pod === undefined) return undefined;
  const metadata = metadataOf(object);
  const namespace = named.namespace || metadata.text("namespace") || "default";
  const given = metadata.text("name") || named.name;
  const name = given || `${metadata.text("generateName") ?? ""}${named.uid ?? metadata.text("uid") ?? ""}`;
  const workloadId = bounded(`${namespace}/${review.kind.toLowerCase()}/${name}`);
  return { review, uid: named.uid, namespace, workloadId, pod, fact: podFact(pod), metadata };
}

const ID_LENGTH_MAX = 253;
const DIGITS = 16;

/** An identifier: cut where it is too long, and told from others that begin alike (spec law §7). */
function bounded(id: string): string {
  if (id.length <= ID_LENGTH_MAX) return id;
  const end = `-${hash("sha256", id, "hex").slice(0, DIGITS)}`;
  return id.slice(0, ID_LENGTH_MAX - end.length) + end;
}

/** Whether a change leaves alone all that is judged: so that what runs already can be labelled, and let go. */
function unchanged(after: PodReview, old: ManifestPart): boolean {
  const pod = podIn(after.review.kind, old);
  if (pod === undefined) return false;
  return judgedOf(after.pod, after.metadata) === judgedOf(pod, metadataOf(old));
}

function judgedOf(pod: PodPlace, metadata: ManifestPart): string {
  const map = workloadMapper({ pod, metadata, workloadId: "", tenantId: "", namespace: null });
  const mapped = map(NO_SETTINGS, null);
  return JSON.stringify([podFact(pod), mapped.request, mapped.faults]);
}
