// The thread that sends records upstream: reads them from the store in order, one request at a time, and remembers how far it is.
import { parentPort, workerData } from "node:worker_threads";
import { RailgateError } from "../../core/errors.ts";
import type { ReplicationAnswer } from "../../core/schema/replication.ts";
import { backoffMs, pause } from "../../outbound/pace.ts";
import { RemoteService } from "../../outbound/service.ts";
import { openReader } from "../../store/open.ts";
import type { StoreReader, StreamRow } from "../../store/store.ts";
import { CursorFile } from "./cursor.ts";
import type { ForwardData, ForwardReply, ForwardRequest } from "./forward-messages.ts";
import { outgoing, packed, SentBlobs, type Outgoing } from "./outgoing.ts";

const { storePath, access, cursorFile, ownIds, heartbeatMs, backoffMsMax } = workerData as ForwardData;

/** How often the cursor is written while records are being sent. */
const REMEMBERED_MS = 1000;
/** A stream that upstream does not take is offered again so soon. */
const REFUSED_MS = 30_000;
const COSIGNED_AT_ONCE = 64;
const REQUEST_MS_MAX = 60_000;
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

/** Upstream has answered, and does not take this stream. */
class StreamRefusedError extends RailgateError {
  static override code = "stream_refused";
}

const store = await openReader(storePath);

class Forwarder {
  readonly #store: StoreReader = store;
  readonly #service = new RemoteService(access);
  readonly #cursor = new CursorFile(cursorFile, access.url);
  readonly #sent = new SentBlobs();
  readonly #arrived: Map<string, number>;
  /** Streams that upstream does not take, and when they are offered again. */
  readonly #refused = new Map<string, number>();
  readonly #ended = new AbortController();
  #cutOffAt: { readonly [chainId: string]: number } | null;
  #superseded: { readonly nodeId: string; readonly next: number } | null;
  /** By chain id: over how many records upstream has signed. */
  readonly #cosigned = new Map<string, number>();
  #signedAt = Number.NEGATIVE_INFINITY;
  #isolated = false;
  #changed = false;
  #rememberedAt = 0;
  #wake: AbortController = new AbortController();

  constructor() {
    const { arrived, cutOffAt, superseded } = this.#cursor.read();
    this.#arrived = new Map(Object.entries(arrived));
    this.#cutOffAt = cutOffAt;
    this.#superseded = superseded;
    tell({ kind: "ready", arrived, cutOffAt });
  }

  told(request: ForwardRequest): void {
    switch (request.kind) {
      case "stop":
        this.#ended.abort();
        break;
      case "isolated":
        this.#isolated = request.isolated;
        break;
      case "cut_off":
        this.#cutOffAt = request.cutOff ? (this.#cutOffAt ?? Object.fromEntries(this.#arrived)) : null;
        this.#changed = true;
        this.#remember(true);
        break;
      case "superseded":
        this.#superseded = { nodeId: request.nodeId, next: request.next };
        this.#changed = true;
        break;
      case "grown":
        break;
    }
    this.#wake.abort();
  }

  async run(): Promise<void> {
    for (let failures = 0; !this.#ended.signal.aborted; ) {
      this.#wake = new AbortController();
      try {
        if (!this.#isolated) await this.#round();
        failures = 0;
        await pause(heartbeatMs, AbortSignal.any([this.#wake.signal, this.#ended.signal]));
      } catch (error) {
        if (this.#ended.signal.aborted) break;
        tell({ kind: "heard", problem: (error as Error).message });
        await pause(backoffMs(++failures, backoffMsMax), this.#ended.signal);
      }
    }
    this.#remember(true);
    this.#service.close();
    await this.#store.close();
    tell({ kind: "stopped" });
  }

  /** All streams in turn until nothing is left to send; then a sign of life, which also asks for what is handed down. */
  async #round(): Promise<void> {
    for (let sent = true; sent && !this.#idle; ) {
      sent = false;
      for (const stream of await this.#store.log.streams()) {
        if (this.#idle) return;
        if (this.#behind(stream) && (await this.#advance(stream))) sent = true;
      }
    }
    const now = performance.now();
    if (this.#idle || now - this.#signedAt < heartbeatMs) return;
    this.#signedAt = now;
    await this.#haveCosigned();
    await this.#sign();
  }

  /** What arrived before its checkpoint was made is worth a signature now. */
  async #haveCosigned(): Promise<void> {
    const waiting: StreamRow[] = [];
    for (const stream of await this.#store.log.streams()) {
      const { chain_id } = stream;
      const size = (await this.#store.log.checkpoint(chain_id))?.size ?? 0;
      if (size > (this.#cosigned.get(chain_id) ?? 0) && size <= (this.#arrived.get(chain_id) ?? 0))
        waiting.push(stream);
    }
    for (const stream of waiting.slice(0, COSIGNED_AT_ONCE)) {
      if (this.#idle) return;
      const size = this.#arrived.get(stream.chain_id)!;
      await this.#send(this.#nothing(stream.chain_id, size), stream).catch((error) => {
        if (!(error instanceof StreamRefusedError)) throw error;
      });
    }
  }

  get #idle(): boolean {
    return this.#isolated || this.#ended.signal.aborted;
  }

  #behind({ chain_id, size }: StreamRow): boolean {
    if ((this.#refused.get(chain_id) ?? 0) > performance.now()) return false;
    return (this.#arrived.get(chain_id) ?? 0) < size;
  }

  /** One request; of a stream of which nothing is known, upstream is asked first. @returns whether it went on. */
  async #advance(stream: StreamRow): Promise<boolean> {
    const { chain_id } = stream;
    const from = this.#arrived.get(chain_id);
    try {
      if (from === undefined) await this.#send(this.#nothing(chain_id, 0), stream);
      else await this.#send(await outgoing(this.#store, stream, from, this.#sent), stream);
      if (this.#refused.delete(chain_id)) tell({ kind: "refused", chainId: chain_id, problem: undefined });
      return true;
    } catch (error) {
      if (!(error instanceof StreamRefusedError)) throw error;
      this.#refused.set(chain_id, performance.now() + REFUSED_MS);
      tell({ kind: "refused", chainId: chain_id, problem: error.message });
      return false;
    }
  }

  #nothing(chainId: string, from: number): Outgoing {
    return { chainId, from, count: 0, body: { from_sequence: from, records: [] }, digests: [] };
  }

  async #sign(): Promise<void> {
    const [nodeId] = ownIds;
    const chain_id = `default/${nodeId}`;
    const stream = await this.#store.log.stream(chain_id);
    if (!stream) return;
    const asked = this.#nothing(chain_id, this.#arrived.get(chain_id) ?? 0);
    const superseded = { after: this.#superseded?.next ?? 0, nodes: await this.#nodes() };
    await this.#send({ ...asked, body: { ...asked.body, superseded } }, stream);
  }

  /** For whom it sends. */
  async #nodes(): Promise<string[]> {
    const nodes = (await this.#store.log.streams()).map(({ chain_id, tenant_id }) =>
      chain_id.slice(tenant_id.length + 1),
    );
    return [...new Set([...ownIds, ...nodes])];
  }

  async #send(sending: Outgoing, stream: StreamRow): Promise<void> {
    const { chainId, count, digests } = sending;
    const end = sending.from + count;
    const checkpoint = await this.#store.log.checkpoint(chainId);
    // Worth a signature once all of it has arrived.
    const wanted = checkpoint && checkpoint.size <= end && checkpoint.size > (this.#cosigned.get(chainId) ?? 0);
    const asksFor = wanted ? { checkpoint: checkpoint.note } : {};
    const { bytes, encoding } = packed({ ...sending.body, ...asksFor });
    const answer = await this.#service.request({
      method: "POST",
      path: `/v1/streams/${encodeURIComponent(chainId)}/records`,
      headers: { "Content-Type": "application/json", "Content-Encoding": encoding },
      body: bytes,
      bytesMax: ANSWER_BYTES_MAX,
      msMax: REQUEST_MS_MAX,
      signal: this.#ended.signal,
    });
    this.#sent.add(digests);
    if (wanted && answer.status === 200) this.#cosigned.set(chainId, checkpoint.size);
    await this.#answered(chainId, stream, answer.status, Buffer.from(answer.bytes).toString("utf8"));
  }

  async #answered(chainId: string, stream: StreamRow, status: number, text: string): Promise<void> {
    if (status === 429 || status >= 500) throw new Error(`upstream answers ${status}: ${detailOf(text)}`);
    if (status === 401) throw new Error(`upstream does not know who is calling: ${detailOf(text)}`);
    tell({ kind: "heard", problem: undefined });
    if (status === 409 && codeOf(text) === "record_gap") {
      // It has less than it had: it was restored, and is sent what it lost again.
      this.#sent.clear();
      return this.#arrive(chainId, (JSON.parse(text) as { next_sequence: number }).next_sequence, 0, undefined);
    }
    if (status !== 200) throw new StreamRefusedError(`${status} ${codeOf(text)}: ${detailOf(text)}`);
    const { next_sequence, accepted, checkpoint, superseded, node_id } = JSON.parse(text) as ReplicationAnswer;
    if (next_sequence > stream.size && next_sequence > ((await this.#store.log.stream(chainId))?.size ?? 0))
      throw new StreamRefusedError(`upstream has ${next_sequence} records of ${chainId}, more than there are here`);
    this.#arrive(chainId, next_sequence, accepted, checkpoint ?? undefined);
    if (superseded) this.#handedDown(node_id, superseded);
  }

  #arrive(chainId: string, next: number, accepted: number, checkpoint: string | undefined): void {
    if (this.#arrived.get(chainId) !== next) {
      this.#arrived.set(chainId, next);
      this.#changed = true;
    }
    tell({ kind: "arrived", chainId, next, accepted, checkpoint });
    this.#remember(false);
  }

  /** Places are the upstream's: with another one they begin anew. */
  #handedDown(nodeId: string, { records, next }: NonNullable<ReplicationAnswer["superseded"]>): void {
    if (this.#superseded && this.#superseded.nodeId !== nodeId) {
      this.#superseded = { nodeId, next: 0 };
      return;
    }
    if (records.length > 0 || next > (this.#superseded?.next ?? 0)) tell({ kind: "superseded", nodeId, records, next });
  }

  #remember(now: boolean): void {
    if (!this.#changed || (!now && performance.now() - this.#rememberedAt < REMEMBERED_MS)) return;
    this.#cursor.write({
      arrived: Object.fromEntries(this.#arrived),
      cutOffAt: this.#cutOffAt,
      superseded: this.#superseded,
    });
    this.#changed = false;
    this.#rememberedAt = performance.now();
  }
}

const tell = (reply: ForwardReply): void => parentPort!.postMessage(reply);

const DETAIL_CHARS_MAX = 300;

function read(text: string): { readonly code?: unknown; readonly detail?: unknown } {
  try {
    return (JSON.parse(text) as object | null) ?? {};
  } catch {
    return {};
  }
}

const codeOf = (text: string): string => String(read(text).code ?? "");
const detailOf = (text: string): string => String(read(text).detail ?? text).slice(0, DETAIL_CHARS_MAX);

const forwarder = new Forwarder();
parentPort!.on("message", (request: ForwardRequest) => forwarder.told(request));
void forwarder.run().finally(() => parentPort!.close());
