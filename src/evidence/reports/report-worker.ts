// The thread that reports decisions: reads them from the store in order, hides what the policies hide, and sends them in chunks until it is at the end.
import { parentPort, workerData } from "node:worker_threads";
import { eventTextOf } from "../../core/event.ts";
import { EMPTY_SNAPSHOT } from "../../core/digest.ts";
import { ArtifactAlteredError } from "../../core/errors.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import { backoffMs, between, pause } from "../../outbound/pace.ts";
import { RemoteService } from "../../outbound/service.ts";
import { openReader } from "../../store/open.ts";
import type { StoredEvent, StoreReader } from "../../store/store.ts";
import { isOwnStream } from "../upstream/own.ts";
import { Censor } from "./censor.ts";
import { Packer, type ReportChunk } from "./chunks.ts";
import { decisionEvent, isReported, textOf, withhold, type DecisionEvent } from "./decision-event.ts";
import { readPlace, writePlace } from "./place.ts";
import type { ReportData, ReportReply, ReportRequest } from "./report-messages.ts";

const data = workerData as ReportData;

const EVENTS_AT_ONCE = 256;
/** Decisions are read until they take so much; a single one may take more. */
const BYTES_AT_ONCE = 4 * 1024 * 1024;
const REQUEST_MS_MAX = 60_000;
/** Of a bundle that has no name. */
const SHIPPED = "railgate";

/** A decision to be sent, and where it stands. */
interface Item {
  readonly position: number;
  readonly event: DecisionEvent;
  readonly text: string;
}

interface Read {
  readonly items: readonly Item[];
  /** Where the reading ended; undefined: there is nothing more. */
  readonly end: number | undefined;
  readonly dropped: number;
}

class AnswerStatusError extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`service ${data.access.name} answers ${status} for ${data.path}`);
    this.status = status;
  }
}

const store = await openReader(data.storePath);

class Reports {
  readonly #store: StoreReader = store;
  readonly #service = new RemoteService(data.access, data.userAgent);
  readonly #packer = new Packer(data.bytesMax);
  readonly #ended = new AbortController();
  #after = readPlace(data.cursorFile);
  #censor: Promise<Censor> | undefined;
  #complete = false;
  #isolated = true;
  #wake = new AbortController();
  #grown = true;

  told(request: ReportRequest): void {
    switch (request.kind) {
      case "stop":
        this.#ended.abort();
        break;
      case "isolated":
        this.#isolated = request.isolated;
        if (data.immediate) this.#wake.abort();
        break;
      case "policies":
        this.#censor = Censor.load(request.mask, request.drop);
        this.#complete = request.complete;
        if (data.immediate) this.#wake.abort();
        break;
      case "grown":
        this.#grown = true;
        this.#wake.abort();
        break;
    }
  }

  async run(): Promise<void> {
    const { signal } = this.#ended;
    for (let failures = 0; !signal.aborted; ) {
      await (failures === 0 ? this.#wait() : pause(backoffMs(failures, data.maxDelayMs), signal));
      if (!this.#may) continue;
      try {
        this.#grown = false;
        if (await this.#all()) tell({ kind: "done" });
        failures = 0;
      } catch (error) {
        if (signal.aborted) break;
        failures += 1;
        const httpCode = error instanceof AnswerStatusError ? error.status : undefined;
        tell({ kind: "failed", message: (error as Error).message, httpCode });
      }
    }
    this.#service.close();
    await this.#store.close();
    tell({ kind: "stopped" });
  }

  get #may(): boolean {
    return !this.#isolated && this.#complete && !this.#ended.signal.aborted;
  }

  /** Until it is time; or, of whoever reports at once, until there may be something. */
  async #wait(): Promise<void> {
    const { signal } = this.#ended;
    if (!data.immediate) return pause(between(data.minDelayMs, data.maxDelayMs), signal);
    this.#wake = new AbortController();
    if (this.#grown && this.#may) return;
    await pause(data.maxDelayMs, AbortSignal.any([this.#wake.signal, signal]));
  }

  /** @returns whether anything was sent. @throws Error a chunk did not arrive; all from it on is sent again. */
  async #all(): Promise<boolean> {
    let some = false;
    while (this.#may) {
      const { items, end, dropped } = await this.#read(await this.#censor!);
      for (let rest = items; rest.length > 0; some = true) {
        if (!this.#may) return some;
        const { count, bytes } = this.#chunk(rest);
        await this.#send(bytes);
        rest = rest.slice(count);
        const before = rest[0] === undefined ? end : items[items.indexOf(rest[0]) - 1]!.position;
        this.#reported(before ?? items.at(-1)!.position, count, 0);
      }
      if (end === undefined) return some;
      if (end !== this.#after || dropped > 0) this.#reported(end, 0, dropped);
    }
    return some;
  }

  #reported(after: number, events: number, dropped: number): void {
    if (after !== this.#after) writePlace(data.cursorFile, after);
    this.#after = after;
    tell({ kind: "reported", after, events, dropped });
  }

  async #read(censor: Censor): Promise<Read> {
    const asked = { order: "asc", limit: EVENTS_AT_ONCE, after: this.#after, ahead: true } as const;
    const { events } = await this.#store.page(asked);
    const items: Item[] = [];
    let [bytes, dropped, end] = [0, 0, undefined as number | undefined];
    for (const stored of events) {
      if (bytes > BYTES_AT_ONCE) break;
      end = stored.position;
      const event = await this.#decisionIn(stored);
      if (event === undefined) continue;
      const { reported, withheld } = censor.pass(event);
      if (!reported) {
        dropped += 1;
        continue;
      }
      if (withheld !== undefined) tell({ kind: "withheld", decisionId: event.decision_id, why: withheld });
      const text = textOf(event);
      bytes += text.length;
      items.push({ position: stored.position, event, text });
    }
    return { items, end, dropped };
  }

  async #decisionIn({ record }: StoredEvent): Promise<DecisionEvent | undefined> {
    const event = JSON.parse(eventTextOf(record)) as EvidenceEvent;
    if (!isOwnStream(data.ownIds, event.tenant_id, event.chain_id) || !isReported(event)) return undefined;
    const bundle = await this.#bundleOf(event.policy_snapshot_id);
    return decisionEvent({ event, artifact: await this.#artifactOf(event.id), labels: data.labels, bundle });
  }

  /** undefined: it was erased. What is not what the event points to is not reported, and holds up nothing. */
  async #artifactOf(eventId: string): Promise<string | undefined> {
    try {
      const artifact = await this.#store.artifactOf(eventId);
      return artifact && Buffer.from(artifact.bytes).toString("utf8");
    } catch (error) {
      if (!(error instanceof ArtifactAlteredError)) throw error;
      tell({ kind: "withheld", decisionId: eventId, why: error.message });
      return undefined;
    }
  }

  async #bundleOf(digest: string): Promise<{ name: string; revision: string } | undefined> {
    if (digest === EMPTY_SNAPSHOT) return undefined;
    const row = await this.#store.state("policy", "default", `digest/${digest}`);
    if (row === undefined) return undefined;
    const { name, revision } = JSON.parse(row) as { name: string | null; revision: string };
    return { name: name ?? SHIPPED, revision };
  }

  /** A decision that is larger than a report may be goes without its input, then without its result; and then whatever it takes. */
  #chunk(items: readonly Item[]): ReportChunk {
    const chunk = this.#packer.pack(items.map(({ text }) => text));
    const [{ event }] = items as [Item];
    for (const member of ["input", "result"] as const) {
      if (chunk.bytes.length <= data.bytesMax || !(member in event)) continue;
      withhold(event, [member], "too_large");
      tell({ kind: "withheld", decisionId: event.decision_id, why: "it is larger than a report may be" });
      return this.#chunk([{ ...items[0]!, text: textOf(event) }]);
    }
    return chunk;
  }

  async #send(body: Uint8Array): Promise<void> {
    const { status } = await this.#service.request({
      method: "POST",
      path: data.path,
      headers: { "Content-Type": "application/json", "Content-Encoding": "gzip" },
      body,
      msMax: REQUEST_MS_MAX,
      signal: this.#ended.signal,
    });
    if (status < 200 || status > 299) throw new AnswerStatusError(status);
  }
}

const tell = (reply: ReportReply): void => parentPort!.postMessage(reply);

const reports = new Reports();
parentPort!.on("message", (request: ReportRequest) => reports.told(request));
void reports.run().finally(() => parentPort!.close());
