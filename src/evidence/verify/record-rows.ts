// Checks of single records, a chunk of lines at a time: form, leaf hash, signature.
import { decodeBase64url, fromBase64url } from "./base64url.ts";
import type { LineChunk } from "./chunks.ts";
import { DIGEST_BYTES } from "../../core/digest.ts";
import type { Primitives } from "./primitives.ts";
import { Faults, linesOf, MALFORMED_MAX, type RowFault } from "./rows.ts";

/** What is kept of the lines of records.jws. */
export interface RecordRows {
  readonly count: number;
  /** SHA-256 of each payload. */
  readonly payloadDigests: Uint8Array;
  /** RFC 6962 leaf hashes of the records' ASCII bytes. */
  readonly leafHashes: Uint8Array;
  /** For each record the number of its key in `kids`; −1 where it names none. */
  readonly keyNumbers: Int32Array;
  readonly kids: readonly string[];
  readonly faults: readonly RowFault[];
  readonly stopped: boolean;
}

/** Public event keys by kid: 32 bytes each. */
export type EventKeys = ReadonlyMap<string, Uint8Array>;

const LINE_BYTES_MAX = 2 * 1024 * 1024;
const SIGNATURE_BYTES = 64;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What is hashed at once and kept no longer. */
const payloadBytes = new Uint8Array(64 * 1024);
let leafBytes = new Uint8Array(64 * 1024);

interface ReadRecord {
  readonly kid: string;
  /** Good until the next record is read. */
  readonly payload: Uint8Array;
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
}

/** Lines of records.jws: compact JWS, by known keys where any are to be had. Payloads are compared with the events elsewhere, by their digests. */
export async function checkRecords(
  chunk: LineChunk,
  keys: EventKeys | undefined,
  primitives: Primitives,
): Promise<RecordRows> {
  const { lines } = chunk;
  const faults = new Faults();
  const headers = new Headers();
  const payloadDigests = new Uint8Array(lines * DIGEST_BYTES);
  const leafHashes = new Uint8Array(lines * DIGEST_BYTES);
  const keyNumbers = new Int32Array(lines).fill(-1);
  const kids: string[] = [];
  const pending: (boolean | Promise<boolean>)[] = [];
  for (const line of linesOf(chunk.bytes)) {
    const row = pending.length;
    leafHashes.set(leafHash(primitives, line), row * DIGEST_BYTES);
    const record = readRecord(line, headers);
    if (typeof record === "string") {
      faults.add("records", chunk.first + row, record);
      pending.push(true);
      if (faults.count("records") > MALFORMED_MAX) break;
      continue;
    }
    payloadDigests.set(primitives.sha256(record.payload), row * DIGEST_BYTES);
    keyNumbers[row] = numberOf(kids, record.kid);
    const key = keys?.get(record.kid);
    pending.push(
      keys === undefined || (key !== undefined && primitives.verifyEd25519(key, record.signed, record.signature)),
    );
  }
  for (const [row, verified] of pending.entries()) {
    if (await verified) continue;
    const kid = kids[keyNumbers[row]!]!;
    faults.add(
      "record_signatures",
      chunk.first + row,
      keys?.has(kid) ? "the signature does not verify" : `it is signed by ${kid}, which is no event key of keys.json`,
    );
  }
  const stopped = faults.count("records") > MALFORMED_MAX;
  return { count: pending.length, payloadDigests, leafHashes, keyNumbers, kids, faults: faults.list, stopped };
}

function numberOf(kids: string[], kid: string): number {
  const known = kids.indexOf(kid);
  return known === -1 ? kids.push(kid) - 1 : known;
}

/** RFC 6962 §2.1. The line with a zero before it, which is the first byte of this. */
function leafHash(primitives: Primitives, line: Uint8Array): Uint8Array {
  if (line.length >= leafBytes.length) leafBytes = new Uint8Array(2 * line.length);
  leafBytes.set(line, 1);
  return primitives.sha256(leafBytes.subarray(0, line.length + 1));
}

/** @returns what is wrong with its form, as text. */
function readRecord(line: Uint8Array, headers: Headers): ReadRecord | string {
  if (line.length > LINE_BYTES_MAX) return `the line is longer than ${LINE_BYTES_MAX} bytes`;
  const dot = line.indexOf(0x2e);
  const second = line.lastIndexOf(0x2e);
  if (dot === -1 || dot === second || line.subarray(dot + 1, second).includes(0x2e)) return "it is no compact JWS";
  const kid = headers.signerOf(line.subarray(0, dot));
  if (kid === undefined) return 'its header is not {"alg":"EdDSA","kid":…,"typ":"railgate-event+jws"}';
  const payload = decodeBase64url(line.subarray(dot + 1, second), payloadBytes);
  const signature = decodeBase64url(line.subarray(second + 1));
  if (payload === undefined || signature === undefined) return "it is not base64url as it must be written";
  if (signature.length !== SIGNATURE_BYTES) return "its signature is no Ed25519 signature";
  return { kid, payload, signed: line.subarray(0, second), signature };
}

const RECORD_TYPE = "railgate-event+jws";

/** The kid of a header of the one form that records have (spec evidence §2); an algorithm of another name is never tried. */
export function signerOf(header: string, type: string): string | undefined {
  const bytes = fromBase64url(header);
  if (bytes === undefined) return undefined;
  try {
    const { alg, kid, typ, ...rest } = JSON.parse(utf8.decode(bytes)) as Record<string, unknown>;
    if (alg !== "EdDSA" || typ !== type || typeof kid !== "string" || Object.keys(rest).length > 0) return undefined;
    return kid;
  } catch {
    return undefined;
  }
}

/** Headers of records, which are mostly those of the record before. */
class Headers {
  #last = new Uint8Array(0);
  #kid: string | undefined;

  signerOf(header: Uint8Array): string | undefined {
    if (!this.#isLast(header)) [this.#last, this.#kid] = [header.slice(), signerOf(latin1(header), RECORD_TYPE)];
    return this.#kid;
  }

  #isLast(header: Uint8Array): boolean {
    const last = this.#last;
    if (header.length !== last.length) return false;
    for (let at = 0; at < header.length; at++) if (header[at] !== last[at]) return false;
    return true;
  }
}

const decoder = new TextDecoder("latin1");
const latin1 = (bytes: Uint8Array): string => decoder.decode(bytes);
