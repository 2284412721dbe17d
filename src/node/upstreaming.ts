// A node under another: its records go upstream, its partition ends once they have arrived, and what upstream resolves is put on record here.
import { join } from "node:path";
import { tenantCaller } from "../core/caller.ts";
import { eventTextOf } from "../core/event.ts";
import { parseCheckpoint, parseNote } from "../core/note.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { Standing, SupersededDetails } from "../core/workload.ts";
import { Forwarder, type Forwarding } from "../evidence/upstream/forwarder.ts";
import { isOwnStream } from "../evidence/upstream/own.ts";
import { reconcileCommand, supersedeCommand, type Reconciled } from "../gate/commands/reconciliation.ts";
import type { Gate } from "../gate/gate.ts";
import type { ServiceAccess } from "../outbound/access.ts";
import type { StoreReader, StreamRow } from "../store/store.ts";
import type { StoreAt } from "../store/open.ts";
import type { Partition, PartitionMemory } from "./partition.ts";
import type { Service } from "./services.ts";

export interface UpstreamOptions {
  readonly access: ServiceAccess;
  /** How often it is asked for a sign of life. Default: 2 s. */
  readonly heartbeatMs?: number | undefined;
  /** Longest wait between two tries. Default: 10 s. */
  readonly backoffMsMax?: number | undefined;
}

export interface UpstreamingParts {
  readonly upstream: UpstreamOptions | undefined;
  readonly dataDir: string;
  readonly storePath: StoreAt;
  readonly nodeId: string;
  readonly ownIds: readonly string[];
  readonly store: StoreReader;
  readonly gate: () => Gate;
  readonly partition: () => Partition;
  /** Makes checkpoints of all that is on record. */
  readonly checkpoint: () => Promise<void>;
  readonly monotonic?: () => number;
}

const HEARTBEAT_MS = 2000;
const BACKOFF_MS_MAX = 10_000;
/** A reconciliation that the law refused is asked about again so soon: each try is on record. */
const REFUSED_MS = 5000;
const COMMANDS_AT_ONCE = 64;
/** Reconciliations, of other nodes as well, read at a time. */
const LOOKED_AT = 100;

export class Upstreaming {
  readonly #parts: UpstreamingParts;
  readonly #forwarder: Forwarder | undefined;
  /** Streams that have to arrive to so many records before the partition may end. */
  #awaited: Map<string, number> | undefined;
  #notBefore = Number.NEGATIVE_INFINITY;

  constructor(parts: UpstreamingParts) {
    this.#parts = parts;
    const { upstream, dataDir, storePath, ownIds, store } = parts;
    this.#forwarder =
      upstream &&
      new Forwarder({
        storePath,
        access: upstream.access,
        cursorFile: join(dataDir, "upstream.json"),
        ownIds,
        heartbeatMs: upstream.heartbeatMs ?? HEARTBEAT_MS,
        backoffMsMax: upstream.backoffMsMax ?? BACKOFF_MS_MAX,
        heard: (problem) => this.#heard(problem),
        superseded: (records) => this.#handedDown(records),
        streams: () => store.log.streams(),
      });
  }

  /** How records go upstream; undefined where there is none. */
  async status(): Promise<Forwarding | undefined> {
    return this.#forwarder?.status();
  }

  service(): Service {
    return {
      start: () => {
        if (!this.#forwarder) return;
        this.#parts.partition().expect("upstream");
        this.#forwarder.start();
        this.#forwarder.isolate(this.#parts.partition().isolated);
      },
      stop: async () => this.#forwarder?.stop(),
    };
  }

  /** Something became durable. */
  grown(): void {
    this.#forwarder?.grown();
  }

  /** Whether an operator says that nothing may be sent. */
  isolate(isolated: boolean): void {
    this.#forwarder?.isolate(isolated);
  }

  /** The partition has become another. */
  changed({ state, from }: PartitionMemory): void {
    if (state === "partitioned" && from !== "partitioned") this.#forwarder?.cutOff(true);
    if (state !== "partitioned") this.#awaited = undefined;
  }

  /** See PartitionParts. */
  async reconciled(): Promise<boolean> {
    const { store, monotonic = performance.now.bind(performance) } = this.#parts;
    this.#awaited ??= new Map((await store.log.streams()).map(({ chain_id, size }) => [chain_id, size]));
    if (!this.#drained(this.#awaited) || monotonic() < this.#notBefore) return false;
    try {
      await this.#parts.checkpoint();
      const good = await this.#record(await this.#ranges());
      if (good) this.#forwarder?.cutOff(false);
      else this.#notBefore = monotonic() + REFUSED_MS;
      return good;
    } catch {
      // It could not be recorded, or not be asked about now; the partition goes on.
      return false;
    }
  }

  #drained(awaited: Map<string, number>): boolean {
    if (!this.#forwarder) return true;
    for (const [chain, size] of awaited) if (this.#forwarder.arrived(chain) >= size) awaited.delete(chain);
    return awaited.size === 0;
  }

  /** Of each own stream what was recorded while the node was cut off. */
  async #ranges(): Promise<{ readonly range: Reconciled; readonly tenantId: string }[]> {
    const { store, nodeId } = this.#parts;
    const own = (await store.log.streams()).filter((stream) =>
      isOwnStream([nodeId], stream.tenant_id, stream.chain_id),
    );
    const ranges: { readonly range: Reconciled; readonly tenantId: string }[] = [];
    for (const stream of own) {
      const range = await this.#rangeOf(stream);
      if (range) ranges.push(range);
    }
    return ranges;
  }

  async #rangeOf(stream: StreamRow): Promise<{ range: Reconciled; tenantId: string } | undefined> {
    const { store } = this.#parts;
    const { chain_id, tenant_id, size } = stream;
    const heldBack = this.#forwarder?.arrivedBefore(chain_id) ?? (await this.#firstSince(chain_id));
    const from = Math.max(heldBack, await this.#reconciledTo(stream));
    const to = (this.#forwarder ? Math.min(size, this.#forwarder.arrived(chain_id)) : size) - 1;
    if (from > to) return undefined;
    const hashAt = async (sequence: number) =>
      (JSON.parse(eventTextOf((await store.log.records(chain_id, sequence, sequence + 1))[0]!)) as EvidenceEvent)
        .event_hash;
    const cosigned = this.#forwarder?.cosigned(chain_id);
    const note =
      cosigned !== undefined && sizeOf(cosigned) > to ? cosigned : (await store.log.checkpoint(chain_id))!.note;
    const range: Reconciled = {
      chain_id,
      from_sequence: from,
      to_sequence: to,
      first_hash: await hashAt(from),
      last_hash: await hashAt(to),
      checkpoint: note,
    };
    return { range, tenantId: tenant_id };
  }

  /**
   * How much of a stream is reconciled, on record: in this partition, where the node ended before that did; or in one before,
   * where upstream has lost it since, and is sent it again.
   */
  async #reconciledTo({ chain_id, tenant_id }: StreamRow): Promise<number> {
    const event_type = "chain.reconciliation";
    const query = { tenant_id, event_type, outcome: "accepted", order: "desc", limit: LOOKED_AT } as const;
    for (let after: number | undefined; ; ) {
      const found = await this.#parts.store.events({ ...query, after });
      const events = found.map(({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent);
      const last = events.find((event) => event.chain_id === chain_id);
      if (last) return (last.details as unknown as Reconciled).to_sequence + 1;
      if (found.length < LOOKED_AT) return 0;
      after = found.at(-1)!.position;
    }
  }

  /** The first record of the partition, by its time; where there is none, what would come next. */
  async #firstSince(chain_id: string): Promise<number> {
    const { store, partition } = this.#parts;
    const { since } = partition().status;
    const query = { chain_id, order: "asc", limit: 1, ...(since !== null && { since_ms: Date.parse(since) }) } as const;
    const [first] = await store.events(query);
    return first
      ? (JSON.parse(eventTextOf(first.record)) as EvidenceEvent).sequence
      : ((await store.log.stream(chain_id))?.size ?? 0);
  }

  /** @returns whether the law allows all of it. */
  async #record(ranges: readonly { readonly range: Reconciled; readonly tenantId: string }[]): Promise<boolean> {
    for (let at = 0; at < ranges.length; at += COMMANDS_AT_ONCE) {
      const commands = ranges
        .slice(at, at + COMMANDS_AT_ONCE)
        .map(({ range, tenantId }) => reconcileCommand(range, tenantId));
      const done = await this.#parts.gate().run(commands, { caller: tenantCaller("default", "node") });
      if (done.some(({ outcome }) => outcome.refusal)) return false;
    }
    return true;
  }

  #heard(problem: string | undefined): void {
    const partition = this.#parts.partition();
    if (!partition.isolated) partition.report("upstream", problem);
  }

  /** Each once, decided anew by the law here; what upstream says of our own decisions must be what is on record here. */
  async #handedDown(records: readonly string[]): Promise<void> {
    for (const record of records) {
      const event = JSON.parse(eventTextOf(record)) as EvidenceEvent;
      const { workload_id, standing, superseded, alike } = event.details as unknown as SupersededDetails;
      const decisions = [standing, ...superseded, ...alike];
      if ((await this.#isKnown(event, workload_id)) || !(await this.#areTrue(decisions))) continue;
      const { id: event_id, chain_id, tenant_id } = event;
      const command = supersedeCommand(workload_id, tenant_id, decisions, { record, event_id, chain_id });
      await this.#parts.gate().run([command], { caller: tenantCaller(tenant_id, "upstream") });
    }
  }

  async #isKnown({ id, tenant_id }: EvidenceEvent, workload_id: string): Promise<boolean> {
    const query = { tenant_id, workload_id, order: "desc", limit: 1000 } as const;
    return (await this.#parts.store.events(query)).some(({ record }) => {
      const event = JSON.parse(eventTextOf(record)) as EvidenceEvent;
      const { handed_down } = (event.details ?? {}) as Partial<SupersededDetails>;
      const own = isOwnStream([this.#parts.nodeId], event.tenant_id, event.chain_id);
      return own && event.event_type === "decision.superseded" && handed_down?.event_id === id;
    });
  }

  async #areTrue(decisions: readonly Standing[]): Promise<boolean> {
    for (const decision of decisions) if (!(await this.#isTrue(decision))) return false;
    return true;
  }

  async #isTrue({ node_id, event_id, outcome }: Standing): Promise<boolean> {
    const { ownIds, store } = this.#parts;
    if (!ownIds.includes(node_id)) return true;
    const stored = await store.event(event_id);
    const event = stored && (JSON.parse(eventTextOf(stored.record)) as EvidenceEvent);
    return event?.outcome === outcome && isOwnStream(ownIds, event.tenant_id, event.chain_id);
  }
}

const sizeOf = (note: string): number => parseCheckpoint(parseNote(note)?.text ?? "")?.size ?? 0;
