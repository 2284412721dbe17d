// Certificate chains in the headers of tokens (RFC 7515 §4.1.6), held to pinned roots as RFC 5280 §6 has it, as far as such chains need it.
import { X509Certificate } from "node:crypto";
import type { JWK } from "jose";
import { elements, objectId, sequence, type Element } from "../policy/builtins/der.ts";

const CHAIN_MAX = 8;
const CERTIFICATE_LENGTH_MAX = 16 * 1024;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** A chain that ends in a pinned root. When it is valid is for each decision to see. */
export type Chain = {
  /** The public key of its first certificate. */
  readonly jwk: JWK;
  /** Milliseconds since the epoch: from when, and until when, all its certificates are valid. */
  readonly from_ms: number;
  readonly until_ms: number;
};

/**
 * The chain of a header, leaf first, or undefined where it does not lead to a root: each certificate issued and signed by the next,
 * which may sign certificates and that many below it; the last is a root, or issued and signed by one. The leaf may sign. No
 * extension that must be understood and is not.
 * @param x5c attacker-controlled.
 */
export function chainOf(x5c: unknown, roots: readonly X509Certificate[]): Chain | undefined {
  if (!Array.isArray(x5c) || x5c.length === 0 || x5c.length > CHAIN_MAX) return undefined;
  try {
    const given = x5c.map(certificateOf);
    const last = given.at(-1)!;
    const root = roots.find((each) => each.raw.equals(last.raw)) ?? roots.find((each) => issued(last, each));
    if (root === undefined) return undefined;
    const path = root.raw.equals(last.raw) ? given : [...given, root];
    const isSound = path.every((certificate, index) => {
      const issuer = path[index + 1];
      return (issuer === undefined || issued(certificate, issuer)) && mayStandAt(index, certificate);
    });
    if (!isSound) return undefined;
    const [leaf] = path as [X509Certificate];
    return {
      jwk: leaf.publicKey.export({ format: "jwk" }) as JWK,
      from_ms: Math.max(...path.map(({ validFrom }) => Date.parse(validFrom))),
      until_ms: Math.min(...path.map(({ validTo }) => Date.parse(validTo))),
    };
  } catch {
    return undefined;
  }
}

function certificateOf(encoded: unknown): X509Certificate {
  if (typeof encoded !== "string" || encoded.length > CERTIFICATE_LENGTH_MAX || !BASE64.test(encoded))
    throw new TypeError("no certificate");
  return new X509Certificate(Buffer.from(encoded, "base64"));
}

/** By name, key identifier and the right to sign certificates, where its key usage is limited (OpenSSL's X509_check_issued), and by signature. */
const issued = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);

const OID = {
  keyUsage: "2.5.29.15",
  basicConstraints: "2.5.29.19",
  extendedKeyUsage: "2.5.29.37",
  subjectAltName: "2.5.29.17",
} as const;
const UNDERSTOOD = new Set<string>(Object.values(OID));
const [DIGITAL_SIGNATURE, KEY_CERT_SIGN] = [0x80, 0x04];

/** @param index 0: the leaf; else so many certificates less one lie below it that are authorities. */
function mayStandAt(index: number, certificate: X509Certificate): boolean {
  const found = extensionsOf(certificate);
  if (found.some(({ oid, critical }) => critical && !UNDERSTOOD.has(oid))) return false;
  const valueOf = (oid: string): Uint8Array | undefined => found.find((each) => each.oid === oid)?.value;
  const usage = valueOf(OID.keyUsage);
  const bits = usage === undefined ? undefined : (elements(usage)[0]!.content[1] ?? 0);
  // A key that only its own certificate vouches for, pinned as the root it is, may sign tokens itself.
  if (index === 0) return bits === undefined || (bits & DIGITAL_SIGNATURE) !== 0;
  const below = pathLength(valueOf(OID.basicConstraints));
  return certificate.ca && (bits === undefined || (bits & KEY_CERT_SIGN) !== 0) && index - 1 <= below;
}

/** How many authorities may lie below one; any number where nothing is said. */
function pathLength(constraints: Uint8Array | undefined): number {
  const length = constraints && sequence(elements(constraints)[0]).find(({ tag }) => tag === 0x02);
  return length === undefined ? Infinity : length.content.reduce((sum, byte) => sum * 256 + byte, 0);
}

type Extension = { readonly oid: string; readonly critical: boolean; readonly value: Uint8Array };

/** Of the certificate's `[3] extensions` (RFC 5280 §4.1). */
function extensionsOf({ raw }: X509Certificate): Extension[] {
  const [tbs] = sequence(elements(raw)[0]);
  const tagged = sequence(tbs).find(({ tag }) => tag === 0xa3);
  if (tagged === undefined) return [];
  return sequence(elements(tagged.content)[0]).map((extension) => {
    const members: Element[] = sequence(extension);
    const critical = members.length === 3 && members[1]!.content[0] !== 0;
    return { oid: objectId(members[0]), critical, value: members.at(-1)!.content };
  });
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** The certificates of a PEM file. @throws Error where one can't be read; with none in it, the list is empty. */
export const certificatesIn = (pem: string): X509Certificate[] =>
  (pem.match(PEM) ?? []).map((each) => new X509Certificate(each));
