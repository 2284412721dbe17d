// Reads request bodies strictly: JSON only, bounded before anything is kept, and no two readings of one text.
import type { IncomingMessage, ServerResponse } from "node:http";
import { RequestError } from "../../core/errors.ts";
import { parseStrict } from "../../core/json.ts";
import { heldBytesMax, type Peer } from "./peer.ts";
import { ClientGoneError, HttpError } from "./problem.ts";
import { endBehind } from "./reply.ts";
import type { Exchange } from "./route.ts";

/** `application/json` or `application/<anything>+json`, with no charset but UTF-8 (RFC 8259 §8.1, RFC 6839 §3.1). */
const JSON_TYPE = /^application\/(?:json|[a-z0-9!#$&^_.-]+\+json)[ \t]*(?:;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*)?;?$/i;

/**
 * A body that is too large is still read up to here, and thrown away: closing at once would reset the connection under a
 * client that is still sending, and take the answer with it.
 */
const DISCARDED_BYTES_MAX = 16 * 1024 * 1024;

/** A call whose body may be read, once. */
type Arriving = Pick<Exchange, "req" | "res" | "peer">;

/**
 * The body, parsed.
 * @throws HttpError 415 `content_type_unsupported`; 408 `request_timeout`; 413 `request_too_large`, and then nothing of it was kept.
 * @throws RequestError 400, 413: see parseStrict.
 * @throws ClientGoneError
 */
export async function readJson(call: Arriving, bytesMax: number): Promise<unknown> {
  checkHeaders(call.req);
  const bytes = await readBytes(call, bytesMax);
  await call.peer.turn(bytes.length);
  return parseStrict(bytes, { bytesMax });
}

/** @throws HttpError 415 `content_type_unsupported` */
export function checkJsonType({ headers }: IncomingMessage): void {
  const type = headers["content-type"];
  if (type !== "application/json" && !JSON_TYPE.test(type ?? "")) {
    throw new HttpError("content_type_unsupported", "Send application/json in UTF-8.", { Accept: "application/json" });
  }
}

function checkHeaders(req: IncomingMessage): void {
  checkJsonType(req);
  const { headers } = req;
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new HttpError("content_type_unsupported", "Send the body without Content-Encoding.", {
      "Accept-Encoding": "identity",
    });
  }
}

/**
 * The body as it came.
 * @throws RequestError 413, and then nothing of it was kept. @throws ClientGoneError
 * @throws HttpError 408 `request_timeout`; 503 `bodies_exhausted`: all calls together hold as much as they may.
 */
export function readBytes({ req, res, peer }: Arriving, bytesMax: number): Promise<Uint8Array> {
  const declared = Number(req.headers["content-length"] ?? 0);
  const tooLarge = () => new RequestError(413, [{ pointer: "", message: `larger than ${bytesMax} bytes` }]);
  if (declared > Math.max(bytesMax, DISCARDED_BYTES_MAX)) return Promise.reject(hangUp(res, tooLarge()));
  if (req.headers.expect !== undefined) {
    if (declared > bytesMax) return Promise.reject(hangUp(res, tooLarge()));
    res.writeContinue();
  }
  const bytes = new Promise<Uint8Array>((resolve, reject) => {
    let chunks: Buffer[] = [];
    let length = 0;
    // What comes of it later is nobody's, and held by nobody.
    const refuse = (error: Error): void => {
      req.off("data", take);
      reject(error);
    };
    const take = (chunk: Buffer): void => {
      length += chunk.length;
      if (length > DISCARDED_BYTES_MAX && length > bytesMax) refuse(hangUp(res, tooLarge()));
      else if (length > bytesMax) chunks = [];
      else if (peer.hold(chunk.length, bytesMax)) chunks.push(chunk);
      else refuse(exhausted(peer, bytesMax));
    };
    peer.wait(() => refuse(hangUp(res, timeout(peer.limits.bodyMsMax))), peer.limits.bodyMsMax);
    req.on("data", take);
    req.on("end", () =>
      length > bytesMax ? reject(tooLarge()) : resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)),
    );
    req.on("error", () => reject(new ClientGoneError("the client went away")));
    // Comes after every request; making an error each time would cost more than reading the body.
    req.on("close", () => req.complete || reject(new ClientGoneError("the client went away")));
  });
  return bytes.finally(() => peer.moved(0));
}

/**
 * The body as it comes, for what is too large to be kept.
 * @throws RequestError 413; HttpError 408 `request_timeout`; ClientGoneError
 */
export async function* readParts({ req, res, peer }: Arriving, bytesMax: number): AsyncGenerator<Uint8Array> {
  if (req.headers.expect !== undefined) res.writeContinue();
  const parts = req.iterator({ destroyOnReturn: false });
  try {
    for (let length = 0; ; ) {
      const part = await nextPart(parts, peer, res);
      if (part.done) return;
      length += part.value.length;
      if (length > bytesMax)
        throw hangUp(res, new RequestError(413, [{ pointer: "", message: `larger than ${bytesMax} bytes` }]));
      yield part.value;
    }
  } finally {
    parts.return?.().catch(() => {});
  }
}

function nextPart(parts: AsyncIterator<Buffer>, peer: Peer, res: ServerResponse): Promise<IteratorResult<Buffer>> {
  return new Promise((resolve, reject) => {
    peer.wait(() => reject(hangUp(res, timeout(peer.limits.waitMsMax))), peer.limits.waitMsMax);
    parts.next().then(
      (part) => {
        peer.moved(part.done ? 0 : part.value.length);
        resolve(part);
      },
      () => {
        peer.moved(0);
        reject(new ClientGoneError("the client went away"));
      },
    );
  });
}

const timeout = (msMax: number): HttpError =>
  new HttpError(
    "request_timeout",
    `The body came too slowly: ${msMax / 1000} s without enough of it is as long as it is waited for.`,
  );

const exhausted = ({ limits }: Peer, bytesMax: number): HttpError =>
  new HttpError(
    "bodies_exhausted",
    `All bodies that are under way may have ${heldBytesMax(limits, bytesMax)} bytes together, and they have; ask again.`,
    { "Retry-After": "1" },
  );

function hangUp<E extends Error>(res: ServerResponse, error: E): E {
  endBehind(res);
  return error;
}
