// An authority's word that a policy may decide though it is older, or the gate refuses it (`railgate-override+jws`).
import { digestOf } from "../core/event.ts";
import { reading, statement, text, time } from "./claims.ts";
import type { Issuers } from "./keys.ts";
import { makeCheck } from "./token.ts";

const TYPE = "railgate-override+jws";

export interface Override {
  readonly issuer: string;
  /** Of the token. */
  readonly token_digest: string;
  readonly reason: string;
  /** RFC 3339. */
  readonly not_after: string;
}

/** @returns what a root says of this very policy, now; or why it says nothing. Never rejects. */
export type OverrideCheck = (
  token: string,
  digest: string,
  nowMs: number,
) => Promise<Override | { readonly problem: string }>;

const read = reading((claims) => ({
  issuer: text(claims.issuer),
  digest: text(claims.digest),
  reason: statement(text(claims.reason)),
  fromMs: time(claims.not_before),
  untilMs: time(claims.not_after),
}));

export function makeOverrides(issuers: Issuers, roots: ReadonlySet<string>): OverrideCheck {
  const check = makeCheck({ claim: "issuer", isTyp: (typ) => typ === TYPE }, issuers);
  return async (token, digest, nowMs) => {
    const checked = await check(token);
    if (checked.error !== undefined) return { problem: `the override does not verify (${checked.error})` };
    const claims = read(checked.payload);
    if (claims === undefined) return { problem: "the override lacks issuer, digest, reason, not_before or not_after" };
    const { issuer, reason, fromMs, untilMs } = claims;
    if (!roots.has(issuer)) return { problem: `the override is by ${issuer}, which is no root` };
    if (claims.digest !== digest) return { problem: "the override is for another policy" };
    if (reason === null) return { problem: "the override gives no reason" };
    if (nowMs < fromMs || nowMs > untilMs) return { problem: "the override is not valid now" };
    return { issuer, token_digest: digestOf(token), reason, not_after: new Date(untilMs).toISOString() };
  };
}
