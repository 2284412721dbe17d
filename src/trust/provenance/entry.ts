// A transparency log's entry, as far as the library does not compare it: whose signature it holds.
import { createPublicKey, X509Certificate } from "node:crypto";
import type { Bundle } from "./bundle.ts";

export type LogEntry = Bundle["verificationMaterial"]["tlogEntries"][number];

type Pem = string;
type Verifier = {
  readonly x509Certificate?: { readonly rawBytes: string };
  readonly publicKey?: { readonly rawBytes: string };
};

/** What entries of Rekor v1 and v2 have, of which one member is looked at. */
interface Body {
  readonly spec: {
    readonly signatures: [{ readonly verifier: Pem }];
    readonly content: { readonly envelope: { readonly signatures: [{ readonly publicKey: Pem }] } };
    readonly signature: { readonly publicKey: { readonly content: Pem } };
    readonly dsseV002: { readonly signatures: [{ readonly verifier: Verifier }] };
    readonly hashedRekordV002: { readonly signature: { readonly verifier: Verifier } };
  };
}

/** By kind and version (github.com/sigstore/rekor, pkg/types; github.com/sigstore/rekor-tiles, api/proto). */
const SIGNERS: { readonly [kindVersion: string]: (body: Body) => Buffer } = {
  "dsse 0.0.1": ({ spec }) => fromPem(spec.signatures[0].verifier),
  "intoto 0.0.2": ({ spec }) => fromPem(spec.content.envelope.signatures[0].publicKey),
  "hashedrekord 0.0.1": ({ spec }) => fromPem(spec.signature.publicKey.content),
  "dsse 0.0.2": ({ spec }) => fromVerifier(spec.dsseV002.signatures[0].verifier),
  "hashedrekord 0.0.2": ({ spec }) => fromVerifier(spec.hashedRekordV002.signature.verifier),
};

/** The certificate, or the public key, in DER. Throws where there is none. */
export function signerIn({ kindVersion: { kind, version }, canonicalizedBody }: LogEntry): Buffer {
  return SIGNERS[`${kind} ${version}`]!(JSON.parse(canonicalizedBody.toString("utf8")) as Body);
}

function fromPem(base64: Pem): Buffer {
  const pem = Buffer.from(base64, "base64").toString("latin1");
  if (pem.includes("BEGIN CERTIFICATE")) return new X509Certificate(pem).raw;
  return createPublicKey(pem).export({ format: "der", type: "spki" });
}

function fromVerifier({ x509Certificate, publicKey }: Verifier): Buffer {
  return Buffer.from((x509Certificate ?? publicKey)!.rawBytes, "base64");
}
