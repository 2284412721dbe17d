// What bundles are verified against: the pinned TrustedRoot of a Sigstore instance, and pinned public keys.
import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { TrustedRoot } from "@sigstore/protobuf-specs";
import { toTrustMaterial, type TrustMaterial } from "@sigstore/verify";
import { digestOf } from "../../core/event.ts";
import { ConfigError } from "../../core/errors.ts";
import { parseStrict } from "../../core/json.ts";
import { StepError } from "./steps.ts";

const ROOT_BYTES_MAX = 4 * 1024 * 1024;
const MEDIA_TYPE = /^application\/vnd\.dev\.sigstore\.trustedroot(?:\+json;version=0\.[12]|\.v0\.[12]\+json)$/;
const RSA_BITS_MIN = 2048;
const EVER = new Date(8_640_000_000_000_000);

/** A public key that bundles may name. */
export interface ProvenanceKey {
  /** Issuer and subject of what it signed. */
  readonly id: string;
  /** PEM, SubjectPublicKeyInfo. */
  readonly pem: string;
}

export interface Root {
  readonly digest: string;
  /** The newest start of validity in it, milliseconds since the epoch: when its instance last changed, as far as it knows. */
  readonly newestMs: number;
  readonly material: TrustMaterial;
  /** The key that a bundle names by this hint: its id, or the SHA-256 of its SubjectPublicKeyInfo. */
  key(hint: string): { readonly id: string; readonly key: KeyObject } | undefined;
}

/** @throws ConfigError naming the setting. */
export function pinRoot(trustedRoot: Uint8Array, keys: readonly ProvenanceKey[]): Root {
  const byHint = new Map(keys.flatMap(pinKey));
  const find = (hint: string) => byHint.get(hint);
  const root = readRoot(trustedRoot);
  return {
    digest: digestOf(trustedRoot),
    newestMs: newestStart(root),
    material: toTrustMaterial(root, (hint) => {
      const found = find(hint);
      if (found === undefined) throw new StepError("key", "it names a key that is not pinned");
      return { publicKey: found.key, validFor: () => true };
    }),
    key: find,
  };
}

function readRoot(bytes: Uint8Array): TrustedRoot {
  try {
    const value = parseStrict(bytes, { bytesMax: ROOT_BYTES_MAX });
    const root = TrustedRoot.fromJSON(value);
    if (!MEDIA_TYPE.test(root.mediaType)) throw new Error("mediaType is none of a TrustedRoot");
    if (root.tlogs.length === 0) throw new Error("it has no transparency log");
    // Without a start, what has none counts as valid since ever.
    for (const { publicKey } of [...root.tlogs, ...root.ctlogs])
      if (publicKey?.validFor?.start === undefined) throw new Error("a log's key has no start of validity");
    for (const { certChain, validFor } of [...root.certificateAuthorities, ...root.timestampAuthorities])
      if (!certChain?.certificates.length || validFor?.start === undefined)
        throw new Error("an authority has no certificate, or no start of validity");
    toTrustMaterial(root);
    return root;
  } catch (error) {
    throw new ConfigError("railgate.trust.provenance.trusted_root", `no TrustedRoot: ${(error as Error).message}`);
  }
}

function newestStart({ tlogs, ctlogs, certificateAuthorities, timestampAuthorities }: TrustedRoot): number {
  const spans = [
    ...[...tlogs, ...ctlogs].map(({ publicKey }) => publicKey?.validFor),
    ...[...certificateAuthorities, ...timestampAuthorities].map(({ validFor }) => validFor),
  ];
  return Math.max(...spans.map((span) => span?.start?.getTime() ?? 0));
}

/** By all that bundles are seen to name a key by: cosign has the base64 of the digest, npm puts `SHA256:` before it. */
function pinKey({ id, pem }: ProvenanceKey, index: number): [hint: string, key: { id: string; key: KeyObject }][] {
  const setting = `railgate.trust.provenance.keys[${index}].key`;
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    throw new ConfigError(setting, "not a public key in PEM");
  }
  if (!isSound(key)) throw new ConfigError(setting, "neither EC, Ed25519 nor RSA of 2048 bits or more");
  const digest = createHash("sha256")
    .update(key.export({ format: "der", type: "spki" }))
    .digest();
  const base64 = digest.toString("base64");
  const hints = [id, base64, digest.toString("hex"), `SHA256:${base64.replace(/=+$/, "")}`];
  return hints.map((hint) => [hint, { id, key }]);
}

/** Whether signatures by a key of this kind mean anything. */
export function isSound({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  if (asymmetricKeyType === "rsa") return (asymmetricKeyDetails?.modulusLength ?? 0) >= RSA_BITS_MIN;
  return asymmetricKeyType === "ec" || asymmetricKeyType === "ed25519";
}

/** Whether a log of the root that has this id was in use at all these times. */
export function logInUse({ tlogs }: TrustMaterial, logId: Buffer, times: readonly Date[]): boolean {
  return tlogs.some(
    ({ logID, validFor: { start, end = EVER } }) =>
      logID.equals(logId) && times.every((time) => start <= time && time <= end),
  );
}
