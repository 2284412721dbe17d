// Verifies the tokens of a request against pinned keys and says what they prove. What follows from it the law says.
import type { JWK } from "jose";
import { NO_TRUST, type TrustFacts } from "../core/facts.ts";
import type { AttestationFact } from "../core/schema/input.ts";
import type { AdmissionRequest } from "../core/schema/request.ts";
import { heldFact, type TokenProof } from "../core/attestation.ts";
import { makeAttesters, type AttesterConfig } from "./attestation.ts";
import { makeAuthorities } from "./authority.ts";
import { pin, type UsedKey } from "./keys.ts";
import { makeOverrides, type OverrideCheck } from "./override.ts";
import { Used, type Material } from "./snapshot.ts";

export type { UsedKey } from "./keys.ts";
export { authoritySnapshot, type Material } from "./snapshot.ts";

/** What tokens are held against: the clock, in milliseconds since the epoch, and the nonce that a token may bear, if any. */
export type Against = { nowMs: number; nonce: string | undefined };

export type TrustConfig = {
  /** Who may sign authority bindings, delegations and exceptions; a chain must begin at a root. */
  authorities: { issuer: string; jwks: JWK[]; root: boolean }[];
  /** Who may sign attestation tokens. */
  attesters: AttesterConfig[];
};

/** What the tokens prove, and what that rests on: see `authoritySnapshot`. */
export type Verified = {
  /** As they are where no challenge is open and no token was used before: `proof` holds more. */
  facts: TrustFacts;
  used: UsedKey[];
  materials: Material[];
  /** Null where the request bears no attestation token. */
  proof: TokenProof | null;
};

/** The same of one attestation. */
type VerifiedAttestation = Omit<Verified, "facts" | "proof"> & { fact: AttestationFact; proof: TokenProof };

export type Trust = {
  /** Null, at once, where the request bears no token: its facts are then `NO_TRUST`. Never rejects. */
  verify(request: AdmissionRequest, against: Against): Promise<Verified> | null;
  /** One attestation token, for a re-attestation. Never rejects. */
  verifyAttestation(token: string, against: Against, devices?: readonly unknown[]): Promise<VerifiedAttestation>;
  readonly override: OverrideCheck;
};

/** Imports and pins the keys. Throws ConfigError where an issuer has none that can verify anything. */
export async function makeTrust(config: TrustConfig): Promise<Trust> {
  const roots = new Set(config.authorities.filter(({ root }) => root).map(({ issuer }) => issuer));
  const issuers = await pin(config.authorities, "railgate.trust.authorities");
  const authorities = makeAuthorities(issuers, roots);
  const attestation = await makeAttesters(config.attesters);

  return {
    override: makeOverrides(issuers, roots),
    verify(request, against) {
      const given =
        request.attestation !== undefined && "token" in request.attestation ? request.attestation : undefined;
      if (request.authority === undefined && given === undefined && !request.exceptions?.length) return null;
      return verifyAll(request, given, against);
    },
    async verifyAttestation(token, against, devices = []) {
      const used = new Used();
      const proof = await attestation(token, devices, against.nowMs, used);
      return { fact: alone(proof, against), used: used.keys, materials: used.materials, proof };
    },
  };

  async function verifyAll(
    { authority, exceptions = [] }: AdmissionRequest,
    given: { token: string; devices?: readonly unknown[] } | undefined,
    against: Against,
  ): Promise<Verified> {
    const used = new Used();
    const proof = given ? await attestation(given.token, given.devices ?? [], against.nowMs, used) : null;
    const facts: TrustFacts = {
      authority: authority === undefined ? NO_TRUST.authority : await authorities.bindingFact(authority, used),
      attestation: proof === null ? NO_TRUST.attestation : alone(proof, against),
      exceptions: await authorities.exceptionFacts(exceptions, used),
    };
    return { facts, used: used.keys, materials: used.materials, proof };
  }
}

/** What it proves where no challenge is open and nothing was used before. */
const alone = (proof: TokenProof, { nonce }: Against): AttestationFact =>
  heldFact(proof, { correlationId: nonce, isOpen: () => false, isElsewhere: () => false });
