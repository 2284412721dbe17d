// Attestation tokens: verified against the keys of their attester, read by its format, held against clock and nonce.
import { digestOf } from "../core/event.ts";
import type { AttestationFact } from "../core/schema/input.ts";
import { note } from "./authority.ts";
import type { Format } from "./formats/format.ts";
import { railgate } from "./formats/railgate.ts";
import type { Issuers } from "./keys.ts";
import type { Used } from "./snapshot.ts";
import { makeCheck } from "./token.ts";

/** What tokens are held against: the clock, in milliseconds since the epoch, and the nonce that a token must bear, if any. */
export type Against = { nowMs: number; nonce: string | undefined };

/** How tokens of one attester are read. */
export type Reading = { format: Format; audience: string | undefined };

export const FORMATS = { railgate } as const satisfies Record<string, Format>;

/** How far the clock of an attester may run ahead of ours. */
const SKEW_MS = 60_000;

/** The fact of one token. Where it verified, it and its key are added to `used`. Never rejects. */
export type AttestationFacts = (token: string, against: Against, used: Used) => Promise<AttestationFact>;

export function makeAttesters(issuers: Issuers, readings: ReadonlyMap<string, Reading>): AttestationFacts {
  const check = makeCheck({ claim: "iss", isTyp }, issuers);
  return async (token, against, used) => {
    const checked = note(used, await check(token));
    if (checked.error !== undefined) return rejected(checked.error, null);
    used.material("attestation_token", digestOf(token));
    const { issuer } = checked.key;
    return factOf(issuer, readings.get(issuer)!, checked.payload, checked.digest, against);
  };
}

/** No type is demanded, since formats have their own; but what is signed to be something else of ours is no attestation. */
const isTyp = (typ: unknown): boolean =>
  typ === undefined || (typeof typ === "string" && !/^(?:application\/)?railgate-/i.test(typ));

function factOf(
  issuer: string,
  { format, audience }: Reading,
  payload: Record<string, unknown>,
  digest: string,
  { nowMs, nonce }: Against,
): AttestationFact {
  const said = format(payload);
  if (said === undefined) return rejected("malformed", digest);
  const { expires_ms, not_before_ms, nonces, audiences, ...appraisal } = said;
  if (audience !== undefined && !audiences.includes(audience)) return rejected("audience", digest);
  if (expires_ms !== null && nowMs >= expires_ms) return rejected("window", digest);
  if (not_before_ms !== null && nowMs + SKEW_MS < not_before_ms) return rejected("window", digest);
  if (nonces.some((allowed) => nonce === undefined || !allowed.includes(nonce))) return rejected("nonce", digest);
  return { form: "token", status: "verified", error: null, issuer, ...appraisal, token_digest: digest };
}

/** @param digest null where the signature does not hold. */
function rejected(error: AttestationFact["error"], digest: string | null): AttestationFact {
  const nothing = { report_ref: null, platform_type: null, result: null, measured_at_ms: null, debuggable: null };
  return { form: "token", status: "rejected", error, issuer: null, ...nothing, token_digest: digest };
}
