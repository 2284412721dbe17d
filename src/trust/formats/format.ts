// What every format of attestation tokens is: the algorithms its issuers sign with, and how its claims are read into the law's words. One file a format.
import type { Claims } from "../claims.ts";

type Verdict = "pass" | "fail";

/** An accelerator, or another device, that a token speaks of. */
export type Device = { kind: string; model: string | null; result: Verdict };

/** What a token says, in the law's words; what a format cannot say is null. */
export type Appraisal = {
  report_ref: string | null;
  platform_type: string | null;
  result: Verdict | null;
  measured_at_ms: number | null;
  debuggable: boolean | null;
  tcb: { status: string | null; date: string | null; advisories: string[] } | null;
  /** By the token's own names, without a vendor's prefix: hex in lower case. */
  measurements: { [name: string]: string } | null;
  /** Ids and hashes of the policies that the verifier held the evidence to. */
  verifier_policies: string[] | null;
  /** AR4SI claims by name; null where a part of the token has none. */
  vector: { [name: string]: number } | null;
  image_digests: string[] | null;
  init_data_digest: string | null;
  devices: Device[] | null;
  issued_ms: number | null;
  expires_ms: number | null;
  not_before_ms: number | null;
  /** Each nonce claim as the list of values it allows. */
  nonces: string[][];
  /** Whom the token is meant for; empty where it does not say. */
  audiences: string[];
  /** Policies that the verifier says did not match. */
  unmatched: string[];
};

export type Format = {
  /** JWS algorithms (RFC 7518); signed with any other, a token is none of this format. */
  readonly algorithms: readonly string[];
  /** A token without a reference of its own is referred to by its digest. */
  readonly refersByDigest: boolean;
  /** Undefined where the claims are not as the format has them, or contradict each other. */
  readonly read: (claims: Claims) => Appraisal | undefined;
};
