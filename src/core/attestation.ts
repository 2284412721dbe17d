// Attestation tokens after their signatures held: held against what this request is, the challenges that are open, and what was used before.
import type { AttestationFact, DeviceFact } from "./schema/input.ts";

type AttestationError = NonNullable<AttestationFact["error"]>;

/** A token that a pinned attester signed, whatever else is wrong with it: showing it has effects. */
export interface ShownToken {
  /** `sha256:<hex>` of its signing input: a signature can be written in several ways, what it signs cannot. */
  readonly digest: string;
  /** Each nonce claim as the list of values that it allows. */
  readonly nonces: readonly (readonly string[])[];
  /** From when on it could not be shown again, milliseconds since the epoch; null: it has no end. */
  readonly until_ms: number | null;
}

/** A detached bundle of tokens about devices. */
interface ShownDevices {
  readonly devices: readonly DeviceFact[];
  /** Undefined where no pinned attester signed it. */
  readonly shown: ShownToken | undefined;
}

/** What the tokens of one attestation prove by themselves. Plain JSON. */
export interface TokenProof {
  /** As if its nonce matched and it was never used before. */
  readonly fact: AttestationFact;
  /** Undefined where no pinned attester signed it. */
  readonly shown: ShownToken | undefined;
  readonly bundles: readonly ShownDevices[];
}

/** What a proof is held against. */
export interface Held {
  /** The request's `correlation_id`; undefined where that binds nothing. */
  readonly correlationId: string | undefined;
  /** Whether this challenge of the workload, as text, is open. */
  readonly isOpen: (nonce: string) => boolean;
  /** Whether the token of this digest was used for another workload. */
  readonly isElsewhere: (digest: string) => boolean;
}

const UNBOUND = { form: "none", ok: false } as const;

/** The fact of a token that failed a step: nothing that it says is used. @param digest null where the signature does not hold. */
export const rejectedToken = (error: AttestationError, digest: string | null): AttestationFact => ({
  form: "token",
  status: "rejected",
  error,
  issuer: null,
  format: null,
  report_ref: null,
  platform_type: null,
  result: null,
  measured_at_ms: null,
  debuggable: null,
  ...SAYS_NO_MORE,
  nonce: UNBOUND,
  token_digest: digest,
});

/** What nothing but a token can say. */
export const SAYS_NO_MORE = {
  tcb: null,
  measurements: null,
  verifier_policies: null,
  vector: null,
  image_digests: null,
  init_data_digest: null,
  devices: null,
} satisfies Partial<AttestationFact>;

export const rejectedDevice = (error: AttestationError): DeviceFact => ({
  kind: null,
  model: null,
  result: null,
  error,
});

/** The fact that the law is told of: what the tokens prove for this request. */
export function heldFact({ fact, shown, bundles }: TokenProof, held: Held): AttestationFact {
  if (fact.status !== "verified" || shown === undefined) return fact;
  if (held.isElsewhere(shown.digest)) return rejectedToken("token used elsewhere", shown.digest);
  const binding = bindingOf(shown.nonces, held);
  if (binding === undefined) return rejectedToken("nonce", shown.digest);
  const { form } = binding;
  const devices = bundles.flatMap((bundle) => devicesOf(bundle, binding, held));
  return {
    ...fact,
    devices: bundles.length === 0 ? fact.devices : [...(fact.devices ?? []), ...devices],
    nonce: { form, ok: form !== "none" },
  };
}

/** A bundle counts under the nonce that binds the platform's own token: without one it is bound to nothing. */
function devicesOf({ devices, shown }: ShownDevices, binding: Binding, held: Held): readonly DeviceFact[] {
  if (shown === undefined) return devices;
  if (held.isElsewhere(shown.digest)) return [rejectedDevice("token used elsewhere")];
  const isBound = binding.form !== "none" && shown.nonces.every((allowed) => matches(allowed, binding));
  return isBound ? devices : [rejectedDevice("nonce")];
}

type Binding = { readonly form: AttestationFact["nonce"]["form"]; readonly nonce: string };

/** Every nonce claim must allow the same: an open challenge, or else the correlation id. Undefined where there are some and nothing fits all. */
function bindingOf(nonces: ShownToken["nonces"], { correlationId, isOpen }: Held): Binding | undefined {
  if (nonces.length === 0) return { form: "none", nonce: "" };
  const candidates: Binding[] = namedChallenges(nonces)
    .filter(isOpen)
    .map((nonce) => ({ form: "challenge", nonce }));
  if (correlationId !== undefined) candidates.push({ form: "correlation", nonce: correlationId });
  return candidates.find((binding) => nonces.every((allowed) => matches(allowed, binding)));
}

/** A challenge may be given to a verifier as its text, or as the hex of its bytes. */
function matches(allowed: readonly string[], { form, nonce }: Binding): boolean {
  if (allowed.includes(nonce)) return true;
  return form === "challenge" && allowed.some((value) => challengeIn(value) === nonce);
}

const [TEXT, HEX] = [/^[A-Za-z0-9_-]{43}$/, /^[0-9a-fA-F]{64}$/];
const NAMED_MAX = 16;

/** The challenges that nonce claims could name, as text; no more than one decision should spend. */
export function namedChallenges(nonces: ShownToken["nonces"]): string[] {
  const named = nonces.flat().map(challengeIn);
  return [...new Set(named.filter((nonce) => nonce !== undefined))].slice(0, NAMED_MAX);
}

/** 32 bytes, in base64url or in hex; undefined for what is neither. */
function challengeIn(value: string): string | undefined {
  if (TEXT.test(value)) return value;
  return HEX.test(value) ? base64urlOfHex(value) : undefined;
}

function base64urlOfHex(hex: string): string {
  const bytes = Uint8Array.from(hex.match(/../g)!, (pair) => Number.parseInt(pair, 16));
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");
}
