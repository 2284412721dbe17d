// Reads the claims of verified tokens. What is there but can't be read makes the token malformed: never a default.
import { timeMs } from "../core/time.ts";

type Claims = Record<string, unknown>;

export type Binding = {
  issuer: string;
  subject: string;
  scope: string[];
  valid_from_ms: number;
  valid_to_ms: number;
  /** Compact JWSs, root first; empty where none is given. */
  delegation: string[];
};

export type ExceptionClaims = {
  issuer: string;
  tenant_id: string;
  workload_id: string;
  rules: string[];
  not_before_ms: number;
  not_after_ms: number;
  reason: string;
};

export type AttestationClaims = {
  issuer: string;
  report_ref: string | null;
  platform_type: string | null;
  result: "pass" | "fail" | null;
  measured_at_ms: number | null;
  debuggable: boolean | null;
  expires_ms: number | null;
  not_before_ms: number | null;
  /** Each nonce claim as the list of values it allows. */
  nonces: string[][];
};

const LIST_MAX = 256;

/** Thrown by the readers below and caught by `reading`: the claims are not as they must be. */
class Unreadable extends Error {}

const reading =
  <T>(read: (claims: Claims) => T) =>
  (claims: Claims): T | undefined => {
    try {
      return read(claims);
    } catch (thrown) {
      if (thrown instanceof Unreadable) return undefined;
      throw thrown;
    }
  };

/** An authority binding, or a link of its chain. Undefined if malformed. */
export const readBinding = reading(
  (claims): Binding => ({
    issuer: text(claims.issuer),
    subject: text(claims.subject),
    scope: texts(claims.scope),
    valid_from_ms: time(claims.valid_from),
    valid_to_ms: time(claims.valid_to),
    delegation: claims.delegation === undefined ? [] : texts(claims.delegation),
  }),
);

/** An exception. Undefined if malformed. */
export const readException = reading(
  (claims): ExceptionClaims => ({
    issuer: text(claims.issuer),
    tenant_id: text(claims.tenant_id),
    workload_id: text(claims.workload_id),
    rules: texts(claims.rules),
    not_before_ms: time(claims.not_before),
    not_after_ms: time(claims.not_after),
    reason: text(claims.reason),
  }),
);

/**
 * An attestation token: a JWT (RFC 7519) with Railgate's claims, or what EAT (RFC 9711) and EAR say in their place.
 * Undefined if malformed.
 */
export const readAttestation = reading(
  (claims): AttestationClaims => ({
    issuer: text(claims.iss),
    report_ref: maybe(text, firstGiven(claims.report_ref, claims.jti)),
    platform_type: maybe(text, claims.platform_type),
    result: claims.result === undefined ? appraisal(claims.submods) : verdict(claims.result),
    measured_at_ms: maybe(time, firstGiven(claims.measured_at, claims.iat)),
    debuggable: debuggable(claims),
    expires_ms: maybe(numericDate, claims.exp),
    not_before_ms: maybe(numericDate, claims.nbf),
    nonces: [claims.nonce, claims.eat_nonce].flatMap((nonce) => (nonce === undefined ? [] : [nonceValues(nonce)])),
  }),
);

function maybe<T>(read: (value: unknown) => T, value: unknown): T | null {
  return value === undefined ? null : read(value);
}

/** Not `??`: a null is given, and unreadable. */
const firstGiven = (claim: unknown, other: unknown): unknown => (claim === undefined ? other : claim);

function text(value: unknown): string {
  if (typeof value !== "string") throw new Unreadable();
  return value;
}

function texts(value: unknown): string[] {
  if (!Array.isArray(value) || value.length > LIST_MAX) throw new Unreadable();
  return value.map(text);
}

/** RFC 3339, or seconds since the epoch. */
function time(value: unknown): number {
  if (typeof value !== "string") return numericDate(value);
  const ms = timeMs(value);
  if (ms === undefined) throw new Unreadable();
  return ms;
}

/** The last millisecond that a date can hold (ECMA-262 §21.4.1.1). */
const TIME_MS_MAX = 8.64e15;

function numericDate(value: unknown): number {
  if (typeof value !== "number" || Math.abs(value) * 1000 > TIME_MS_MAX) throw new Unreadable();
  return Math.trunc(value * 1000);
}

function verdict(value: unknown): "pass" | "fail" {
  if (value !== "pass" && value !== "fail") throw new Unreadable();
  return value;
}

/** EAR: a pass only if every appraised submodule is affirming. */
function appraisal(submods: unknown): "pass" | "fail" | null {
  if (typeof submods !== "object" || submods === null) return null;
  const statuses = Object.values(submods).map((submod) => (submod as Claims | null)?.["ear.status"]);
  if (statuses.length === 0 || statuses.every((status) => status === undefined)) return null;
  return statuses.every((status) => status === "affirming") ? "pass" : "fail";
}

/** EAT's `dbgstat` (RFC 9711 §4.2.9) in its JSON form or as the number that stands for it. */
const DEBUG_STATES = new Map<unknown, boolean>([
  ["enabled", true],
  ["disabled", false],
  ["disabled-since-boot", false],
  ["disabled-permanently", false],
  ["disabled-fully-and-permanently", false],
  [0, true],
  [1, false],
  [2, false],
  [3, false],
  [4, false],
]);

/** True if either claim says so: they must not be played off against each other. */
function debuggable(claims: Claims): boolean | null {
  const said = [claims.debuggable, claims.dbgstat].map((claim, index) => {
    const value = claim === undefined || index === 0 ? claim : DEBUG_STATES.get(claim);
    if (claim !== undefined && typeof value !== "boolean") throw new Unreadable();
    return value as boolean | undefined;
  });
  if (said.includes(true)) return true;
  return said.includes(false) ? false : null;
}

/** One nonce, or EAT's several. */
function nonceValues(value: unknown): string[] {
  return Array.isArray(value) ? texts(value) : [text(value)];
}
