// Railgate's own attestation format: a JWT (RFC 7519) with our claims, or what EAT (RFC 9711) and EAR say in their place.
import { SIGNATURE_ALGORITHMS } from "../../core/algorithms.ts";
import { flag, firstGiven, maybe, numericDate, oneOrMore, reading, statement, time, Unreadable } from "../claims.ts";
import type { Claims } from "../claims.ts";
import { isRecord } from "../token.ts";
import type { Format } from "./format.ts";
import { AFFIRMING, TIERS, debugState, NOTHING_MORE, twin } from "./parts.ts";

export const railgate: Format = {
  algorithms: SIGNATURE_ALGORITHMS,
  refersByDigest: false,
  read: reading((claims) => {
    const tree = [...claimsSets(claims)];
    return {
      ...NOTHING_MORE,
      report_ref: statement(firstGiven(claims.report_ref, claims.jti)),
      platform_type: statement(claims.platform_type),
      result: resultOf(claims, tree),
      measured_at_ms: maybe(time, firstGiven(claims.measured_at, claims.iat)),
      debuggable: debuggable(tree),
      issued_ms: issued(claims)?.ms ?? null,
      expires_ms: maybe(numericDate, claims.exp),
      not_before_ms: maybe(numericDate, claims.nbf),
      nonces: [claims.nonce, claims.eat_nonce].flatMap((nonce) => (nonce === undefined ? [] : [oneOrMore(nonce)])),
      audiences: claims.aud === undefined ? [] : oneOrMore(claims.aud),
    };
  }),
};

/** Beside a `measured_at` it is not looked at otherwise, so one that can't be read is none. */
const issued = reading((claims) => ({ ms: maybe(time, claims.iat) }));

type Node = { claims: Claims; leaf: boolean };

/**
 * The claims and those of all submodules (RFC 9711 §4.2.18), at any depth: what one of them says counts. A submodule that
 * is no claims set, a token within the token or the digest of one, can't be read here.
 */
function* claimsSets(claims: Claims): Generator<Node> {
  const { submods } = claims;
  if (submods !== undefined && !isRecord(submods)) throw new Unreadable();
  const within = Object.values(submods ?? {});
  yield { claims, leaf: within.length === 0 };
  for (const submod of within) {
    if (!isRecord(submod)) throw new Unreadable();
    yield* claimsSets(submod);
  }
}

type Verdict = "pass" | "fail";

/**
 * The worst that is said anywhere. Where the token itself says pass and any part of it does not, it contradicts itself,
 * and nothing in it can be believed.
 */
function resultOf(claims: Claims, tree: readonly Node[]): Verdict | null {
  const appraised = tree.map(({ claims }) => appraisal(claims));
  const below = tree.slice(1).map(({ claims }) => maybe(verdict, claims.result));
  const failed = [...appraised, ...below].includes("fail");
  if (claims.result !== undefined) {
    const result = verdict(claims.result);
    if (result === "pass" && failed) throw new Unreadable();
    return result;
  }
  if (failed) return "fail";
  if (!appraised.includes("pass")) return null;
  // EAR: every part must be affirming, so one that says nothing is no pass.
  return tree.every(({ leaf }, index) => !leaf || appraised[index] === "pass") ? "pass" : "fail";
}

function verdict(value: unknown): Verdict {
  if (value !== "pass" && value !== "fail") throw new Unreadable();
  return value;
}

/** What EAR says of one claims set; null where it says nothing. A status better than its vector is a contradiction. */
function appraisal(claims: Claims): Verdict | null {
  const status = maybe(tier, twin(claims, "ear.status", "ear_status"));
  const worst = maybe(worstTier, twin(claims, "ear.trustworthiness-vector", "ear_trustworthiness_vector"));
  if (status === null) return worst === null || worst < AFFIRMING ? null : worst === AFFIRMING ? "pass" : "fail";
  if (worst !== null && worst > status) throw new Unreadable();
  return status === AFFIRMING ? "pass" : "fail";
}

function tier(value: unknown): number {
  const found = TIERS.get(value);
  if (found === undefined) throw new Unreadable();
  return found;
}

/** The worst entry of a trustworthiness vector, as the tier it lies in; a verifier's own failure is no better than any. */
function worstTier(vector: unknown): number {
  if (!isRecord(vector)) throw new Unreadable();
  return Math.max(0, ...Object.values(vector).map(tierOf));
}

function tierOf(value: unknown): number {
  if (typeof value !== "number" || !Number.isInteger(value) || Math.abs(value) > 128) throw new Unreadable();
  const size = Math.abs(value);
  if (value === 0) return 0;
  if (size === 1 || size >= 96) return 96;
  return size >= 32 ? 32 : AFFIRMING;
}

/** True if any claim anywhere says so: they must not be played off against each other. Null where none says anything. */
function debuggable(tree: readonly Node[]): boolean | null {
  const said = tree.flatMap(({ claims }) => [maybe(flag, claims.debuggable), maybe(debugState, claims.dbgstat)]);
  if (said.includes(true)) return true;
  return said.includes(false) ? false : null;
}
