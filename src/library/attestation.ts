// What an attestation token says and whether it holds by what is pinned: for a command line that needs no node, no challenge and no network.
import { decodeJwt, decodeProtectedHeader } from "jose";
import type { AttestationFact, DeviceFact } from "../core/schema/input.ts";
import type { Config } from "../node/config/config.ts";
import { trustOptions } from "../node/config/options.ts";
import { makeTrust } from "../trust/trust.ts";

type Step = NonNullable<AttestationFact["error"]>;

export interface TokenReport {
  /** It holds, and what it says is a pass. */
  readonly ok: boolean;
  /** The step that fails; null where all hold. */
  readonly step: Step | null;
  /** That in words, with what would cure it. */
  readonly message: string;
  /** As they stand in the token, whoever made it; null where they can't be read, or where it is a bundle. */
  readonly header: object | null;
  readonly claims: object | null;
  /** What the law would be told; null of a bundle. */
  readonly fact: AttestationFact | null;
  /** Each nonce claim as the values it allows: one must be an open challenge, or the request's `correlation_id`. */
  readonly nonces: readonly (readonly string[])[];
  /** Of a bundle about devices, what it says of each. */
  readonly devices: readonly DeviceFact[] | null;
}

const WORDS: Readonly<Record<Step, string>> = {
  size: "it is larger than a token may be (64 KiB, a bundle 256 KiB)",
  malformed:
    "it is no compact JWS of strict JSON, or its claims are not as its format has them, or they contradict each other",
  issuer: "nobody is pinned under its issuer; name it in railgate.trust.attesters",
  algorithm: "its algorithm is none of its format's, or its key is for another",
  type: "its header's typ says that it is no attestation",
  key: "no pinned key has its key id, and no certificate in its header vouches for another; renew the issuer's JWKS",
  certificate: "its certificates lead to no root in x5c_roots, or are not of its key, or not valid now",
  signature: "its signature does not hold by the pinned key",
  audience: "it is meant for somebody else than the attester's audience names",
  window: "it has ended, or has not begun; attest again",
  age: "it is older than the attester's max_age allows; attest again",
  policy: "the verifier held it to none of the pinned policies, or one did not match",
  devices: "a device's token is missing, extra, or not the one whose digest is named",
  "token used elsewhere": "it was used for another workload",
  nonce: "a device's nonce is another than the overall token's",
};

/**
 * @param text a compact JWS, or a detached bundle of NRAS as JSON.
 * @throws ConfigError what is pinned is not usable.
 */
export async function inspectAttestation(
  config: Pick<Config, "trust">,
  text: string,
  nowMs: number,
): Promise<TokenReport> {
  const trust = await makeTrust(trustOptions(config.trust));
  const against = { nowMs, nonce: undefined };
  if (!text.startsWith("[")) {
    const { proof } = await trust.verifyAttestation(text, against);
    const { fact, shown } = proof;
    const ok = fact.error === null && fact.result === "pass";
    return {
      ok,
      step: fact.error,
      message: fact.error === null ? (ok ? "it holds" : "it holds, and what it says is no pass") : WORDS[fact.error],
      header: decoded(() => decodeProtectedHeader(text)),
      claims: decoded(() => decodeJwt(text)),
      fact,
      nonces: shown?.nonces ?? [],
      devices: null,
    };
  }
  const { proof } = await trust.verifyAttestation("", against, [decoded(() => JSON.parse(text) as object)]);
  const [{ devices, shown }] = proof.bundles as [(typeof proof.bundles)[number]];
  const step = devices.find(({ error }) => error !== null)?.error ?? null;
  const ok = step === null && devices.every(({ result }) => result === "pass");
  return {
    ok,
    step,
    message: step === null ? (ok ? "it holds" : "it holds, and a device did not pass") : WORDS[step],
    header: null,
    claims: null,
    fact: null,
    nonces: shown?.nonces ?? [],
    devices,
  };
}

function decoded(read: () => object): object | null {
  try {
    return read();
  } catch {
    return null;
  }
}
