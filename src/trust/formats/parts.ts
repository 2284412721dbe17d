// What several formats of attestation tokens have alike: registered claims, debug states, the TCB of Intel's platforms, digests of init data.
import { SAYS_NO_MORE } from "../../core/attestation.ts";
import { flag, hex, maybe, numericDate, oneOrMore, record, statement, text, texts } from "../claims.ts";
import { Unreadable, type Claims } from "../claims.ts";
import type { Appraisal } from "./format.ts";

type Registered = Pick<
  Appraisal,
  "report_ref" | "measured_at_ms" | "issued_ms" | "expires_ms" | "not_before_ms" | "audiences"
>;

/** The claims of RFC 7519 §4.1, alike in every format: it was measured when the token was issued. */
export function registered(claims: Claims): Registered {
  const issued_ms = maybe(numericDate, claims.iat);
  return {
    report_ref: statement(claims.jti),
    measured_at_ms: issued_ms,
    issued_ms,
    expires_ms: maybe(numericDate, claims.exp),
    not_before_ms: maybe(numericDate, claims.nbf),
    audiences: claims.aud === undefined ? [] : oneOrMore(claims.aud),
  };
}

/** What a format says that has no word for any of it. */
export const NOTHING_MORE = { ...SAYS_NO_MORE, unmatched: [] } satisfies Partial<Appraisal>;

/** AR4SI's tiers, by the word or the number that stands for each. */
export const TIERS = new Map<unknown, number>([
  ["none", 0],
  [0, 0],
  ["affirming", 2],
  [2, 2],
  ["warning", 32],
  [32, 32],
  ["contraindicated", 96],
  [96, 96],
]);
export const AFFIRMING = 2;

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

export function debugState(value: unknown): boolean {
  const found = DEBUG_STATES.get(value);
  if (found === undefined) throw new Unreadable();
  return found;
}

/** One fact that is said in several ways: null where nobody says it, and unreadable where two differ. */
export function agreed<T>(said: readonly (T | null | undefined)[]): T | null {
  const values = [...new Set(said.filter((value) => value !== null && value !== undefined))] as T[];
  if (values.length > 1) throw new Unreadable();
  return values[0] ?? null;
}

/** Two or more spellings of one claim: all are read, and must not differ. */
export function twin(claims: Claims, ...names: readonly string[]): unknown {
  const given = names.map((name) => claims[name]).filter((value) => value !== undefined);
  if (given.some((value) => JSON.stringify(value) !== JSON.stringify(given[0]))) throw new Unreadable();
  return given[0];
}

/** As `maybe`, of a claim that verifiers also write as null where they have nothing to say. */
export const given = <T>(read: (value: unknown) => T, value: unknown): T | null =>
  value === null ? null : maybe(read, value);

/** A nonce claim allows one value, or any of a list. */
export const nonces = (...claims: readonly unknown[]): string[][] =>
  claims.flatMap((claim) => (claim === undefined || claim === null ? [] : [oneOrMore(claim)]));

/** Of these claims those that are there, by their names: hex, as measurements are. */
export function measured(claims: Claims, names: { readonly [claim: string]: string }): { [name: string]: string } {
  const found: { [name: string]: string } = {};
  for (const [claim, name] of Object.entries(names))
    if (claims[claim] !== undefined && claims[claim] !== null) found[name] = hex(claims[claim]);
  return found;
}

/** TD attributes as they stand in a quote: eight bytes, the lowest first, of which bit 0 is DEBUG (Intel TDX module, TD_ATTRIBUTES). */
export const tdDebug = (attributes: unknown): boolean =>
  (Number.parseInt(hex(attributes, 16).slice(0, 2), 16) & 1) === 1;

/** The claims of a TD that Microsoft and Intel name alike. */
const TD_MEASUREMENTS = Object.fromEntries(
  ["mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mrseam", "mrsignerseam", "mrconfigid", "mrowner", "mrownerconfig"].map(
    (name) => [`tdx_${name}`, name],
  ),
);

/** What Microsoft and Intel say of a TD in the same words. */
export function trustDomain(
  claims: Claims,
): Pick<Appraisal, "measurements" | "init_data_digest" | "debuggable" | "tcb"> {
  return {
    measurements: measured(claims, TD_MEASUREMENTS),
    init_data_digest: initData(maybe(hex, claims.tdx_mrconfigid)),
    debuggable: agreed([
      maybe(flag, claims.tdx_td_attributes_debug),
      maybe(tdDebug, claims.tdx_td_attributes),
      maybe(flag, claims.tdx_is_debuggable),
      maybe(debugState, claims.dbgstat),
    ]),
    tcb: tcbOf(claims),
  };
}

/** Null where nothing is said of it. */
export function tcbOf(claims: Claims): Appraisal["tcb"] {
  const { attester_tcb_status: status, attester_tcb_date: date, attester_advisory_ids: advisories } = claims;
  if ([status, date, advisories].every((claim) => claim === undefined || claim === null)) return null;
  return { status: given(text, status), date: given(text, date), advisories: given(texts, advisories) ?? [] };
}

const ZEROS = /^0*$/;
/** In hex digits. */
const [SHA256_LENGTH, SHA384_LENGTH] = [64, 96];

/**
 * What a guest was bound to as it started, as a digest; null for none. 32 bytes are SHA-256, 48 SHA-384 unless only zeros follow
 * the 32nd, since a shorter digest is filled up with them (the initdata specification of Confidential Containers).
 */
export function initData(bound: string | null): string | null {
  if (bound === null || ZEROS.test(bound)) return null;
  if (bound.length === SHA256_LENGTH) return `sha256:${bound}`;
  if (bound.length !== SHA384_LENGTH) return null;
  const padded = ZEROS.test(bound.slice(SHA256_LENGTH));
  return padded ? `sha256:${bound.slice(0, SHA256_LENGTH)}` : `sha384:${bound}`;
}

/** A claim that holds claims; empty where it is absent or null. */
export const within = (claims: Claims, name: string): Claims =>
  claims[name] === undefined || claims[name] === null ? {} : record(claims[name]);
