// Events as they come: server-sent events, and coming back to where it was when the connection breaks.
import { NotFoundError } from "../core/errors.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { FollowQuery } from "../core/schema/queries.ts";
import { AnswerError, ConnectionError } from "./errors.ts";
import { partsOf } from "./transport.ts";
import { pause, type Wire } from "./wire.ts";

/** The server says something at least every 15 s; after so long it is gone. */
const SILENT_MS_MAX = 45_000;
const COME_BACK_MS = 500;

/**
 * Goes on for as long as it is wanted; each event once, none left out.
 * @throws whatever asking the server does, when it cannot be asked again in time.
 */
export async function* followed(
  wire: Wire,
  { after, ...query }: FollowQuery,
  signal?: AbortSignal,
): AsyncGenerator<EvidenceEvent> {
  let [last, since] = [after, query.since];
  // From a definite place, so that nothing is missed while a connection is made anew.
  if (last === undefined && since === undefined) {
    last = await newest(wire, query.tenant_id);
    if (last === undefined) since = new Date(0).toISOString();
  }
  while (!signal?.aborted) {
    const silence = new AbortController();
    const ended = signal ? AbortSignal.any([signal, silence.signal]) : silence.signal;
    try {
      const response = await wire.open(
        {
          method: "GET",
          path: "/v1/events",
          query: { ...query, since },
          headers: { accept: "text/event-stream", "last-event-id": last },
        },
        ended,
      );
      for await (const event of events(response, silence)) {
        last = event.id;
        yield event;
      }
    } catch (error) {
      if (signal?.aborted) return;
      if (error instanceof NotFoundError || error instanceof AnswerError || error instanceof ConnectionError)
        throw error;
      if (!(error instanceof Broken)) throw error;
    }
    await pause(COME_BACK_MS, signal);
  }
}

/** The connection ended in the middle; what is missing is to be had by coming back. */
class Broken extends Error {}

async function newest(wire: Wire, tenant_id: string | undefined): Promise<string | undefined> {
  const { items } = await wire.json<{ items: EvidenceEvent[] }>({
    method: "GET",
    path: "/v1/events",
    query: { tenant_id, limit: 1 },
  });
  return items[0]?.id;
}

/** @throws Broken */
async function* events(response: Response, silence: AbortController): AsyncGenerator<EvidenceEvent> {
  const decoder = new TextDecoder();
  let rest = "";
  let timer = setTimeout(() => silence.abort(), SILENT_MS_MAX);
  const parts = partsOf(response);
  try {
    for (;;) {
      const part = await parts.next().catch((cause: unknown) => {
        throw new Broken("the stream broke off", { cause });
      });
      if (part.done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENT_MS_MAX);
      const messages = (rest + decoder.decode(part.value, { stream: true })).split("\n\n");
      rest = messages.pop()!;
      for (const message of messages) {
        const data = /^data: (.*)$/m.exec(message)?.[1];
        if (data !== undefined) yield JSON.parse(data) as EvidenceEvent;
      }
    }
  } finally {
    clearTimeout(timer);
    await parts.return(undefined).catch(() => {});
  }
}
