// Following events live (server-sent events). Each client is fed from the store at its own pace, so that none can make
// this process hold more than a page for it.
import { setImmediate } from "node:timers/promises";
import { eventTextOf } from "../../core/event.ts";
import type { EventQuery, StoredEvent, StoreReader } from "../../store/store.ts";
import type { Peer } from "../call/peer.ts";
import type { Stream } from "../call/route.ts";
import { Turns } from "../call/turns.ts";

export interface FollowLimits {
  /** Clients at once. */
  readonly clientsMax: number;
  /** Of one tenant. */
  readonly tenantClientsMax: number;
  /** Between comments that keep proxies from closing a quiet stream. */
  readonly heartbeatMs: number;
}

export const FOLLOW_LIMITS: FollowLimits = { clientsMax: 256, tenantClientsMax: 64, heartbeatMs: 15_000 };

type Filters = Omit<EventQuery, "order" | "limit" | "after">;
type News = "events" | "none";

const PAGE = 200;
/** Commits come by the hundred a second; clients need not hear of each by itself. */
const WAKE_AFTER_MS = 20;
const RECONNECT_AFTER_MS = 2000;

export class Followers {
  readonly #store: StoreReader;
  readonly #turns: Turns;
  /** Those that have seen everything. */
  readonly #idle = new Set<(news: News) => void>();
  readonly #heartbeat: NodeJS.Timeout;
  #newest: number;
  #wakeup: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(store: StoreReader, { clientsMax, tenantClientsMax, heartbeatMs }: FollowLimits) {
    this.#store = store;
    this.#turns = new Turns(
      { max: clientsMax, tenantMax: tenantClientsMax },
      { code: "streams_exhausted", retryS: 10 },
    );
    this.#newest = store.events({ order: "desc", limit: 1 })[0]?.position ?? 0;
    this.#heartbeat = setInterval(() => this.#wake("none"), heartbeatMs).unref();
  }

  get count(): number {
    return this.#turns.count;
  }

  /** Takes note of what became durable. */
  committed(events: readonly StoredEvent[]): void {
    this.#newest = events.at(-1)?.position ?? this.#newest;
    if (this.#idle.size === 0) return;
    this.#wakeup ??= setTimeout(() => {
      this.#wakeup = undefined;
      this.#wake("events");
    }, WAKE_AFTER_MS);
  }

  /**
   * What follows a position; what comes from now on where there is none.
   * @param tenantId whose turn it takes.
   * @throws HttpError 503 `streams_exhausted`
   */
  follow(tenantId: string | null, peer: Peer, filters: Filters, after = this.#newest): Stream {
    const turn = this.#turns.take(tenantId, peer);
    return {
      parts: (ended) => this.#feed(filters, after, ended),
      lasting: true,
      over: () => turn[Symbol.dispose](),
    };
  }

  /** Ends every stream; clients come back to whoever listens then, with the last id they saw. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#wakeup);
    this.#wake("none");
  }

  /** A client that cannot be fed is cut off: when it comes back it is told why, or finds that it is over. */
  async *#feed(filters: Filters, after: number, ended: AbortSignal): AsyncGenerator<string> {
    let stop = (): void => {};
    ended.addEventListener("abort", () => stop());
    yield `retry: ${RECONNECT_AFTER_MS}\n\n`;
    for (let position = after; !this.#closed && !ended.aborted; ) {
      const newest = this.#newest;
      if (position >= newest) {
        const news = await new Promise<News>((wake) => {
          this.#idle.add(wake);
          stop = () => this.#idle.delete(wake) && wake("none");
        });
        if (news === "none" && !this.#closed && !ended.aborted) yield ": still here\n\n";
        continue;
      }
      const { events, next } = this.#store.page({ ...filters, order: "asc", limit: PAGE, after: position });
      position = next ?? Math.max(newest, events.at(-1)?.position ?? 0);
      if (events.length > 0) yield events.map(messageOf).join("");
      // Where much is passed over, others get their turn between one page and the next.
      if (next !== null) await setImmediate();
    }
  }

  #wake(news: News): void {
    const idle = [...this.#idle];
    this.#idle.clear();
    for (const wake of idle) wake(news);
  }
}

/** An event's canonical text has no line break, so it is one line of data. */
function messageOf({ record }: StoredEvent): string {
  const event = eventTextOf(record);
  return `id: ${(JSON.parse(event) as { id: string }).id}\ndata: ${event}\n\n`;
}
