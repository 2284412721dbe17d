// Which Kubernetes objects bring pods, and where in them the pod lies.
import { ManifestPart, wrong } from "./manifest.ts";

/** The kinds that have a pod template, by API group: the path to it. */
const TEMPLATES: { readonly [kind: string]: { readonly group: string; readonly path: readonly string[] } } = {
  PodTemplate: { group: "", path: ["template"] },
  ReplicationController: { group: "", path: ["spec", "template"] },
  ReplicaSet: { group: "apps", path: ["spec", "template"] },
  Deployment: { group: "apps", path: ["spec", "template"] },
  StatefulSet: { group: "apps", path: ["spec", "template"] },
  DaemonSet: { group: "apps", path: ["spec", "template"] },
  Job: { group: "batch", path: ["spec", "template"] },
  CronJob: { group: "batch", path: ["spec", "jobTemplate", "spec", "template"] },
};

/** Subresources of a pod that change nothing of what it is; any other one is judged. */
const IGNORED = new Set(["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"]);

/** A pod, or the template of one, within the object that brings it. */
export interface PodPlace {
  readonly metadata: ManifestPart;
  readonly spec: ManifestPart;
}

/** Whether objects of this kind are judged. */
export function isWorkload(group: string, kind: string): boolean {
  return kind === "Pod" ? group === "" : Object.hasOwn(TEMPLATES, kind) && TEMPLATES[kind]!.group === group;
}

export const isNamespace = (group: string, kind: string): boolean => group === "" && kind === "Namespace";

/** Whether a call of this subresource changes nothing that is judged: of controllers every one, such as scale and status. */
export const isIgnored = (kind: string, subresource: string): boolean =>
  subresource !== "" && (kind !== "Pod" || IGNORED.has(subresource));

/**
 * The pod that an object brings; undefined where it has no template, which a ReplicationController may.
 * @throws RequestError 422 it is not of the shape that its kind has.
 */
export function podIn(kind: string, object: ManifestPart): PodPlace | undefined {
  if (kind === "Pod") return { metadata: metadataOf(object), spec: specOf(object) };
  const { path } = TEMPLATES[kind]!;
  let place: ManifestPart | undefined = object;
  for (const name of path) place = place?.object(name);
  if (place === undefined) {
    if (kind === "ReplicationController") return undefined;
    throw wrong(path.join("."), "a pod template");
  }
  return { metadata: metadataOf(place), spec: specOf(place) };
}

export const metadataOf = (object: ManifestPart): ManifestPart =>
  object.object("metadata") ?? ManifestPart.of({}, object.within("metadata"));

function specOf(object: ManifestPart): ManifestPart {
  const spec = object.object("spec");
  if (spec === undefined) throw wrong(object.within("spec"), "the spec of a pod");
  return spec;
}

/** `apps/v1` → `apps`. */
export const groupOf = (apiVersion: string): string =>
  apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "";
