// Reads request bodies strictly: JSON only, bounded before anything is kept, and no two readings of one text.
import type { IncomingMessage, ServerResponse } from "node:http";
import { RequestError } from "../../core/errors.ts";
import { parseStrict } from "../../core/json.ts";
import { ClientGoneError, HttpError } from "./problem.ts";

/** `application/json` or `application/<anything>+json`, with no charset but UTF-8 (RFC 8259 §8.1, RFC 6839 §3.1). */
const JSON_TYPE = /^application\/(?:json|[a-z0-9!#$&^_.-]+\+json)[ \t]*(?:;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*)?;?$/i;

/**
 * A body that is too large is still read up to here, and thrown away: closing at once would reset the connection under a
 * client that is still sending, and take the answer with it.
 */
const DISCARDED_BYTES_MAX = 16 * 1024 * 1024;

/** A slow client may take this long to send a body that is read as a whole. */
const BODY_MS_MAX = 30_000;
const CHECK_EVERY_MS = 2000;

/**
 * The body, parsed.
 * @throws HttpError 415 `content_type_unsupported`; 408 `request_timeout`; 413 `request_too_large`, and then nothing of it was kept.
 * @throws RequestError 400, 413: see parseStrict.
 * @throws ClientGoneError
 */
export async function readJson(req: IncomingMessage, res: ServerResponse, bytesMax: number): Promise<unknown> {
  checkHeaders(req);
  return parseStrict(await readBytes(req, res, bytesMax), { bytesMax });
}

function checkHeaders({ headers }: IncomingMessage): void {
  const type = headers["content-type"];
  if (type !== "application/json" && !JSON_TYPE.test(type ?? "")) {
    throw new HttpError("content_type_unsupported", "Send application/json in UTF-8.", { Accept: "application/json" });
  }
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new HttpError("content_type_unsupported", "Send the body without Content-Encoding.", {
      "Accept-Encoding": "identity",
    });
  }
}

/** The body as it came. @throws RequestError 413, and then nothing of it was kept. @throws ClientGoneError */
export function readBytes(req: IncomingMessage, res: ServerResponse, bytesMax: number): Promise<Uint8Array> {
  const declared = Number(req.headers["content-length"] ?? 0);
  const tooLarge = () => new RequestError(413, [{ pointer: "", message: `larger than ${bytesMax} bytes` }]);
  if (declared > Math.max(bytesMax, DISCARDED_BYTES_MAX)) return Promise.reject(hangUp(res, tooLarge()));
  if (req.headers.expect !== undefined) {
    if (declared > bytesMax) return Promise.reject(hangUp(res, tooLarge()));
    res.writeContinue();
  }
  const arriving = arrival();
  const bytes = new Promise<Uint8Array>((resolve, reject) => {
    let chunks: Buffer[] = [];
    let length = 0;
    arriving.giveUp = () => {
      res.shouldKeepAlive = false;
      reject(new HttpError("request_timeout", `The body took longer than ${BODY_MS_MAX / 1000} s to arrive.`));
    };
    req.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= bytesMax) chunks.push(chunk);
      else if (length > DISCARDED_BYTES_MAX) reject(hangUp(res, tooLarge()));
      else chunks = [];
    });
    req.on("end", () =>
      length > bytesMax ? reject(tooLarge()) : resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)),
    );
    req.on("error", () => reject(new ClientGoneError("the client went away")));
    // Comes after every request; making an error each time would cost more than reading the body.
    req.on("close", () => req.complete || reject(new ClientGoneError("the client went away")));
  });
  return bytes.finally(() => arriving.end());
}

interface Arrival {
  readonly sinceMs: number;
  giveUp(): void;
  end(): void;
}

const arrivals = new Set<Arrival>();
let watch: NodeJS.Timeout | undefined;

/** A body that has begun to arrive. All are watched by one timer, since one for each would cost more than reading most. */
function arrival(): Arrival {
  const arriving: Arrival = { sinceMs: performance.now(), giveUp: () => {}, end: () => arrivals.delete(arriving) };
  arrivals.add(arriving);
  watch ??= setInterval(giveUpLate, CHECK_EVERY_MS).unref();
  return arriving;
}

function giveUpLate(): void {
  const oldest = performance.now() - BODY_MS_MAX;
  for (const arriving of arrivals) if (arriving.sinceMs < oldest) arriving.giveUp();
  if (arrivals.size > 0) return;
  clearInterval(watch);
  watch = undefined;
}

/** What follows on this connection would be the rest of the body. */
function hangUp(res: ServerResponse, error: RequestError): RequestError {
  res.shouldKeepAlive = false;
  return error;
}
