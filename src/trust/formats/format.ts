// What every format of attestation tokens is read into: one file a format, each a function from claims to this.
import type { Claims } from "../claims.ts";

/** What a token says, in the law's words; what a format cannot say is null. */
export type Appraisal = {
  report_ref: string | null;
  platform_type: string | null;
  result: "pass" | "fail" | null;
  measured_at_ms: number | null;
  debuggable: boolean | null;
  expires_ms: number | null;
  not_before_ms: number | null;
  /** Each nonce claim as the list of values it allows. */
  nonces: string[][];
  /** Whom the token is meant for; empty where it does not say. */
  audiences: string[];
};

/** Undefined where the claims are not as the format has them, or contradict each other. */
export type Format = (claims: Claims) => Appraisal | undefined;
