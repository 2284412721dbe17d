// Following events live (server-sent events): so many clients at once, a share of them for each tenant, each at its own pace.
import { eventTextOf } from "../../core/event.ts";
import type { FollowQuery } from "../../core/schema/queries.ts";
import type { LocalRailgate } from "../../library/local.ts";
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

const RECONNECT_AFTER_MS = 2000;

type Begin = Awaited<ReturnType<LocalRailgate["followPages"]>>;

export class Followers {
  readonly #heartbeatMs: number;
  readonly #turns: Turns;
  readonly #closing = new AbortController();

  constructor({ clientsMax, tenantClientsMax, heartbeatMs }: FollowLimits) {
    this.#heartbeatMs = heartbeatMs;
    this.#turns = new Turns(
      { max: clientsMax, tenantMax: tenantClientsMax },
      { code: "streams_exhausted", retryS: 10 },
    );
  }

  /** Aborts when the node closes. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  get count(): number {
    return this.#turns.count;
  }

  /**
   * @param tenantId whose turn it takes.
   * @throws HttpError 503 `streams_exhausted`; and what is wrong with the query.
   */
  async follow(railgate: LocalRailgate, query: FollowQuery, tenantId: string | null, peer: Peer): Promise<Stream> {
    const begin = await railgate.followPages(query);
    const turn = this.#turns.take(tenantId, peer);
    return {
      parts: (ended) => this.#messages(begin, AbortSignal.any([ended, this.#closing.signal])),
      lasting: true,
      over: () => turn[Symbol.dispose](),
    };
  }

  /** Ends every stream; clients come back to whoever listens then, with the last id they saw. */
  close(): void {
    this.#closing.abort();
  }

  async *#messages(begin: Begin, ended: AbortSignal): AsyncGenerator<string> {
    yield `retry: ${RECONNECT_AFTER_MS}\n\n`;
    const pages = begin(ended);
    for (let next = pages.next(); ; ) {
      const page = await sooner(next, this.#heartbeatMs);
      if (page === "later") yield ": still here\n\n";
      else if (page.done) return;
      else {
        yield page.value.map(messageOf).join("");
        next = pages.next();
      }
    }
  }
}

/** What is promised, if it comes in time. */
async function sooner<T>(promised: Promise<T>, ms: number): Promise<T | "later"> {
  const { promise: later, resolve } = Promise.withResolvers<"later">();
  const timer = setTimeout(resolve, ms, "later").unref();
  try {
    return await Promise.race([promised, later]);
  } finally {
    clearTimeout(timer);
  }
}

/** An event's canonical text has no line break, so it is one line of data. */
function messageOf({ record }: { readonly record: string }): string {
  const event = eventTextOf(record);
  return `id: ${(JSON.parse(event) as { id: string }).id}\ndata: ${event}\n\n`;
}
