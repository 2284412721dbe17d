// What already runs in a cluster, judged by the same law: one run, on record from its first object to its counts, in flat memory.
import { clusterActing, operatorActing, type Caller } from "../core/caller.ts";
import { RequestError } from "../core/errors.ts";
import { ManifestPart } from "../core/kubernetes/manifest.ts";
import { namespaceIn, type Namespace } from "../core/kubernetes/namespace.ts";
import { podReview, type PodReview } from "../core/kubernetes/review.ts";
import type { ExplainedRefusal } from "../core/schema/decision.ts";
import { podAudit } from "../gate/commands/kubernetes.ts";
import type { RailgateNode } from "../node/open.ts";

/** A part of what a cluster has of one kind. */
export interface AuditedPage {
  readonly kind: string;
  readonly items: readonly unknown[];
}

/** One object, as it was judged. */
export interface AuditedObject {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly allowed: boolean;
  readonly refusals: readonly ExplainedRefusal[];
}

/** What went in is what came out: `listed` = `allowed` + `refused` + `unreadable` + `without_pod`. */
export interface AuditCounts {
  readonly listed: number;
  readonly allowed: number;
  readonly refused: number;
  readonly unreadable: number;
  /** Objects that have no pod template. */
  readonly without_pod: number;
}

export interface AuditRun extends AuditCounts {
  /** The correlation id of all its events. */
  readonly run: string;
  /** By rule, how many refusals, in whatever mode. */
  readonly rules: { readonly [rule: string]: number };
}

export interface AuditParts {
  readonly node: RailgateNode;
  readonly caller: Caller;
  readonly now: () => number;
  readonly newId: () => string;
  /** Told of each object. */
  readonly found?: ((object: AuditedObject) => void) | undefined;
}

type Counts = { -readonly [M in keyof AuditCounts]: number };

const TENANT = "default";
/** Decided and committed together: few enough to leave others their turns, enough to share a sync. */
const TOGETHER = 125;

/**
 * @param namespaces all of the cluster's, first.
 * @throws OperatorNeededError, EvidenceUnavailableError: what was judged until then is on record, without its counts.
 */
export async function auditCluster(
  parts: AuditParts,
  namespaces: AsyncIterable<readonly unknown[]>,
  pages: AsyncIterable<AuditedPage>,
): Promise<AuditRun> {
  const { node, caller, newId } = parts;
  const actor = operatorActing(clusterActing(caller));
  const run = newId();
  const known = await namespacesIn(namespaces, parts.now());
  const record = (details: object) => node.record("policy.evaluate", TENANT, actor, { audit: run, ...details });
  await record({ act: "audit.begin", namespaces: known.size });
  const counts: Counts = { listed: 0, allowed: 0, refused: 0, unreadable: 0, without_pod: 0 };
  const rules = new Map<string, number>();
  // One part is made durable while the next is read and decided.
  let durable: Promise<void> = Promise.resolve();
  for await (const { kind, items } of pages)
    for (let at = 0; at < items.length; at += TOGETHER) {
      const part = items.slice(at, at + TOGETHER);
      const decided = auditPart(parts, run, kind, part, known, counts, rules, record);
      await durable;
      durable = decided;
    }
  await durable;
  await record({ act: "audit.end", ...counts, rules: Object.fromEntries(rules) });
  return { run, ...counts, rules: Object.fromEntries(rules) };
}

async function namespacesIn(pages: AsyncIterable<readonly unknown[]>, nowMs: number): Promise<Map<string, Namespace>> {
  const known = new Map<string, Namespace>();
  for await (const items of pages)
    for (const item of items) {
      const namespace = namespaceIn(ManifestPart.of(item), "cluster", nowMs);
      known.set(namespace.name, namespace);
    }
  return known;
}

async function auditPart(
  { node, caller, found }: AuditParts,
  run: string,
  kind: string,
  items: readonly unknown[],
  known: ReadonlyMap<string, Namespace>,
  counts: Counts,
  rules: Map<string, number>,
  record: (details: object) => Promise<void>,
): Promise<void> {
  const reviews: PodReview[] = [];
  for (const item of items) {
    counts.listed++;
    const read = reviewOf(kind, item);
    if (read === undefined) counts.without_pod++;
    else if (read instanceof RequestError) {
      counts.unreadable++;
      await record({ act: "audit.unreadable", kind, object: nameOf(item), problem: read.message.slice(0, 1024) });
    } else reviews.push(read);
  }
  const acting = clusterActing(caller);
  const commands = reviews.map((review) => podAudit(review, known.get(review.namespace) ?? null, acting, run));
  const done = await node.gate.run(commands, { caller: acting });
  for (const [i, { outcome }] of done.entries()) {
    const { refusals, kubernetes } = outcome.decision;
    const allowed = kubernetes?.allowed === true;
    counts[allowed ? "allowed" : "refused"]++;
    for (const { rule } of refusals) rules.set(rule, (rules.get(rule) ?? 0) + 1);
    const { namespace, workloadId } = reviews[i]!;
    found?.({ kind, namespace, name: workloadId.slice(workloadId.lastIndexOf("/") + 1), allowed, refusals });
  }
}

/** Items of a list don't say their kind, so the list does. */
function reviewOf(kind: string, item: unknown): PodReview | RequestError | undefined {
  try {
    return podReview(ManifestPart.of(item), { operation: "AUDIT", kind, subresource: "", user: "" });
  } catch (error) {
    if (error instanceof RequestError) return error;
    throw error;
  }
}

function nameOf(item: unknown): string {
  const { metadata } = (item ?? {}) as { metadata?: { namespace?: unknown; name?: unknown } };
  return `${String(metadata?.namespace)}/${String(metadata?.name)}`.slice(0, 512);
}
