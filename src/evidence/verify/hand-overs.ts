// Hand-overs: after a restore a stream is written no more, and its last key said which one vouches for it from then on (docs/decisions/0051).
import { canonicalText } from "./canonical.ts";
import { publicKeyOf, thumbprint } from "./keys.ts";
import type { Primitives } from "./primitives.ts";
import { fromBase64url } from "./base64url.ts";
import { signerOf } from "./record-rows.ts";

/** Not that of a record, so that neither is ever taken for the other. */
export const HAND_OVER_TYPE = "railgate-hand-over+jws";

/** A key, and the node that signs with it. */
export interface Holder {
  readonly nodeId: string;
  readonly kid: string;
  readonly publicKey: Uint8Array;
}

const MEMBERS = "created_at,from_kid,from_node_id,jwk,kid,node_id";
const encoder = new TextEncoder();
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Follows hand-overs from one key to the next, each signed by the one before.
 * @returns the keys that were handed over to, and whether every statement is one of that line.
 */
export async function followHandOvers(
  statements: readonly string[],
  from: Holder | undefined,
  primitives: Primitives,
): Promise<{ readonly keys: ReadonlyMap<string, Uint8Array>; readonly sound: boolean }> {
  const keys = new Map<string, Uint8Array>();
  let holder = from;
  for (const statement of statements) {
    holder = holder && (await nextHolder(statement, holder, primitives));
    if (holder === undefined) return { keys, sound: false };
    keys.set(holder.kid, holder.publicKey);
  }
  return { keys, sound: true };
}

/** @returns who holds it now; undefined unless the holder before signed exactly that. */
export async function nextHolder(text: string, from: Holder, primitives: Primitives): Promise<Holder | undefined> {
  const [header = "", payload = "", signature = "", ...more] = text.split(".");
  if (more.length > 0 || signerOf(header, HAND_OVER_TYPE) !== from.kid) return undefined;
  const [stated, signed] = [fromBase64url(payload), fromBase64url(signature)];
  if (stated === undefined || signed?.length !== 64) return undefined;
  if (!(await primitives.verifyEd25519(from.publicKey, encoder.encode(`${header}.${payload}`), signed)))
    return undefined;
  return holderIn(stated, from, primitives);
}

function holderIn(payload: Uint8Array, from: Holder, primitives: Primitives): Holder | undefined {
  const value = canonicalObject(payload);
  if (value === undefined || Object.keys(value).sort().join() !== MEMBERS) return undefined;
  const { created_at, from_kid, from_node_id, jwk, kid, node_id } = value;
  if (from_kid !== from.kid || from_node_id !== from.nodeId || Number.isNaN(Date.parse(String(created_at))))
    return undefined;
  if (typeof jwk !== "object" || jwk === null || typeof kid !== "string" || typeof node_id !== "string")
    return undefined;
  const members = jwk as Readonly<Record<string, unknown>>;
  const publicKey = publicKeyOf(members);
  if (publicKey === undefined || "d" in members || kid !== thumbprint(members, primitives)) return undefined;
  return { nodeId: node_id, kid, publicKey };
}

function canonicalObject(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const text = utf8.decode(bytes);
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject && canonicalText(value) === text ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}
