// Sends records upstream: reads them from the store in order, a few requests under way at a time, and remembers how far it is.
import type { ReplicationAnswer } from "../../core/schema/replication.ts";
import { backoffMs, pause } from "../../outbound/pace.ts";
import type { RemoteService, ServiceAnswer } from "../../outbound/service.ts";
import { openReader } from "../../store/open.ts";
import type { StoreReader, StreamRow } from "../../store/store.ts";
import type { OwnPort } from "../../threads/threads.ts";
import { CursorFile } from "./cursor.ts";
import type { ForwardData, ForwardReply, ForwardRequest } from "./forward-messages.ts";
import { firstOther } from "./fork.ts";
import { isOwnStream } from "./own.ts";
import { codeOf, detailOf, nextIn, RECORD_INVALID, refused, StreamRefusedError } from "./refusal.ts";
import { ALL_SENT, outgoing, packed, SentBlobs, type Outgoing } from "./outgoing.ts";

/** How often the cursor is written while records are being sent. */
const REMEMBERED_MS = 1000;
/** A stream that upstream does not take is offered again so soon. */
const REFUSED_MS = 30_000;
const COSIGNED_AT_ONCE = 64;
/** Requests of one stream that are under way at once: one is recorded upstream, one is verified, one is on its way. */
const UNDER_WAY_MAX = 3;
/** Requests of one stream before the others have their turn. */
const REQUESTS_A_TURN = 16;
const REQUEST_MS_MAX = 60_000;
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

/** A request that is under way. */
interface Flying {
  readonly sending: Outgoing;
  readonly stream: StreamRow;
  /** How much of the stream had arrived, as far as was known. */
  readonly arrived: number;
  /** Records under the checkpoint that goes with it, to be signed; undefined: none does. */
  readonly checkpointed: number | undefined;
  /** All of it was handed over, or it has ended. */
  readonly sent: Promise<unknown>;
  readonly answer: Promise<ServiceAnswer | Error>;
}

/** As much of a service as it needs. */
export type UpstreamService = Pick<RemoteService, "request" | "close">;

/** Sends until it is told to stop, then closes its port. @param service where records go. */
export async function sendRecords(data: ForwardData, service: UpstreamService, port: OwnPort): Promise<void> {
  try {
    const sender = new RecordSender(data, await openReader(data.storePath), service, (reply) =>
      port.postMessage(reply),
    );
    port.on("message", (request: ForwardRequest) => sender.told(request));
    await sender.run();
  } finally {
    port.close();
  }
}

class RecordSender {
  readonly #data: ForwardData;
  readonly #store: StoreReader;
  readonly #service: UpstreamService;
  readonly #tell: (reply: ForwardReply) => void;
  readonly #cursor: CursorFile;
  readonly #sent = new SentBlobs();
  readonly #arrived: Map<string, number>;
  /** Streams that upstream does not take, and when they are offered again. */
  readonly #refused = new Map<string, number>();
  readonly #ended = new AbortController();
  #cutOffAt: { readonly [chainId: string]: number } | null;
  #superseded: { readonly nodeId: string; readonly next: number } | null;
  /** Who has answered last; undefined: nobody yet. */
  #upstreamId: string | undefined;
  /** By chain id: over how many records upstream has signed. */
  readonly #cosigned = new Map<string, number>();
  #signedAt = Number.NEGATIVE_INFINITY;
  #isolated = false;
  #changed = false;
  #rememberedAt = 0;
  #wake: AbortController = new AbortController();

  constructor(data: ForwardData, store: StoreReader, service: UpstreamService, tell: (reply: ForwardReply) => void) {
    this.#data = data;
    this.#store = store;
    this.#service = service;
    this.#tell = tell;
    this.#cursor = new CursorFile(data.cursorFile, data.access.url);
    const { arrived, cutOffAt, superseded } = this.#cursor.read();
    this.#arrived = new Map(Object.entries(arrived));
    this.#cutOffAt = cutOffAt;
    this.#superseded = superseded;
    this.#upstreamId = superseded?.nodeId;
    this.#tell({ kind: "ready", arrived, cutOffAt });
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
        if (request.nodeId !== this.#upstreamId) break;
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
        await pause(this.#data.heartbeatMs, AbortSignal.any([this.#wake.signal, this.#ended.signal]));
      } catch (error) {
        if (this.#ended.signal.aborted) break;
        this.#tell({ kind: "heard", problem: (error as Error).message });
        await pause(backoffMs(++failures, this.#data.backoffMsMax), this.#ended.signal);
      }
    }
    this.#remember(true);
    this.#service.close();
    await this.#store.close();
    this.#tell({ kind: "stopped" });
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
    if (this.#idle || now - this.#signedAt < this.#data.heartbeatMs) return;
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
      await this.#orRefused(stream.chain_id, () => this.#send(this.#nothing(stream.chain_id, size), stream));
    }
  }

  get #idle(): boolean {
    return this.#isolated || this.#ended.signal.aborted;
  }

  #behind({ chain_id, size }: StreamRow): boolean {
    if ((this.#refused.get(chain_id) ?? 0) > performance.now()) return false;
    return (this.#arrived.get(chain_id) ?? 0) < size;
  }

  /** What one turn may have; of a stream of which nothing is known, upstream is asked first. @returns whether it went on. */
  async #advance(stream: StreamRow): Promise<boolean> {
    const { chain_id: chainId } = stream;
    const from = this.#arrived.get(chainId);
    const taken = await this.#orRefused(chainId, () =>
      from === undefined ? this.#send(this.#nothing(chainId, 0), stream) : this.#flow(stream, from),
    );
    if (taken && this.#refused.delete(chainId)) this.#tell({ kind: "refused", chainId, problem: undefined });
    return taken;
  }

  /** @returns whether upstream takes the stream; where it does not, it is left alone for a while. */
  async #orRefused(chainId: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (!(error instanceof StreamRefusedError)) throw error;
      this.#refused.set(chainId, performance.now() + REFUSED_MS);
      this.#tell({ kind: "refused", chainId, problem: error.message });
      return false;
    }
  }

  #nothing(chainId: string, from: number): Outgoing {
    return { chainId, from, count: 0, body: { from_sequence: from, records: [] }, digests: [] };
  }

  async #sign(): Promise<void> {
    const [nodeId] = this.#data.ownIds;
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
    return [...new Set([...this.#data.ownIds, ...nodes])];
  }

  /** While a batch is verified and recorded upstream, the next ones are read, packed and sent. Answers are taken in order. */
  async #flow(stream: StreamRow, from: number): Promise<void> {
    const flying: Flying[] = [];
    let [next, landed] = [from, from];
    const land = async (): Promise<void> => {
      const oldest = flying.shift()!;
      await this.#land(oldest);
      landed = oldest.sending.from + oldest.sending.count;
    };
    try {
      for (let left = REQUESTS_A_TURN; left > 0 && next < stream.size && !this.#idle; left--) {
        if (flying.length === UNDER_WAY_MAX) await land();
        // Upstream has answered otherwise than was to be expected: what follows begins elsewhere.
        if (this.#arrived.get(stream.chain_id) !== landed) break;
        const sending = await this.#records(stream, next);
        next += sending.count;
        const sent = await this.#start(sending, stream);
        flying.push(sent);
        await sent.sent;
      }
      while (flying.length > 0) await land();
    } finally {
      // One has failed, and those behind it go again with it.
      await Promise.all(flying.map(({ answer }) => answer));
      for (const { sending } of flying) this.#sent.delete(sending.digests);
    }
  }

  async #send(sending: Outgoing, stream: StreamRow): Promise<void> {
    await this.#land(await this.#start(sending, stream));
  }

  async #start(sending: Outgoing, stream: StreamRow): Promise<Flying> {
    const { chainId, count, digests } = sending;
    const end = sending.from + count;
    const checkpoint = await this.#store.log.checkpoint(chainId);
    // Worth a signature once all of it has arrived.
    const wanted = checkpoint && checkpoint.size <= end && checkpoint.size > (this.#cosigned.get(chainId) ?? 0);
    const asksFor = wanted ? { checkpoint: checkpoint.note } : {};
    const { bytes, encoding } = packed({ ...sending.body, ...asksFor });
    this.#sent.add(digests);
    const handedOver = Promise.withResolvers<void>();
    const answer = this.#service
      .request({
        method: "POST",
        path: `/v1/streams/${encodeURIComponent(chainId)}/records`,
        headers: { "Content-Type": "application/json", "Content-Encoding": encoding },
        body: bytes,
        bytesMax: ANSWER_BYTES_MAX,
        msMax: REQUEST_MS_MAX,
        signal: this.#ended.signal,
        sent: handedOver.resolve,
      })
      .catch((error: Error) => error);
    const sent = Promise.race([handedOver.promise, answer]);
    const checkpointed = wanted ? checkpoint.size : undefined;
    return { sending, stream, arrived: this.#arrived.get(chainId) ?? 0, checkpointed, sent, answer };
  }

  async #land(flying: Flying): Promise<void> {
    const { sending, stream, checkpointed, arrived } = flying;
    const { chainId } = sending;
    const { status, text } = await this.#answerTo(flying);
    if (status === 409 && codeOf(text) === "record_gap") return this.#misses(chainId, nextIn(text), arrived);
    if (status !== 200) {
      const parted = codeOf(text) === RECORD_INVALID ? await this.#parted(stream, nextIn(text)) : "";
      throw refused(status, text, parted);
    }
    const { next_sequence, accepted, checkpoint, superseded, node_id } = JSON.parse(text) as ReplicationAnswer;
    this.#heardFrom(node_id);
    if (checkpointed !== undefined) this.#cosigned.set(chainId, checkpointed);
    const size = next_sequence <= stream.size ? stream.size : ((await this.#store.log.stream(chainId))?.size ?? 0);
    if (next_sequence > size && this.#isOnlyOurs(stream)) {
      const parted = await this.#parted(stream, size);
      throw new StreamRefusedError(
        `upstream has ${next_sequence} records of ${chainId}, more than there are here${parted}`,
      );
    }
    // It has as many records, and another checkpoint is none of them: or it signs none just now.
    if (checkpoint === null && checkpointed !== undefined && checkpointed <= next_sequence) {
      const parted = await this.#parted(stream, checkpointed);
      if (parted !== "") throw new StreamRefusedError(`upstream does not sign a checkpoint of ${chainId}${parted}`);
    }
    this.#arrive(chainId, Math.min(next_sequence, size), accepted, checkpoint ?? undefined);
    if (superseded) this.#handedDown(node_id, superseded);
  }

  /** @throws Error upstream could not be asked, or is to be asked again. */
  async #answerTo({ sending, answer }: Flying): Promise<{ readonly status: number; readonly text: string }> {
    const given = await answer;
    if (given instanceof Error || given.status !== 200) this.#sent.delete(sending.digests);
    if (given instanceof Error) throw given;
    const { status } = given;
    const text = Buffer.from(given.bytes).toString("utf8");
    if (status === 429 || status >= 500) throw new Error(`upstream answers ${status}: ${detailOf(text)}`);
    if (status === 401) throw new Error(`upstream does not know who is calling: ${detailOf(text)}`);
    this.#tell({ kind: "heard", problem: undefined });
    return { status, text };
  }

  /**
   * Finds the first of so many records that upstream has otherwise, and shows it that one: unlike later ones it is signed by a key that upstream knows.
   * @returns in words, where the two histories part; nothing where they do not.
   * @throws StreamRefusedError upstream knows that they are two.
   */
  async #parted(stream: StreamRow, size: number): Promise<string> {
    const first = await firstOther(Math.min(size, stream.size), (sequence) => this.#isSame(stream, sequence));
    return first === undefined ? "" : `; two histories part at record ${first}`;
  }

  /** Whether upstream has this very record: shown one that it has it does nothing. */
  async #isSame(stream: StreamRow, sequence: number): Promise<boolean> {
    if (this.#idle) throw new Error("nothing may be sent any more");
    const sending = await this.#records(stream, sequence, ALL_SENT, 1);
    const { status, text } = await this.#answerTo(await this.#start(sending, stream));
    if (status === 200) return true;
    if (codeOf(text) === RECORD_INVALID) return false;
    throw refused(status, text);
  }

  /** @throws StreamRefusedError they are not there to be read: nothing would come of asking upstream. */
  async #records(stream: StreamRow, from: number, sent: Pick<SentBlobs, "has"> = this.#sent, recordsMax?: number) {
    const sending = await outgoing(this.#store, stream, from, sent, recordsMax);
    if (sending.count > 0) return sending;
    throw new StreamRefusedError(`record ${from} of ${stream.chain_id} cannot be read here`);
  }

  /** Upstream has less than what it was sent continues: it has lost some, or one request has overtaken the one before it. */
  #misses(chainId: string, next: number, arrivedBefore: number): void {
    if (next < arrivedBefore) this.#forget();
    else if (next <= (this.#arrived.get(chainId) ?? 0)) return;
    this.#arrive(chainId, next, 0, undefined);
  }

  /** Another node than before is another store, or the same one, restored: places in it begin anew. */
  #heardFrom(nodeId: string): void {
    if (this.#upstreamId === nodeId) return;
    if (this.#upstreamId !== undefined) this.#forget();
    this.#upstreamId = nodeId;
    this.#superseded = { nodeId, next: 0 };
    this.#changed = true;
  }

  /** Upstream has lost what it had: of every stream it is asked again what it has, those that grow no more included. */
  #forget(): void {
    this.#sent.clear();
    this.#arrived.clear();
    this.#cosigned.clear();
  }

  /** Whether upstream can have no more of a stream than is here. Of other streams a restore may have left less here, under this node's earlier id too. */
  #isOnlyOurs({ chain_id, tenant_id }: StreamRow): boolean {
    return isOwnStream(this.#data.ownIds.slice(0, 1), tenant_id, chain_id);
  }

  #arrive(chainId: string, next: number, accepted: number, checkpoint: string | undefined): void {
    if (this.#arrived.get(chainId) !== next) {
      this.#arrived.set(chainId, next);
      this.#changed = true;
    }
    this.#tell({ kind: "arrived", chainId, next, accepted, checkpoint });
    this.#remember(false);
  }

  #handedDown(nodeId: string, { records, next }: NonNullable<ReplicationAnswer["superseded"]>): void {
    if (records.length > 0 || next > (this.#superseded?.next ?? 0))
      this.#tell({ kind: "superseded", nodeId, records, next });
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
