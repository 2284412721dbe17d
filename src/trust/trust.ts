// Verifies the tokens of a request against pinned keys and says what they prove. What follows from it the law says.
// Everything in a token is the sender's until its signature holds: nothing here throws on it.
import { hash } from "node:crypto";
import { base64url, calculateJwkThumbprint, compactVerify, importJWK, type CryptoKey, type JWK } from "jose";
import { ConfigError } from "../core/errors.ts";
import { NO_TRUST, type TrustFacts } from "../core/facts.ts";
import { canonicalBytes, parseStrict } from "../core/json.ts";
import { TOKEN_LENGTH_MAX } from "../core/schema/base.ts";
import type { AttestationFact, AuthorityFact, DelegationFact, ExceptionFact } from "../core/schema/input.ts";
import type { AdmissionRequest } from "../core/schema/request.ts";
import { readAttestation, readBinding, readException, type Binding } from "./claims.ts";

export type TrustConfig = {
  /** Who may sign authority bindings, delegations and exceptions; a chain must begin at a root. */
  authorities: { issuer: string; jwks: JWK[]; root: boolean }[];
  /** Who may sign attestation tokens. */
  attesters: { issuer: string; jwks: JWK[] }[];
};

/** A pinned public key that a verified token was signed with. */
export type UsedKey = { issuer: string; thumbprint: string; jwk: JWK };

export type Verified = { facts: TrustFacts; used: UsedKey[] };

/** What tokens are held against: the clock, in milliseconds since the epoch, and the nonce that a token must bear, if any. */
export type Against = { nowMs: number; nonce: string | undefined };

export type Trust = {
  /** Null, at once, where the request bears no token: its facts are then `NO_TRUST`. Never rejects. */
  verify(request: AdmissionRequest, against: Against): Promise<Verified> | null;
  /** One attestation token, for a re-attestation. Never rejects. */
  verifyAttestation(token: string, against: Against): Promise<{ fact: AttestationFact; used: UsedKey[] }>;
};

/** Asymmetric only: with a MAC, or none, a public key would sign. Each with the key it takes (RFC 7518 §3.1, RFC 8037). */
const ALGORITHMS: Record<string, { kty: string; crv?: string }> = {
  EdDSA: { kty: "OKP", crv: "Ed25519" },
  ES256: { kty: "EC", crv: "P-256" },
  ES384: { kty: "EC", crv: "P-384" },
  PS256: { kty: "RSA" },
  RS256: { kty: "RSA" },
};

const PUBLIC_MEMBERS = ["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use"] as const;
const CACHED_TOKENS_MAX = 4096;
const DELEGATION_MAX = 16;
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

type TokenError = "malformed" | "signature" | "issuer" | "algorithm";
type PinnedKey = { used: UsedKey; kid: string | undefined; byAlgorithm: Map<string, CryptoKey> };
type Issuers = Map<string, PinnedKey[]>;
type Checked = { payload: Record<string, unknown>; key: UsedKey; error?: never } | { error: TokenError };

/** Imports and pins the keys. Throws ConfigError for a key that can't verify anything. */
export async function makeTrust(config: TrustConfig): Promise<Trust> {
  const authorities = await pin(config.authorities, "railgate.authorities");
  const attesters = await pin(config.attesters, "railgate.attesters");
  const roots = new Set(config.authorities.filter(({ root }) => root).map(({ issuer }) => issuer));
  const checkAuthority = cached((token) => checkToken(token, "issuer", authorities));
  const checkAttester = cached((token) => checkToken(token, "iss", attesters));

  return {
    verify(request, against) {
      const { authority, attestation, exceptions = [] } = request;
      const token = attestation !== undefined && "token" in attestation ? attestation.token : undefined;
      if (authority === undefined && token === undefined && exceptions.length === 0) return null;
      return verifyAll(authority, token, exceptions, against);
    },
    async verifyAttestation(token, against) {
      const used = new Map<string, UsedKey>();
      const fact = attestationFact(note(used, await checkAttester(token)), against);
      return { fact, used: [...used.values()] };
    },
  };

  async function verifyAll(
    authority: string | undefined,
    token: string | undefined,
    exceptions: string[],
    against: Against,
  ) {
    const used = new Map<string, UsedKey>();
    const facts: TrustFacts = {
      authority: authority === undefined ? NO_TRUST.authority : await authorityFact(authority, used),
      attestation:
        token === undefined ? NO_TRUST.attestation : attestationFact(note(used, await checkAttester(token)), against),
      exceptions: await Promise.all(
        exceptions.map(async (each) => exceptionFact(each, note(used, await checkAuthority(each)))),
      ),
    };
    return { facts, used: [...used.values()] };
  }

  async function authorityFact(token: string, used: Map<string, UsedKey>): Promise<AuthorityFact> {
    const { fact, binding } = bindingFact(note(used, await checkAuthority(token)));
    if (binding === undefined) return { ...fact, delegation: [], delegation_error: null };
    const links = binding.delegation;
    if (links.length === 0 && !roots.has(binding.issuer)) {
      return { ...fact, status: "rejected", error: "issuer", delegation: [], delegation_error: null };
    }
    if (links.length > DELEGATION_MAX) return { ...fact, delegation: [], delegation_error: "malformed" };
    const delegation = await Promise.all(
      links.map(async (link) => bindingFact(note(used, await checkAuthority(link))).fact),
    );
    return { ...fact, delegation, delegation_error: delegationError(delegation, roots) };
  }
}

/** What the first link at fault is at fault for. */
function delegationError(links: DelegationFact[], roots: Set<string>): AuthorityFact["delegation_error"] {
  const failed = links.find(({ status }) => status === "rejected");
  if (failed !== undefined) return failed.error === "algorithm" ? "signature" : failed.error;
  const [first] = links;
  return first === undefined || roots.has(first.issuer ?? "") ? null : "root";
}

/**
 * The authority material that decided: canonical JSON of the pinned keys used, by issuer and thumbprint, and its digest.
 * With none used, that of the empty list.
 */
export function authoritySnapshot(used: UsedKey[]): { bytes: Uint8Array; digest: string } {
  const byName = new Map(used.map((key) => [`${key.issuer} ${key.thumbprint}`, key]));
  const names = [...byName.keys()].sort();
  const bytes = canonicalBytes(names.map((name) => ({ issuer: byName.get(name)!.issuer, jwk: byName.get(name)!.jwk })));
  return { bytes, digest: digestOf(bytes) };
}

const digestOf = (data: Uint8Array | string): string => `sha256:${hash("sha256", data)}`;

function note(used: Map<string, UsedKey>, checked: Checked): Checked {
  if (checked.error === undefined) used.set(`${checked.key.issuer} ${checked.key.thumbprint}`, checked.key);
  return checked;
}

async function pin(issuers: { issuer: string; jwks: JWK[] }[], setting: string): Promise<Issuers> {
  const pinned: Issuers = new Map();
  for (const [index, { issuer, jwks }] of issuers.entries()) {
    const keys = await Promise.all(jwks.map((jwk, at) => pinKey(issuer, jwk, `${setting}[${index}].jwks[${at}]`)));
    pinned.set(issuer, [...(pinned.get(issuer) ?? []), ...keys]);
  }
  return pinned;
}

async function pinKey(issuer: string, given: JWK, setting: string): Promise<PinnedKey> {
  const jwk = Object.fromEntries(
    PUBLIC_MEMBERS.flatMap((name) => (given[name] === undefined ? [] : [[name, given[name]]])),
  ) as JWK;
  if (jwk.use !== undefined && jwk.use !== "sig")
    throw new ConfigError(setting, "a key for encryption verifies no signature");
  const fitting = Object.entries(ALGORITHMS).filter(
    ([name, { kty, crv }]) => kty === jwk.kty && crv === jwk.crv && (jwk.alg === undefined || jwk.alg === name),
  );
  if (fitting.length === 0) throw new ConfigError(setting, `no key for any of ${Object.keys(ALGORITHMS).join(", ")}`);
  try {
    const imported = fitting.map(async ([name]) => [name, (await importJWK(jwk, name)) as CryptoKey] as const);
    const byAlgorithm = new Map(await Promise.all(imported));
    return { used: { issuer, thumbprint: await calculateJwkThumbprint(jwk), jwk }, kid: jwk.kid, byAlgorithm };
  } catch (cause) {
    throw new ConfigError(setting, "not a usable public key", { cause });
  }
}

/** Remembers what held, least recently used forgotten first. Failures are cheap to find again and would crowd it out. */
function cached(check: (token: string) => Promise<Checked>): (token: string) => Promise<Checked> {
  const known = new Map<string, Checked>();
  return async (token) => {
    if (token.length > TOKEN_LENGTH_MAX) return { error: "malformed" };
    const name = hash("sha256", token, "base64");
    const found = known.get(name);
    const checked = found ?? (await check(token));
    if (checked.error !== undefined) return checked;
    known.delete(name);
    known.set(name, checked);
    if (known.size > CACHED_TOKENS_MAX) known.delete(known.keys().next().value!);
    return checked;
  };
}

/**
 * A compact JWS whose payload names its issuer in `claim`: the algorithm must be allowed, the issuer pinned, and the
 * signature made by a key pinned for that issuer. Keys and key locations in the header (`jwk`, `jku`, `x5c`) are ignored.
 */
async function checkToken(token: string, claim: "iss" | "issuer", issuers: Issuers): Promise<Checked> {
  const parts = readToken(token);
  if (parts === undefined) return { error: "malformed" };
  const { alg, kid } = parts.header;
  if (typeof alg !== "string" || !Object.hasOwn(ALGORITHMS, alg)) return { error: "algorithm" };
  const issuer = parts.payload[claim];
  if (typeof issuer !== "string") return { error: "malformed" };
  const pinned = issuers.get(issuer);
  if (pinned === undefined) return { error: "issuer" };
  const named = pinned.filter((key) => kid === undefined || key.kid === kid || key.used.thumbprint === kid);
  const fitting = named.filter(({ byAlgorithm }) => byAlgorithm.has(alg));
  if (fitting.length === 0) return { error: named.length === 0 ? "signature" : "algorithm" };
  for (const key of fitting) {
    if (await signatureHolds(token, key.byAlgorithm.get(alg)!, alg)) return { payload: parts.payload, key: key.used };
  }
  return { error: "signature" };
}

async function signatureHolds(token: string, key: CryptoKey, alg: string): Promise<boolean> {
  try {
    await compactVerify(token, key, { algorithms: [alg] });
    return true;
  } catch {
    return false;
  }
}

/** Header and payload, unverified, read as strictly as a request; undefined if it is no compact JWS that we would take. */
function readToken(token: string): { header: Record<string, unknown>; payload: Record<string, unknown> } | undefined {
  if (!COMPACT.test(token)) return undefined;
  try {
    const [header, payload] = token.split(".", 2).map((part) => parseStrict(base64url.decode(part)));
    if (!isRecord(header) || !isRecord(payload)) return undefined;
    // An extension that must be understood is not (RFC 7515 §4.1.11), and `b64` only counts where it is critical.
    if (Object.hasOwn(header, "crit") || Object.hasOwn(header, "b64")) return undefined;
    if (header.kid !== undefined && typeof header.kid !== "string") return undefined;
    return { header, payload };
  } catch {
    return undefined;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function bindingFact(checked: Checked): { fact: DelegationFact; binding?: Binding } {
  const binding = checked.error === undefined ? readBinding(checked.payload) : undefined;
  if (binding === undefined) {
    const error = checked.error ?? "malformed";
    const nothing = { issuer: null, subject: null, scope: [], valid_from_ms: null, valid_to_ms: null };
    return { fact: { status: "rejected", error, ...nothing } };
  }
  const { delegation: _, ...claims } = binding;
  return { fact: { status: "verified", error: null, ...claims }, binding };
}

function exceptionFact(token: string, checked: Checked): ExceptionFact {
  const digest = digestOf(token);
  const claims = checked.error === undefined ? readException(checked.payload) : undefined;
  if (claims !== undefined) return { status: "verified", error: null, digest, ...claims };
  const error = checked.error ?? "malformed";
  const nothing = {
    issuer: null,
    tenant_id: null,
    workload_id: null,
    rules: [],
    not_before_ms: null,
    not_after_ms: null,
  };
  return { status: "rejected", error, digest, ...nothing, reason: null };
}

/** How far the clock of an attester may run ahead of ours. */
const SKEW_MS = 60_000;

function attestationFact(checked: Checked, { nowMs, nonce }: Against): AttestationFact {
  const claims = checked.error === undefined ? readAttestation(checked.payload) : undefined;
  if (claims === undefined) return rejectedAttestation(checked.error ?? "malformed");
  if (claims.expires_ms !== null && nowMs >= claims.expires_ms) return rejectedAttestation("window");
  if (claims.not_before_ms !== null && nowMs + SKEW_MS < claims.not_before_ms) return rejectedAttestation("window");
  if (claims.nonces.some((allowed) => nonce === undefined || !allowed.includes(nonce)))
    return rejectedAttestation("nonce");
  const { issuer, report_ref, platform_type, result, measured_at_ms, debuggable } = claims;
  const said = { issuer, report_ref, platform_type, result, measured_at_ms, debuggable };
  return { form: "token", status: "verified", error: null, ...said };
}

function rejectedAttestation(error: AttestationFact["error"]): AttestationFact {
  const nothing = { report_ref: null, platform_type: null, result: null, measured_at_ms: null, debuggable: null };
  return { form: "token", status: "rejected", error, issuer: null, ...nothing };
}
