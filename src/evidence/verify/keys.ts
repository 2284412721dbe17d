// The keys that travel with an export: what they are called, what they are for, and for which sequences (spec evidence §5, §6).
import { parseJson } from "./json-stream.ts";
import type { Primitives } from "./primitives.ts";
import type { Findings } from "./report.ts";
import { fromBase64url } from "./base64url.ts";

export interface ExportKey {
  readonly kid: string;
  /** `producer`: of another node, which made the export and signed its manifest. */
  readonly role: "event" | "log" | "producer";
  readonly publicKey: Uint8Array;
  readonly from: number;
  /** Null: still in use. */
  readonly to: number | null;
  /** From this time on, in milliseconds since the epoch, someone else may have signed with it. */
  readonly compromisedAtMs: number | undefined;
}

/** A public key that the auditor brought. Members beyond `kty`, `crv`, `x` are optional. */
export interface PinnedKeys {
  readonly keys: readonly { readonly [member: string]: unknown }[];
}

type Jwk = Readonly<Record<string, unknown>>;
const FILE = "keys.json";
const encoder = new TextEncoder();

export interface ExportKeys {
  readonly keys: readonly ExportKey[];
  /** Statements by which the stream's last key named another, a compact JWS each. */
  readonly handOvers: readonly string[];
}

/** Reads keys.json; what is wrong with a key is a finding, and the key is not used. */
export function readKeys(json: Uint8Array, findings: Findings, primitives: Primitives): ExportKeys {
  const fault = (message: string): void => findings.fault("keys", message, { file: FILE });
  let file: { readonly keys?: unknown; readonly hand_overs?: unknown } | null;
  try {
    file = parseJson(json) as typeof file;
  } catch {
    fault("it is not JSON in UTF-8");
    return { keys: [], handOvers: [] };
  }
  const { keys: listed, hand_overs: handOvers = [] } = file ?? {};
  if (!Array.isArray(listed)) {
    fault("it is no JWKS");
    return { keys: [], handOvers: [] };
  }
  const keys: ExportKey[] = [];
  for (const jwk of listed as unknown[]) {
    const key = readKey(jwk, primitives);
    if (typeof key === "string") fault(key);
    else if (keys.some(({ kid }) => kid === key.kid)) fault(`${key.kid} is there twice`);
    else keys.push(key);
  }
  checkOverlap(keys, fault);
  if (Array.isArray(handOvers) && handOvers.every((entry) => typeof entry === "string")) return { keys, handOvers };
  fault("hand_overs is no list of statements");
  return { keys, handOvers: [] };
}

/** @returns what is wrong with it, as text. */
function readKey(value: unknown, primitives: Primitives): ExportKey | string {
  if (typeof value !== "object" || value === null) return "a key is no object";
  const jwk = value as Jwk;
  const { kid, role, from_sequence: from, to_sequence: to, compromised_at: compromised } = jwk;
  const name = typeof kid === "string" ? kid : "a key";
  if ("d" in jwk || "k" in jwk) return `${name} is a private key, which is public now`;
  const publicKey = publicKeyOf(jwk);
  if (publicKey === undefined) return `${name} is no Ed25519 key`;
  if (kid !== thumbprint(jwk, primitives)) return `${name} is not called by its thumbprint (RFC 7638)`;
  if (role !== "event" && role !== "log" && role !== "producer") return `${name} has no role`;
  if (!isCount(from) || (to !== null && (!isCount(to) || to < from))) return `${name} has no range of sequences`;
  if (compromised !== undefined && Number.isNaN(Date.parse(String(compromised))))
    return `${name} has a compromised_at that is no time`;
  return {
    kid: kid as string,
    role,
    publicKey,
    from,
    to,
    compromisedAtMs: compromised === undefined ? undefined : Date.parse(String(compromised)),
  };
}

/** The 32 bytes of an Ed25519 public JWK (RFC 8037); undefined where it is none. */
export function publicKeyOf({ kty, crv, x, alg }: Jwk): Uint8Array | undefined {
  if (
    kty !== "OKP" ||
    crv !== "Ed25519" ||
    typeof x !== "string" ||
    (alg !== undefined && alg !== "EdDSA" && alg !== "Ed25519")
  )
    return undefined;
  const bytes = fromBase64url(x);
  return bytes?.length === 32 ? bytes : undefined;
}

/** RFC 7638, RFC 8037 §2. */
export function thumbprint({ x }: Jwk, { sha256 }: Primitives): string {
  return toBase64url(sha256(encoder.encode(`{"crv":"Ed25519","kty":"OKP","x":"${String(x)}"}`)));
}

function toBase64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

function checkOverlap(keys: readonly ExportKey[], fault: (message: string) => void): void {
  const events = keys.filter(({ role }) => role === "event").sort((a, b) => a.from - b.from);
  for (const [at, key] of events.entries()) {
    const next = events[at + 1];
    if (next !== undefined && (key.to === null || key.to >= next.from))
      fault(`${key.kid} and ${next.kid} were valid at once`);
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** What the auditor knows of a key. */
export interface Pin {
  /** Undefined where it is said to be of another role than events. */
  readonly publicKey: Uint8Array | undefined;
  /** From then on nothing new may be signed with it, in milliseconds since the epoch. */
  readonly endedAtMs: number | undefined;
}

/**
 * Keys that are known by another way than the export, by thumbprint. Those of other kinds sign no evidence, and are passed over (RFC 7517 §5).
 * @throws TypeError when none is an Ed25519 public key, or one is private.
 */
export function readPins({ keys }: PinnedKeys, primitives: Primitives): Map<string, Pin> {
  if (keys.some((jwk) => "d" in jwk)) throw new TypeError("a pinned key is a private key");
  const pins = new Map<string, Pin>();
  for (const jwk of keys) {
    const publicKey = publicKeyOf(jwk);
    if (publicKey === undefined) continue;
    const { role = "event" } = jwk;
    const ended = [jwk["retired_at"], jwk["compromised_at"]].flatMap((time) =>
      time == null ? [] : [Date.parse(String(time))],
    );
    if (ended.some(Number.isNaN)) throw new TypeError("a pinned key's retired_at or compromised_at is no time");
    pins.set(thumbprint(jwk, primitives), {
      publicKey: role === "event" ? publicKey : undefined,
      endedAtMs: ended.length === 0 ? undefined : Math.min(...ended),
    });
  }
  if (pins.size === 0) throw new TypeError("no pinned key is an Ed25519 public key in JWK form");
  return pins;
}
