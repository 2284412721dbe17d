// What already runs in a cluster, judged by the same law: one run, on record from its first object to its counts, in flat memory.
import { clusterActing, operatorActing, type Caller } from "../core/caller.ts";
import { RequestError } from "../core/errors.ts";
import { ManifestPart } from "../core/kubernetes/manifest.ts";
import { namespaceIn, type Namespace } from "../core/kubernetes/namespace.ts";
import { podReview, type PodReview } from "../core/kubernetes/review.ts";
import type { Decision } from "../core/schema/decision.ts";
import { AUDIT_PART_MAX, type AuditedObject, type AuditedPage, type AuditRun } from "../core/schema/audits.ts";
import { podAudit } from "../gate/commands/kubernetes.ts";
import type { RailgateNode } from "../node/open.ts";

export interface AuditParts {
  readonly node: RailgateNode;
  readonly caller: Caller;
  readonly now: () => number;
  readonly newId: () => string;
}

type Counts = { -readonly [M in Exclude<keyof AuditRun, "run" | "rules">]: number };

const TENANT = "default";

/**
 * @param namespaces all of the cluster's, first.
 * @throws OperatorNeededError, EvidenceUnavailableError: what was judged until then is on record, without its counts.
 */
export async function auditCluster(
  parts: AuditParts,
  namespaces: AsyncIterable<readonly unknown[]>,
  pages: AsyncIterable<AuditedPage>,
  found?: (object: AuditedObject) => void,
): Promise<AuditRun> {
  const audit = await ClusterAudit.begin(parts, namespaces);
  const take = async (kind: string, part: readonly unknown[]): Promise<void> => {
    for (const object of await audit.take(kind, part)) found?.(object);
  };
  // One part is made durable while the next is read and decided.
  let durable: Promise<void> = Promise.resolve();
  for await (const { kind, items } of pages)
    for (let at = 0; at < items.length; at += AUDIT_PART_MAX) {
      const decided = take(kind, items.slice(at, at + AUDIT_PART_MAX));
      decided.catch(() => {});
      await durable;
      durable = decided;
    }
  await durable;
  return audit.end();
}

/** One run, from its first record to its last: whoever lists the cluster hands over what there is, part by part. */
export class ClusterAudit {
  /** The correlation id of all its events. */
  readonly run: string;
  readonly #parts: AuditParts;
  readonly #known: ReadonlyMap<string, Namespace>;
  readonly #counts: Counts = { listed: 0, allowed: 0, refused: 0, unreadable: 0, without_pod: 0 };
  readonly #rules = new Map<string, number>();

  private constructor(parts: AuditParts, run: string, known: ReadonlyMap<string, Namespace>) {
    this.#parts = parts;
    this.run = run;
    this.#known = known;
  }

  /** @throws OperatorNeededError, EvidenceUnavailableError, RequestError what is no namespace */
  static async begin(parts: AuditParts, namespaces: AsyncIterable<readonly unknown[]>): Promise<ClusterAudit> {
    operatorActing(clusterActing(parts.caller));
    const known = await namespacesIn(namespaces, parts.now());
    const audit = new ClusterAudit(parts, parts.newId(), known);
    await audit.#record({ act: "audit.begin", namespaces: known.size });
    return audit;
  }

  /** Judges objects of one kind, few enough for one commit. @throws EvidenceUnavailableError */
  async take(kind: string, items: readonly unknown[]): Promise<AuditedObject[]> {
    const reviews: PodReview[] = [];
    for (const item of items) {
      this.#counts.listed++;
      const read = reviewOf(kind, item);
      if (read === undefined) this.#counts.without_pod++;
      else if (read instanceof RequestError) {
        this.#counts.unreadable++;
        const problem = read.message.slice(0, 1024);
        await this.#record({ act: "audit.unreadable", kind, object: nameOf(item), problem });
      } else reviews.push(read);
    }
    const { node, caller } = this.#parts;
    const acting = clusterActing(caller);
    const commands = reviews.map((review) =>
      podAudit(review, this.#known.get(review.namespace) ?? null, acting, this.run),
    );
    const done = await node.gate.run(commands, { caller: acting });
    return done.map(({ outcome }, i) => this.#judged(kind, reviews[i]!, outcome.decision));
  }

  /** Seals it: the counts are on record. @throws EvidenceUnavailableError */
  async end(): Promise<AuditRun> {
    const rules = Object.fromEntries(this.#rules);
    await this.#record({ act: "audit.end", ...this.#counts, rules });
    return { run: this.run, ...this.#counts, rules };
  }

  #judged(kind: string, { namespace, workloadId }: PodReview, { refusals, kubernetes }: Decision): AuditedObject {
    const allowed = kubernetes?.allowed === true;
    this.#counts[allowed ? "allowed" : "refused"]++;
    for (const { rule } of refusals) this.#rules.set(rule, (this.#rules.get(rule) ?? 0) + 1);
    return { kind, namespace, name: workloadId.slice(workloadId.lastIndexOf("/") + 1), allowed, refusals };
  }

  async #record(details: object): Promise<void> {
    const { node, caller } = this.#parts;
    const actor = operatorActing(clusterActing(caller));
    await node.record("policy.evaluate", TENANT, actor, { audit: this.run, ...details });
  }
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
