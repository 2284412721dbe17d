// Verifies the tokens of a request against pinned keys and says what they prove. What follows from it the law says.
import type { JWK } from "jose";
import { NO_TRUST, type TrustFacts } from "../core/facts.ts";
import type { AttestationFact } from "../core/schema/input.ts";
import type { AdmissionRequest } from "../core/schema/request.ts";
import { heldFact, type TokenProof } from "../core/attestation.ts";
import type { Blob, StateWrite } from "../store/store.ts";
import { makeAttesters, type AttesterConfig } from "./attestation.ts";
import { makeAuthorities } from "./authority.ts";
import { pin, type UsedKey } from "./keys.ts";
import { makeProvenance, type Provenance, type ProvenanceFound } from "./provenance/provenance.ts";
import type { BundleStore } from "./provenance/store.ts";
import type { ProvenanceConfig } from "./provenance/verify.ts";
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
  /** Who may say where software comes from; absent: nobody. */
  provenance?: ProvenanceConfig | undefined;
};

/** What the tokens prove, and what that rests on: see `authoritySnapshot`. */
export type Verified = {
  /** As they are where no challenge is open and no token was used before: `proof` holds more. */
  facts: TrustFacts;
  used: UsedKey[];
  materials: Material[];
  /** Null where the request bears no attestation token. */
  proof: TokenProof | null;
  /** What was verified and lies with the evidence, and what is kept of it. */
  blobs: readonly Blob[];
  states: readonly StateWrite[];
};

/** The same of one attestation. */
type VerifiedAttestation = Pick<Verified, "used" | "materials"> & { fact: AttestationFact; proof: TokenProof };

export type Trust = {
  /**
   * Null, at once, where the request bears no token and nothing can be found out of its artifacts; null as well where nothing was:
   * its facts are then `NO_TRUST`.
   * @throws EvidenceUnavailableError the store cannot be read.
   */
  verify(request: AdmissionRequest, against: Against): Promise<Verified | null> | null;
  /** One attestation token, for a re-attestation. Never rejects. */
  verifyAttestation(token: string, against: Against, devices?: readonly unknown[]): Promise<VerifiedAttestation>;
  readonly override: OverrideCheck;
  readonly provenance: Provenance;
  /** Ends its threads once what is under way is done. */
  close(): Promise<void>;
};

/**
 * Imports and pins the keys.
 * @param kept bundles by what they are about; absent: none are.
 * @throws ConfigError where an issuer has no key that can verify anything, or what is pinned cannot be read.
 */
export async function makeTrust(config: TrustConfig, kept?: BundleStore): Promise<Trust> {
  const roots = new Set(config.authorities.filter(({ root }) => root).map(({ issuer }) => issuer));
  const issuers = await pin(config.authorities, "railgate.trust.authorities");
  const authorities = makeAuthorities(issuers, roots);
  const attestation = await makeAttesters(config.attesters);
  const provenance = await makeProvenance(config.provenance, kept);

  return {
    override: makeOverrides(issuers, roots),
    provenance,
    close: () => provenance.close(),
    verify(request, against) {
      const given =
        request.attestation !== undefined && "token" in request.attestation ? request.attestation : undefined;
      const used = new Used();
      const searching = provenance.find(request, against.nowMs, used);
      if (request.authority !== undefined || given !== undefined || request.exceptions?.length)
        return verifyAll(request, given, against, used, searching);
      if (searching === null) return null;
      return searching.then((found) => (found.facts.size === 0 ? null : withProvenance(NO_TRUST, null, found, used)));
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
    used: Used,
    searching: Promise<ProvenanceFound> | null,
  ): Promise<Verified> {
    const proof = given ? await attestation(given.token, given.devices ?? [], against.nowMs, used) : null;
    const facts: TrustFacts = {
      authority: authority === undefined ? NO_TRUST.authority : await authorities.bindingFact(authority, used),
      attestation: proof === null ? NO_TRUST.attestation : alone(proof, against),
      exceptions: await authorities.exceptionFacts(exceptions, used),
    };
    return withProvenance(facts, proof, await searching, used);
  }
}

function withProvenance(
  facts: TrustFacts,
  proof: TokenProof | null,
  found: ProvenanceFound | null,
  used: Used,
): Verified {
  return {
    facts: found === null ? facts : { ...facts, provenance: found.facts },
    used: used.keys,
    materials: used.materials,
    proof,
    blobs: found?.blobs ?? [],
    states: found?.states ?? [],
  };
}

/** What it proves where no challenge is open and nothing was used before. */
const alone = (proof: TokenProof, { nonce }: Against): AttestationFact =>
  heldFact(proof, { correlationId: nonce, isOpen: () => false, isElsewhere: () => false });
