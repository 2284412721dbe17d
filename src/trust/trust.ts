// Verifies the tokens of a request against pinned keys and says what they prove. What follows from it the law says.
import type { JWK } from "jose";
import { NO_TRUST, type TrustFacts } from "../core/facts.ts";
import type { AttestationFact } from "../core/schema/input.ts";
import type { AdmissionRequest } from "../core/schema/request.ts";
import { FORMATS, makeAttesters, type Against } from "./attestation.ts";
import { makeAuthorities } from "./authority.ts";
import { pin, type UsedKey } from "./keys.ts";
import { makeOverrides, type OverrideCheck } from "./override.ts";
import { Used, type Material } from "./snapshot.ts";

export type { Against } from "./attestation.ts";
export type { UsedKey } from "./keys.ts";
export { authoritySnapshot, type Material } from "./snapshot.ts";

export type TrustConfig = {
  /** Who may sign authority bindings, delegations and exceptions; a chain must begin at a root. */
  authorities: { issuer: string; jwks: JWK[]; root: boolean }[];
  /** Who may sign attestation tokens; with `audience`, only those meant for it. */
  attesters: { issuer: string; jwks: JWK[]; audience?: string; format?: keyof typeof FORMATS }[];
};

/** What the tokens prove, and what that rests on: see `authoritySnapshot`. */
export type Verified = { facts: TrustFacts; used: UsedKey[]; materials: Material[] };

export type Trust = {
  /** Null, at once, where the request bears no token: its facts are then `NO_TRUST`. Never rejects. */
  verify(request: AdmissionRequest, against: Against): Promise<Verified> | null;
  /** One attestation token, for a re-attestation. Never rejects. */
  verifyAttestation(
    token: string,
    against: Against,
  ): Promise<{ fact: AttestationFact; used: UsedKey[]; materials: Material[] }>;
  readonly override: OverrideCheck;
};

/** Imports and pins the keys. Throws ConfigError where an issuer has none that can verify anything. */
export async function makeTrust(config: TrustConfig): Promise<Trust> {
  const roots = new Set(config.authorities.filter(({ root }) => root).map(({ issuer }) => issuer));
  const issuers = await pin(config.authorities, "railgate.trust.authorities");
  const authorities = makeAuthorities(issuers, roots);
  const readings = config.attesters.map(
    ({ issuer, audience, format = "railgate" }) => [issuer, { format: FORMATS[format], audience }] as const,
  );
  const attestation = makeAttesters(await pin(config.attesters, "railgate.trust.attesters"), new Map(readings));

  return {
    override: makeOverrides(issuers, roots),
    verify(request, against) {
      const token =
        request.attestation !== undefined && "token" in request.attestation ? request.attestation.token : undefined;
      if (request.authority === undefined && token === undefined && !request.exceptions?.length) return null;
      return verifyAll(request, token, against);
    },
    async verifyAttestation(token, against) {
      const used = new Used();
      const fact = await attestation(token, against, used);
      return { fact, used: used.keys, materials: used.materials };
    },
  };

  async function verifyAll(
    { authority, exceptions = [] }: AdmissionRequest,
    token: string | undefined,
    against: Against,
  ): Promise<Verified> {
    const used = new Used();
    const facts: TrustFacts = {
      authority: authority === undefined ? NO_TRUST.authority : await authorities.bindingFact(authority, used),
      attestation: token === undefined ? NO_TRUST.attestation : await attestation(token, against, used),
      exceptions: await authorities.exceptionFacts(exceptions, used),
    };
    return { facts, used: used.keys, materials: used.materials };
  }
}
