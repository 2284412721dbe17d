// Namespaces as they are remembered: the labels that choose what pods in them are judged by, and what their annotations say of workloads.
import { one, type Need } from "../state.ts";
import type { NamespaceFact } from "../schema/kubernetes.ts";
import { LAW_LABEL, PREFIX, readFields, TENANT_LABEL, type ReadFields } from "./fields.ts";
import type { ManifestPart } from "./manifest.ts";
import { metadataOf } from "./objects.ts";

/** Whose namespaces a node knows: those of its cluster. Their state is nobody's tenant's, so it is the node's. */
const THE_CLUSTER = "default";
const POD_SECURITY = "pod-security.kubernetes.io/";
/** Together, of a namespace: what an event has room for. */
const NAMED_CHARS_MAX = 8192;

/** What is remembered of a namespace. Immutable and plain JSON. */
export interface Namespace {
  readonly name: string;
  /** Those of pod security and of Railgate. */
  readonly labels: { readonly [name: string]: string };
  /** Those of Railgate. */
  readonly annotations: { readonly [name: string]: string };
  readonly source: NonNullable<NamespaceFact["source"]>;
  /** When it was seen so, milliseconds since the epoch. */
  readonly seen_ms: number;
}

export const namespaceAt = (name: string): Need => one("namespace", THE_CLUSTER, name);

/** @throws RequestError 422 it is no namespace. */
export function namespaceIn(object: ManifestPart, source: Namespace["source"], seen_ms: number): Namespace {
  const metadata = metadataOf(object);
  const kept = (map: string, prefixes: readonly string[]) =>
    Object.fromEntries(
      [...metadata.labels(map)].filter(([name]) => prefixes.some((prefix) => name.startsWith(prefix))).sort(),
    );
  return {
    name: metadata.text("name") ?? "",
    labels: kept("labels", [POD_SECURITY, PREFIX]),
    annotations: kept("annotations", [PREFIX]),
    source,
    seen_ms,
  };
}

/** Whether there is more than can be put on record. */
export const isTooLarge = ({ labels, annotations }: Namespace): boolean =>
  JSON.stringify({ labels, annotations }).length > NAMED_CHARS_MAX;

/** Whether both say the same, whenever they were seen. */
export const saysTheSame = (a: Namespace, b: Namespace): boolean =>
  JSON.stringify([a.labels, a.annotations]) === JSON.stringify([b.labels, b.annotations]);

/** Read once for all pods in it. */
const fields = new WeakMap<Namespace, readonly ReadFields[]>();

/** What its labels and annotations say of workloads in it; labels come first. */
export function namespaceFields(namespace: Namespace): readonly ReadFields[] {
  let read = fields.get(namespace);
  if (read === undefined) {
    const { labels, annotations } = namespace;
    read = [
      readFields(Object.entries(labels), "metadata.labels", [LAW_LABEL, TENANT_LABEL]),
      readFields(Object.entries(annotations), "metadata.annotations"),
    ];
    fields.set(namespace, read);
  }
  return read;
}

/** Whose workloads its pods are. */
export const tenantIn = (name: string, namespace: Namespace | null): string =>
  namespace?.labels[TENANT_LABEL] || name || THE_CLUSTER;

/** @param patterns of the policy's settings. */
export function namespaceFact(name: string, namespace: Namespace | null, patterns: readonly string[]): NamespaceFact {
  return {
    name,
    source: namespace?.source ?? null,
    seen_ms: namespace?.seen_ms ?? null,
    labels: namespace?.labels ?? {},
    pattern: bestPattern(name, patterns),
  };
}

/** The pattern that fits a name best: itself, else the longest that ends in `*` and begins it. */
function bestPattern(name: string, patterns: readonly string[]): string | null {
  if (patterns.includes(name)) return name;
  const fitting = patterns.filter((pattern) => pattern.endsWith("*") && name.startsWith(pattern.slice(0, -1)));
  return fitting.toSorted((a, b) => b.length - a.length)[0] ?? null;
}

/** As much of an event as the fold reads. */
export interface NamespaceEvent {
  readonly event_type: string;
  readonly outcome: string;
  readonly occurred_at: string;
  readonly details?: { readonly [name: string]: unknown };
}

/** Folds one evidenced event: a namespace whose labels were accepted is remembered. @returns undefined where it is about none. */
export function stepNamespace({ event_type, outcome, occurred_at, details }: NamespaceEvent): Namespace | undefined {
  const { namespace } = (details ?? {}) as { namespace?: Pick<Namespace, "name" | "labels" | "annotations"> };
  if (event_type !== "policy.evaluate" || outcome !== "accepted" || namespace === undefined) return undefined;
  const { name, labels, annotations } = namespace;
  return { name, labels, annotations, source: "review", seen_ms: Date.parse(occurred_at) };
}
