// Who signed a bundle, and when: signature, certificate at a trusted time, and inclusion in a log. `@sigstore/verify` does the most
// of it; what it leaves to its caller stands in `checkLeaf` and `checkEntry`.
import { X509Certificate } from "node:crypto";
import { toSignedEntity, VerificationError, Verifier } from "@sigstore/verify";
import type { ProvenanceStep } from "../../core/schema/input.ts";
import type { Bundle } from "./bundle.ts";
import { signerIn, type LogEntry } from "./entry.ts";
import { isSound, logInUse, type Root } from "./root.ts";
import { must, StepError, within } from "./steps.ts";

/** Who vouches. Of a key, issuer and subject are its id. */
export interface Signer {
  readonly issuer: string;
  readonly subject: string;
  /** What the certificate's authority found out of where the signing workflow lies; null where it says nothing. */
  readonly repository: string | null;
  /** The earliest trusted time, milliseconds since the epoch. */
  readonly signedAtMs: number;
}

type Entity = ReturnType<typeof toSignedEntity>;
type Leaf = Extract<Entity["key"], { $case: "certificate" }>["certificate"];

// Fulcio's extensions: github.com/sigstore/fulcio/blob/main/docs/oid-info.md
const ISSUER_V1 = "1.3.6.1.4.1.57264.1.1";
const ISSUER_V2 = "1.3.6.1.4.1.57264.1.8";
const SOURCE_REPOSITORY = "1.3.6.1.4.1.57264.1.12";
const ALTERNATIVE_NAMES = "2.5.29.17";
const CODE_SIGNING = "1.3.6.1.5.5.7.3.3";
const [RFC822_NAME, URI] = [1, 6];

/** Where the library's own steps end. */
const STEPS: readonly (readonly [code: string, step: ProvenanceStep])[] = [
  ["TIMESTAMP_", "timestamp"],
  ["CERTIFICATE_", "certificate"],
  ["PUBLIC_KEY_", "key"],
  ["TLOG_", "log"],
  ["SIGNATURE_", "signature"],
];

/** @throws StepError `timestamp`, `certificate`, `key`, `log`, `signature` */
export function verifySigned(bundle: Bundle, root: Root): Signer {
  const certificate = within("certificate", "its certificate is no X.509", () => certificateIn(bundle));
  const entity = within("timestamp", "a timestamp is no RFC 3161 response", () => toSignedEntity(bundle));
  const times = within("timestamp", "a timestamp is no RFC 3161 response", () => timesOf(entity));
  verifyAll(entity, root);
  const { key } = entity;
  const signer = key.$case === "certificate" ? checkLeaf(key.certificate, certificate!) : keySigner(key.hint, root);
  const logged = certificate?.raw ?? keyBytes(key, root);
  for (const entry of entity.tlogEntries) checkEntry(entry, logged, root, times);
  return { ...signer, signedAtMs: Math.min(...times.map((time) => time.getTime())) };
}

/** Undefined where the bundle names a key. */
function certificateIn({ verificationMaterial: { content } }: Bundle): X509Certificate | undefined {
  switch (content.$case) {
    case "certificate":
      return new X509Certificate(content.certificate.rawBytes);
    case "x509CertificateChain":
      return new X509Certificate(content.x509CertificateChain.certificates[0]!.rawBytes);
    case "publicKey":
      return undefined;
  }
}

/** The times that are vouched for, by an authority or by a log's promise; whether they truly are is verified after. */
function timesOf({ timestamps }: Entity): Date[] {
  return timestamps.flatMap((each) => {
    if (each.$case === "timestamp-authority") return [each.timestamp.signingTime];
    const { inclusionPromise, integratedTime } = each.tlogEntry;
    return inclusionPromise === undefined ? [] : [new Date(Number(integratedTime) * 1000)];
  });
}

function verifyAll(entity: Entity, { material }: Root): void {
  try {
    new Verifier(material, { tlogThreshold: 1, ctlogThreshold: 1, timestampThreshold: 1 }).verify(entity);
  } catch (error) {
    if (error instanceof StepError) throw error;
    if (!(error instanceof VerificationError)) throw new StepError("malformed", "a part of it cannot be read");
    const step = STEPS.find(([code]) => String(error.code).startsWith(code))?.[1] ?? "malformed";
    throw new StepError(step, error.message);
  }
}

type Vouching = Omit<Signer, "signedAtMs">;

function keySigner(hint: string, root: Root): Vouching {
  const { id } = root.key(hint)!;
  return { issuer: id, subject: id, repository: null };
}

/** A certificate for signing code, not for signing certificates; one name in it, in ASCII as it is compared. */
function checkLeaf(leaf: Leaf, certificate: X509Certificate): Vouching {
  return within("certificate", "its certificate is not one for signing code", () => {
    must(isSound(certificate.publicKey), "certificate", "its key is neither EC, Ed25519 nor RSA of 2048 bits or more");
    const signs = leaf.extKeyUsage?.digitalSignature === true && certificate.keyUsage?.includes(CODE_SIGNING) === true;
    must(signs && !certificate.ca, "certificate", "its certificate is not one for signing code");
    const names = leaf.extension(ALTERNATIVE_NAMES)?.valueObj.subs[0]?.subs ?? [];
    const [name] = names;
    const isName = name !== undefined && (name.tag.isContextSpecific(URI) || name.tag.isContextSpecific(RFC822_NAME));
    must(isName && names.length === 1, "certificate", "its certificate names no URI or address, or several");
    const issuer = textIn(leaf, ISSUER_V2) ?? printable(leaf.extension(ISSUER_V1)?.value);
    must(issuer !== null, "certificate", "its certificate does not say who identified the signer");
    return { issuer, subject: printable(name.value)!, repository: textIn(leaf, SOURCE_REPOSITORY) };
  });
}

/** The UTF8String in an extension; null where there is none. */
const textIn = (leaf: Leaf, oid: string): string | null => {
  const extension = leaf.extension(oid);
  return extension === undefined ? null : printable(extension.valueObj.subs[0]?.value);
};

/** The library drops the eighth bit, by which another name could come to read as this one. */
function printable(bytes: Buffer | undefined): string | null {
  if (bytes === undefined) return null;
  must(bytes.length > 0 && bytes.every((byte) => byte > 0x20 && byte < 0x7f), "certificate", "a name is not in ASCII");
  return bytes.toString("latin1");
}

/** The log was in use when this was signed, and holds the signature as this signer's. @param signer certificate or key, in DER. */
function checkEntry(entry: LogEntry, signer: Buffer, root: Root, times: readonly Date[]): void {
  must(logInUse(root.material, entry.logId.keyId, times), "log", "its log was not in use when it was signed");
  const logged = within("log", "its log entry names no signer", () => signerIn(entry));
  must(signer.equals(logged), "log", "its log entry is of another signer");
}

function keyBytes(key: Entity["key"], root: Root): Buffer {
  return root.key((key as { readonly hint: string }).hint)!.key.export({ format: "der", type: "spki" });
}
