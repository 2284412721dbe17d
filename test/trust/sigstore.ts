// A Sigstore instance of our own, without a network: its authorities come from @sigstore/mock, its logs (Rekor v1 and v2) from here.
// What it signs can be altered at every step, before or after it is signed.
import { createHash, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { initializeCA, initializeCTLog, initializeTSA } from "@sigstore/mock";
import { canonicalJson } from "../../src/core/json.ts";

export const ISSUER = "https://token.actions.githubusercontent.com";
export const WORKFLOW = "https://github.com/acme/payments/.github/workflows/release.yml@refs/heads/main";
export const BUILDER = "https://github.com/actions/runner/github-hosted";
export const BUILD_TYPE = "https://actions.github.io/buildtypes/workflow/v1";
export const SOURCE = "git+https://github.com/acme/payments";
export const IMAGE = `sha256:${"0123456789abcdef".repeat(4)}`;

const sha256 = (...parts: (Uint8Array | string)[]): Buffer => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const der = (key: KeyObject): Buffer => key.export({ format: "der", type: "spki" });
const pem = (bytes: Buffer, label: string): string =>
  `-----BEGIN ${label}-----\n${bytes.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END ${label}-----\n`;
const base64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString("base64");

type Json = { [name: string]: unknown };

/** What one bundle is made of; every default is sound. */
export interface Making {
  version?: "0.1" | "0.2" | "0.3" | "v0.3";
  rekor?: 1 | 2;
  by?: "certificate" | "key";
  /** Of the log's entry. */
  kind?: "dsse" | "intoto" | "hashedrekord";
  statement?: unknown;
  payload?: string;
  payloadType?: string;
  subjectName?: string;
  extensions?: { oid: string; value: string; legacy?: boolean }[];
  hint?: string;
  /** Alters the entry before the log takes it. */
  entry?: (body: Json) => Json;
  /** Signs what is logged in the place of what is in the bundle. */
  logs?: { payload: string };
  /** Whether an authority, or the log's promise, says when; default: an authority for Rekor v2, the promise for v1. */
  timestamp?: boolean;
  promise?: boolean;
  /** Names and order of the checkpoint's lines. */
  checkpoint?: (note: string) => string;
  /** Another instance, whose authority or log stands in for this one's. */
  authority?: Sigstore;
  log?: Sigstore;
  clock?: Sigstore;
}

export interface Sigstore {
  readonly trustedRoot: Json;
  readonly key: { readonly pem: string; readonly hint: string };
  readonly parts: Parts;
  bundle(making?: Making): Promise<Json>;
}

interface Log {
  readonly name: string;
  readonly id: Buffer;
  readonly keyId: Buffer;
  readonly publicKey: Buffer;
  readonly details: string;
  readonly key: KeyObject;
}

interface Parts {
  readonly ca: Awaited<ReturnType<typeof initializeCA>>;
  readonly tsa: Awaited<ReturnType<typeof initializeTSA>>;
  readonly logs: { readonly 1: Log; readonly 2: Log };
}

/** What SLSA v1 says of a build on GitHub. */
export const provenanceV1 = (changes: Json = {}): Json => ({
  buildDefinition: {
    buildType: BUILD_TYPE,
    externalParameters: { workflow: { ref: "refs/heads/main", repository: "https://github.com/acme/payments" } },
    resolvedDependencies: [{ uri: `${SOURCE}@refs/heads/main`, digest: { gitCommit: "0".repeat(40) } }],
  },
  runDetails: { builder: { id: BUILDER }, metadata: { invocationId: "1" } },
  ...changes,
});

export const provenanceV02 = (): Json => ({
  buildType: BUILD_TYPE,
  builder: { id: BUILDER },
  invocation: { configSource: { uri: `${SOURCE}@refs/heads/main`, entryPoint: ".github/workflows/release.yml" } },
  materials: [{ uri: `${SOURCE}@refs/heads/main`, digest: { sha1: "0".repeat(40) } }],
});

export const summary = (changes: Json = {}): Json => ({
  verifier: { id: BUILDER },
  timeVerified: "2026-01-01T00:00:00Z",
  resourceUri: "oci://registry.example/payments",
  policy: { uri: "https://example/policy" },
  verificationResult: "PASSED",
  verifiedLevels: ["SLSA_BUILD_LEVEL_2"],
  ...changes,
});

export const statementOf = (changes: Json = {}): Json => ({
  _type: "https://in-toto.io/Statement/v1",
  subject: [{ name: "payments", digest: { sha256: IMAGE.slice("sha256:".length) } }],
  predicateType: "https://slsa.dev/provenance/v1",
  predicate: provenanceV1(),
  ...changes,
});

const pae = (type: string, payload: string): Buffer =>
  Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${Buffer.byteLength(payload)} ${payload}`);

const MEDIA_TYPE = "application/vnd.dev.sigstore.bundle";

export async function makeSigstore(): Promise<Sigstore> {
  const ec = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
  const ct = await initializeCTLog(ec());
  const ca = await initializeCA(generateKeyPairSync("ec", { namedCurve: "P-384" }), ct);
  const tsa = await initializeTSA(generateKeyPairSync("ec", { namedCurve: "P-384" }));
  // In whole seconds: of a fraction that ends in zeros it would leave them out, and no time without three digits is read.
  Object.assign(tsa, { getCurrentTime: () => new Date(Math.floor(Date.now() / 1000) * 1000) });
  const logs = {
    1: logOf("rekor.example", ec(), 1),
    2: logOf("log2026-1.rekor.example", generateKeyPairSync("ed25519"), 2),
  };
  const own = ec();
  const hint = sha256(der(own.publicKey)).toString("base64");
  const parts = { ca, tsa, logs };
  const validFor = { start: new Date(Date.now() - 86_400_000).toISOString() };
  const trustedLog = (log: Log) => ({
    baseUrl: `https://${log.name}`,
    hashAlgorithm: "SHA2_256",
    publicKey: { rawBytes: base64(log.publicKey), keyDetails: log.details, validFor },
    logId: { keyId: base64(log.id) },
  });
  const authority = (...certificates: Uint8Array[]) => ({
    subject: { organization: "example", commonName: "example" },
    uri: "https://example",
    certChain: { certificates: certificates.map((each) => ({ rawBytes: base64(each) })) },
    validFor,
  });
  const bytesOf = (view: ArrayBufferView): Buffer => Buffer.from(view.buffer, view.byteOffset, view.byteLength);
  return {
    parts,
    key: { pem: own.publicKey.export({ format: "pem", type: "spki" }).toString(), hint },
    trustedRoot: {
      mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
      tlogs: [trustedLog(logs[1]), trustedLog(logs[2])],
      certificateAuthorities: [authority(bytesOf(ca.rootCertificate))],
      timestampAuthorities: [authority(bytesOf(tsa.intCertificate), bytesOf(tsa.rootCertificate))],
      ctlogs: [
        {
          baseUrl: "https://ct.example",
          hashAlgorithm: "SHA2_256",
          publicKey: { rawBytes: base64(ct.publicKey), keyDetails: "PKIX_ECDSA_P256_SHA_256", validFor },
          logId: { keyId: base64(bytesOf(ct.logID)) },
        },
      ],
    },
    bundle: (making = {}) => makeBundle(parts, { key: own.privateKey, der: der(own.publicKey), hint }, making),
  };
}

/** Rekor v1 names a key by its digest, v2 by the C2SP key id of an Ed25519 key. */
function logOf(
  name: string,
  { publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject },
  rekor: 1 | 2,
): Log {
  const spki = der(publicKey);
  const id = rekor === 1 ? sha256(spki) : sha256(`${name}\n`, Uint8Array.of(1), spki.subarray(-32));
  const details = rekor === 1 ? "PKIX_ECDSA_P256_SHA_256" : "PKIX_ED25519";
  return { name, id, keyId: id.subarray(0, 4), publicKey: spki, details, key: privateKey };
}

type Own = { readonly key: KeyObject; readonly der: Buffer; readonly hint: string };

async function makeBundle(parts: Parts, own: Own, making: Making): Promise<Json> {
  const { rekor = 1, by = "certificate", payloadType = "application/vnd.in-toto+json" } = making;
  const { version = rekor === 1 ? "0.2" : "v0.3", timestamp = rekor === 2, promise = rekor === 1 } = making;
  const payload = making.payload ?? JSON.stringify(making.statement ?? statementOf());
  const issued = by === "certificate" ? await issue(making.authority?.parts ?? parts, making) : undefined;
  const signature = sign("sha256", pae(payloadType, payload), issued?.key ?? own.key);
  const signer = issued?.certificate ?? own.der;
  const logged = making.logs ?? { payload };
  const loggedSignature = making.logs
    ? sign("sha256", pae(payloadType, logged.payload), issued?.key ?? own.key)
    : signature;
  const kind = making.kind ?? "dsse";
  const body = bodyOf(kind, rekor, payloadType, logged.payload, loggedSignature, signer, by);
  const log = (making.log?.parts ?? parts).logs[rekor];
  const entry = enter(log, rekor, making.entry?.(body) ?? body, { promise, proof: version !== "0.1", making });
  const stamp = timestamp ? await stampOf((making.clock?.parts ?? parts).tsa, signature) : undefined;
  return {
    mediaType: version === "v0.3" ? `${MEDIA_TYPE}.v0.3+json` : `${MEDIA_TYPE}+json;version=${version}`,
    verificationMaterial: {
      ...(issued === undefined
        ? { publicKey: { hint: making.hint ?? own.hint } }
        : version === "0.1" || version === "0.2"
          ? { x509CertificateChain: { certificates: [{ rawBytes: base64(issued.certificate) }] } }
          : { certificate: { rawBytes: base64(issued.certificate) } }),
      tlogEntries: [{ ...entry, kindVersion: { kind, version: VERSIONS[kind][rekor] } }],
      ...(stamp && { timestampVerificationData: { rfc3161Timestamps: [{ signedTimestamp: base64(stamp) }] } }),
    },
    dsseEnvelope: { payload: base64(payload), payloadType, signatures: [{ sig: base64(signature), keyid: "" }] },
  };
}

const VERSIONS = {
  dsse: { 1: "0.0.1", 2: "0.0.2" },
  intoto: { 1: "0.0.2", 2: "0.0.2" },
  hashedrekord: { 1: "0.0.1", 2: "0.0.2" },
} as const;

async function issue({ ca }: Parts, making: Making): Promise<{ certificate: Buffer; key: KeyObject }> {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const extensions = making.extensions ?? [
    { oid: "1.3.6.1.4.1.57264.1.1", value: ISSUER, legacy: true },
    { oid: "1.3.6.1.4.1.57264.1.8", value: ISSUER },
    { oid: "1.3.6.1.4.1.57264.1.12", value: "https://github.com/acme/payments" },
  ];
  const issued = await ca.issueCertificate({
    publicKey: new Uint8Array(der(publicKey)),
    subjectAltName: making.subjectName ?? WORKFLOW,
    extensions,
  });
  return { certificate: Buffer.from(issued.buffer, issued.byteOffset, issued.byteLength), key: privateKey };
}

function bodyOf(
  kind: NonNullable<Making["kind"]>,
  rekor: 1 | 2,
  payloadType: string,
  payload: string,
  signature: Buffer,
  signer: Buffer,
  by: "certificate" | "key",
): Json {
  const head = { kind, apiVersion: VERSIONS[kind][rekor] };
  const signerPem = base64(pem(signer, by === "certificate" ? "CERTIFICATE" : "PUBLIC KEY"));
  const rawBytes = base64(signer);
  const verifier = {
    ...(by === "certificate" ? { x509Certificate: { rawBytes } } : { publicKey: { rawBytes } }),
    keyDetails: "PKIX_ECDSA_P256_SHA_256",
  };
  const hash = (data: Uint8Array | string) => ({ algorithm: "sha256", value: sha256(data).toString("hex") });
  const digest = (data: Uint8Array | string) => ({ algorithm: "SHA2_256", digest: base64(sha256(data)) });
  const signed = pae(payloadType, payload);
  switch (`${kind} ${rekor}`) {
    case "dsse 1":
      return {
        ...head,
        spec: {
          envelopeHash: hash(payload),
          payloadHash: hash(payload),
          signatures: [{ signature: base64(signature), verifier: signerPem }],
        },
      };
    case "intoto 1": {
      const sig = base64(base64(signature));
      const envelope = { payloadType, signatures: [{ publicKey: signerPem, sig }] };
      return { ...head, spec: { content: { envelope, hash: hash(payload), payloadHash: hash(payload) } } };
    }
    case "hashedrekord 1":
      return {
        ...head,
        spec: {
          data: { hash: hash(signed) },
          signature: { content: base64(signature), publicKey: { content: signerPem } },
        },
      };
    case "dsse 2":
      return {
        ...head,
        spec: { dsseV002: { payloadHash: digest(payload), signatures: [{ content: base64(signature), verifier }] } },
      };
    default:
      return {
        ...head,
        spec: { hashedRekordV002: { data: digest(signed), signature: { content: base64(signature), verifier } } },
      };
  }
}

// RFC 6962 §2.1, over a handful of leaves.
const leafHash = (leaf: Uint8Array): Buffer => sha256(Uint8Array.of(0), leaf);
function treeHash(leaves: readonly Uint8Array[]): Buffer {
  if (leaves.length === 1) return leafHash(leaves[0]!);
  const half = 2 ** Math.ceil(Math.log2(leaves.length) - 1);
  return sha256(Uint8Array.of(1), treeHash(leaves.slice(0, half)), treeHash(leaves.slice(half)));
}
function pathTo(index: number, leaves: readonly Uint8Array[]): Buffer[] {
  if (leaves.length === 1) return [];
  const half = 2 ** Math.ceil(Math.log2(leaves.length) - 1);
  return index < half
    ? [...pathTo(index, leaves.slice(0, half)), treeHash(leaves.slice(half))]
    : [...pathTo(index - half, leaves.slice(half)), treeHash(leaves.slice(0, half))];
}

const INDEX = 3;

function enter(
  log: Log,
  rekor: 1 | 2,
  body: Json,
  { promise, proof, making }: { promise: boolean; proof: boolean; making: Making },
): Json {
  const canonicalizedBody = Buffer.from(canonicalJson(body));
  const leaves = [..."abc"].map((each) => Buffer.from(each) as Uint8Array);
  leaves.push(canonicalizedBody, Buffer.from("d"), Buffer.from("e"));
  const root = treeHash(leaves);
  const origin = rekor === 1 ? `${log.name} - 1193050959916656506` : log.name;
  const note = `${origin}\n${leaves.length}\n${base64(root)}\n`;
  const digest = rekor === 1 ? "sha256" : null;
  const signed = sign(digest, Buffer.from(note), log.key);
  const envelope = `${note}\n— ${log.name} ${base64(Buffer.concat([log.keyId, signed]))}\n`;
  const integratedTime = Math.floor(Date.now() / 1000) + 1;
  const set = canonicalJson({
    body: base64(canonicalizedBody),
    integratedTime,
    logID: log.id.toString("hex"),
    logIndex: INDEX,
  });
  return {
    logIndex: String(INDEX),
    logId: { keyId: base64(log.id) },
    integratedTime: rekor === 1 ? String(integratedTime) : "0",
    ...(promise && { inclusionPromise: { signedEntryTimestamp: base64(sign("sha256", Buffer.from(set), log.key)) } }),
    ...(proof && {
      inclusionProof: {
        logIndex: String(INDEX),
        rootHash: base64(root),
        treeSize: String(leaves.length),
        hashes: pathTo(INDEX, leaves).map(base64),
        checkpoint: { envelope: making.checkpoint?.(envelope) ?? envelope },
      },
    }),
    canonicalizedBody: base64(canonicalizedBody),
  };
}

async function stampOf(tsa: Parts["tsa"], signature: Buffer): Promise<Buffer> {
  const made = await tsa.timestamp({
    artifactHash: sha256(signature),
    hashAlgorithmOID: "2.16.840.1.101.3.4.2.1",
    nonce: 1,
    policyOID: "1.3.6.1.4.1.57264.2",
  });
  return Buffer.from(made.buffer, made.byteOffset, made.byteLength);
}
