// One record by its stored bytes: signature, hash, canonical form, and whether it continues its stream (spec evidence §1, §2).
import { createPublicKey, verify, type KeyObject } from "node:crypto";
import { digestOf, type Head } from "../../core/event.ts";
import { canonicalJson, parseStrict } from "../../core/json.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { StoreReader } from "../../store/store.ts";

export type Keys = ReadonlyMap<string, KeyObject>;

export async function readKeys(store: Pick<StoreReader, "keys">): Promise<Keys> {
  return new Map(
    (await store.keys())
      .filter(({ role }) => role === "event" || role === "peer")
      .map(({ kid, jwk }) => [kid, createPublicKey({ key: jwk as never, format: "jwk" })]),
  );
}

/** Signature over the stored bytes, then what they say of themselves. Source: evidence.md §1, §2. */
export function readRecord(record: string, keys: Keys): { event?: EvidenceEvent; problem?: string } {
  const [header, payload, signature, ...more] = record.split(".");
  if (header === undefined || payload === undefined || signature === undefined || more.length > 0)
    return { problem: "the record is no compact JWS" };
  const bytes = Buffer.from(payload, "base64url");
  let event: EvidenceEvent;
  let protectedHeader: { alg?: unknown; kid?: unknown; typ?: unknown };
  try {
    event = parseStrict(bytes) as EvidenceEvent;
    protectedHeader = JSON.parse(Buffer.from(header, "base64url").toString()) as typeof protectedHeader;
  } catch {
    return { problem: "the record's header or payload is not JSON" };
  }
  const problem =
    signatureProblem(protectedHeader, `${header}.${payload}`, signature, keys) ?? hashProblem(event, bytes);
  return { event, ...(problem !== undefined && { problem }) };
}

function signatureProblem(
  header: { alg?: unknown; kid?: unknown; typ?: unknown },
  signed: string,
  signature: string,
  keys: Keys,
): string | undefined {
  if (header.alg !== "EdDSA" || header.typ !== "railgate-event+jws")
    return "the record's header isn't that of an event";
  const key = keys.get(String(header.kid));
  if (key === undefined) return `it is signed by ${String(header.kid)}, which is none of this node's keys`;
  return verify(null, Buffer.from(signed), key, Buffer.from(signature, "base64url"))
    ? undefined
    : "its signature does not verify";
}

function hashProblem(event: EvidenceEvent, bytes: Uint8Array): string | undefined {
  const { event_hash, ...rest } = event;
  if (canonicalJson(event) !== new TextDecoder().decode(bytes)) return "its bytes are not canonical JSON";
  return digestOf(canonicalJson(rest)) === event_hash ? undefined : "event_hash is not the hash of the event";
}

type Placed = Pick<EvidenceEvent, "tenant_id" | "chain_id" | "sequence" | "prev_hash">;

export function placeProblem(event: Placed, end: Head): string | undefined {
  if (!event.chain_id.startsWith(`${event.tenant_id}/`))
    return `it is ${event.tenant_id}'s and lies in ${event.chain_id}`;
  if (event.sequence !== end.size) return `a gap: it is number ${event.sequence} where ${end.size} should be`;
  return event.prev_hash === end.hash ? undefined : "prev_hash is not the hash of the event before it";
}
