// Following events live (server-sent events). Each client is fed from the store at its own pace, so that none can make
// this process hold more than a page for it; one that does not keep up at all is cut off.
import type { ServerResponse } from "node:http";
import { eventTextOf } from "../../core/event.ts";
import type { EventQuery, StoredEvent, StoreReader } from "../../store/store.ts";
import { HttpError } from "../call/problem.ts";

export interface FollowLimits {
  /** Clients at once. */
  readonly clientsMax: number;
  /** Between comments that keep proxies from closing a quiet stream. */
  readonly heartbeatMs: number;
  /** How long a client may leave what it was sent unread. */
  readonly stalledMsMax: number;
}

export const FOLLOW_LIMITS: FollowLimits = { clientsMax: 256, heartbeatMs: 15_000, stalledMsMax: 10_000 };

type Filters = Omit<EventQuery, "order" | "limit" | "after">;

interface Follower {
  readonly res: ServerResponse;
  readonly filters: Filters;
  /** Everything up to here was sent, or is none of its business. */
  position: number;
  /** Since when it has left something unread; undefined: it keeps up. */
  stalledSinceMs: number | undefined;
}

const PAGE = 200;
/** Commits come by the hundred a second; clients need not hear of each by itself. */
const WAKE_AFTER_MS = 20;
const RECONNECT_AFTER_MS = 2000;

export class Followers {
  readonly #store: StoreReader;
  readonly #limits: FollowLimits;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #followers = new Set<Follower>();
  readonly #heartbeat: NodeJS.Timeout;
  #newest: number;
  #wakeup: NodeJS.Timeout | undefined;

  /** @param headers sent with every stream. */
  constructor(store: StoreReader, headers: Readonly<Record<string, string>>, limits: FollowLimits) {
    this.#store = store;
    this.#headers = headers;
    this.#limits = limits;
    this.#newest = store.events({ order: "desc", limit: 1 })[0]?.position ?? 0;
    this.#heartbeat = setInterval(() => this.#beat(), Math.min(limits.heartbeatMs, limits.stalledMsMax)).unref();
  }

  get count(): number {
    return this.#followers.size;
  }

  /** Takes note of what became durable. */
  committed(events: readonly StoredEvent[]): void {
    this.#newest = events.at(-1)?.position ?? this.#newest;
    if (this.#followers.size === 0) return;
    this.#wakeup ??= setTimeout(() => {
      this.#wakeup = undefined;
      for (const follower of this.#followers) this.#feed(follower);
    }, WAKE_AFTER_MS);
  }

  /**
   * Feeds a client from behind a position on; from now on where there is none.
   * @throws HttpError 503 `streams_exhausted`
   */
  add(res: ServerResponse, filters: Filters, requestId: string, after = this.#newest): undefined {
    if (this.#followers.size >= this.#limits.clientsMax) {
      throw new HttpError("streams_exhausted", `${this.#limits.clientsMax} clients follow already.`, {
        "Retry-After": "10",
      });
    }
    res.writeHead(200, {
      ...this.#headers,
      "Content-Type": "text/event-stream",
      "Cache-Control": "no-store",
      "X-Accel-Buffering": "no",
      "X-Request-Id": requestId,
    });
    if (res.req.method === "HEAD") return void res.end();
    res.write(`retry: ${RECONNECT_AFTER_MS}\n\n`);
    const follower: Follower = { res, filters, position: after, stalledSinceMs: undefined };
    this.#followers.add(follower);
    res.on("close", () => this.#followers.delete(follower));
    res.on("error", () => res.destroy());
    res.on("drain", () => {
      follower.stalledSinceMs = undefined;
      this.#feed(follower);
    });
    this.#feed(follower);
  }

  /** Ends every stream; clients come back to whoever listens then, with the last id they saw. */
  close(): void {
    clearInterval(this.#heartbeat);
    clearTimeout(this.#wakeup);
    for (const { res } of this.#followers) res.end();
  }

  /** A client that cannot be fed is cut off: when it comes back it is told why, or finds that it is over. */
  #feed(follower: Follower): void {
    try {
      this.#send(follower);
    } catch {
      follower.res.destroy();
    }
  }

  /** Sends what a client has not seen, for as long as it takes it. */
  #send(follower: Follower): void {
    while (follower.stalledSinceMs === undefined && follower.position < this.#newest) {
      const newest = this.#newest;
      const { events, next } = this.#store.page({
        ...follower.filters,
        order: "asc",
        limit: PAGE,
        after: follower.position,
      });
      follower.position = next ?? Math.max(newest, events.at(-1)?.position ?? 0);
      if (events.length > 0 && !follower.res.write(events.map(messageOf).join("")))
        follower.stalledSinceMs = Date.now();
      // Where much is passed over, others get their turn between one page and the next.
      else if (next !== null) return void setImmediate(() => this.#followers.has(follower) && this.#feed(follower));
    }
  }

  #beat(): void {
    const latest = Date.now() - this.#limits.stalledMsMax;
    for (const { res, stalledSinceMs } of this.#followers) {
      if (stalledSinceMs === undefined) res.write(": still here\n\n");
      else if (stalledSinceMs <= latest) res.destroy();
    }
  }
}

/** An event's canonical text has no line break, so it is one line of data. */
function messageOf({ record }: StoredEvent): string {
  const event = eventTextOf(record);
  return `id: ${(JSON.parse(event) as { id: string }).id}\ndata: ${event}\n\n`;
}
