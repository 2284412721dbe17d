// Reads and verifies compact JWSs against pinned keys. Everything in one is the sender's until its signature holds:
// nothing here throws on it.
import { hash } from "node:crypto";
import { base64url, compactVerify, type CryptoKey } from "jose";
import { SIGNATURE_ALGORITHMS } from "../core/algorithms.ts";
import { digestOf } from "../core/event.ts";
import { parseStrict } from "../core/json.ts";
import { TOKEN_LENGTH_MAX } from "../core/schema/base.ts";
import type { VERIFICATION_ERRORS } from "../core/schema/input.ts";
import type { Issuers, UsedKey } from "./keys.ts";

export type TokenError = (typeof VERIFICATION_ERRORS)[number];

/** `digest` is that of the signing input: a signature can be written in several ways, what it signs cannot. */
export type VerifiedToken = { payload: Record<string, unknown>; digest: string; key: UsedKey; error?: never };
export type Checked = VerifiedToken | { error: TokenError };
export type TokenCheck = (token: string) => Promise<Checked>;

/** What sets one kind of token apart: the claim that names its issuer, and the header `typ` that it must have. */
export type TokenKind = { claim: "issuer"; isTyp: (typ: unknown) => boolean };

const CACHED_TOKENS_MAX = 4096;
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** Remembers what held, least recently used forgotten first. Failures are cheap to find again and would crowd it out. */
export class Recent<T> {
  readonly #known = new Map<string, T>();

  /** @param name the digest of a token's bytes. */
  get(name: string): T | undefined {
    const found = this.#known.get(name);
    if (found !== undefined) this.put(name, found);
    return found;
  }

  put(name: string, value: T): void {
    this.#known.delete(name);
    this.#known.set(name, value);
    if (this.#known.size > CACHED_TOKENS_MAX) this.#known.delete(this.#known.keys().next().value!);
  }
}

export function makeCheck(kind: TokenKind, issuers: Issuers): TokenCheck {
  const recent = new Recent<VerifiedToken>();
  return async (token) => {
    if (token.length > TOKEN_LENGTH_MAX) return { error: "malformed" };
    const name = hash("sha256", token, "base64");
    const known = recent.get(name);
    if (known !== undefined) return known;
    const checked = await checkToken(token, kind, issuers);
    if (checked.error === undefined) recent.put(name, checked);
    return checked;
  };
}

/**
 * The type must be the kind's, the algorithm allowed, the issuer pinned, and the signature made by a key pinned for that
 * issuer. Keys and key locations in the header (`jwk`, `jku`, `x5c`) are ignored.
 */
async function checkToken(token: string, { claim, isTyp }: TokenKind, issuers: Issuers): Promise<Checked> {
  const parts = readToken(token);
  if (parts === undefined) return { error: "malformed" };
  const { alg, kid, typ } = parts.header;
  if (typeof alg !== "string" || !SIGNATURE_ALGORITHMS.includes(alg)) return { error: "algorithm" };
  if (!isTyp(typ)) return { error: "type" };
  const issuer = parts.payload[claim];
  if (typeof issuer !== "string") return { error: "malformed" };
  const pinned = issuers.get(issuer);
  if (pinned === undefined) return { error: "issuer" };
  const named = pinned.filter((key) => kid === undefined || key.kid === kid || key.used.thumbprint === kid);
  const fitting = named.filter(({ byAlgorithm }) => byAlgorithm.has(alg));
  if (fitting.length === 0) return { error: named.length === 0 ? "signature" : "algorithm" };
  for (const key of fitting) {
    if (await signatureHolds(token, key.byAlgorithm.get(alg)!, alg))
      return { payload: parts.payload, digest: digestOf(token.slice(0, token.lastIndexOf("."))), key: key.used };
  }
  return { error: "signature" };
}

export async function signatureHolds(token: string, key: CryptoKey, alg: string): Promise<boolean> {
  try {
    await compactVerify(token, key, { algorithms: [alg] });
    return true;
  } catch {
    return false;
  }
}

/** Attacker-controlled, but for the form of its members here. */
export type Header = Record<string, unknown> & { readonly kid?: string };

/** Header and payload, unverified, read as strictly as a request; undefined if it is no compact JWS that we would take. */
export function readToken(token: string): { header: Header; payload: Record<string, unknown> } | undefined {
  if (!COMPACT.test(token)) return undefined;
  try {
    const [header, payload] = token.split(".", 2).map((part) => parseStrict(base64url.decode(part)));
    if (!isRecord(header) || !isRecord(payload)) return undefined;
    // An extension that must be understood is not (RFC 7515 §4.1.11), and `b64` only counts where it is critical.
    if (Object.hasOwn(header, "crit") || Object.hasOwn(header, "b64")) return undefined;
    if (header.kid !== undefined && typeof header.kid !== "string") return undefined;
    return { header: header as Header, payload };
  } catch {
    return undefined;
  }
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
