// Genuine tokens of every format, in the shapes that their issuers publish, signed with keys made here.
import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import { CompactSign, type CompactJWSHeaderParameters, type JWK } from "jose";
import type { AttesterConfig } from "../../src/trust/attestation.ts";
import { certify, pem, x5c, type Certified } from "./certificates.ts";

export const NOW_MS = Date.UTC(2026, 10, 25, 8);
export const NOW_S = NOW_MS / 1000;
/** A challenge as text, and as the hex of its bytes. */
export const CHALLENGE = Buffer.alloc(32, 7).toString("base64url");
export const CHALLENGE_HEX = Buffer.alloc(32, 7).toString("hex");
export const hex = (byte: string, bytes: number): string => byte.repeat(bytes);
export const IMAGE = `sha256:${hex("ab", 32)}`;

export type Keys = { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
export const [p256, p384, rsa] = [
  generateKeyPairSync("ec", { namedCurve: "P-256" }),
  generateKeyPairSync("ec", { namedCurve: "P-384" }),
  generateKeyPairSync("rsa", { modulusLength: 2048 }),
] as [Keys, Keys, Keys];
const jwkOf = ({ publicKey }: Keys, kid: string): JWK => ({ ...(publicKey.export({ format: "jwk" }) as JWK), kid });

export const root = certify({ name: "root", ca: true });
export const middle = certify({ name: "middle", ca: true, by: root });
/** Trustee's: the chain stands inside the header's `jwk`. */
export const earLeaf = certify({ name: "trustee", by: middle, keys: p256 });
export const gcpLeaf = certify({ name: "confidential space", by: middle, keys: rsa });

export type Claims = Record<string, any>;
export type Header = Record<string, unknown>;
export interface Sample {
  readonly format: NonNullable<AttesterConfig["format"]>;
  readonly alg: string;
  readonly keys: Keys;
  readonly header: Header;
  readonly claims: () => Claims;
  /** What of the fact is said by this sample. */
  readonly says: object;
}

const RFC_CLAIMS = { iat: NOW_S - 60, nbf: NOW_S - 60, exp: NOW_S + 240 };
export const ISSUERS = {
  ear: "https://as.example",
  maa: "https://shared.weu.attest.azure.net",
  gcp: "https://confidentialcomputing.googleapis.com",
  nras: "https://nras.attestation.nvidia.com",
  ita: "https://portal.trustauthority.intel.com",
  railgate: "https://attester.example",
} as const;

export const attesters = (): AttesterConfig[] => [
  { issuer: ISSUERS.railgate, jwks: [jwkOf(p256, "own")] },
  { issuer: ISSUERS.ear, format: "ear", jwks: [jwkOf(p256, "ear")] },
  { issuer: "CoCo-Attestation-Service", format: "ear", jwks: [], x5cRoots: pem(root) },
  { issuer: ISSUERS.maa, format: "maa", jwks: [jwkOf(rsa, "maa")], maxAgeS: 900 },
  {
    issuer: ISSUERS.gcp,
    format: "gcp-confidential-space",
    jwks: [jwkOf(rsa, "gcp")],
    x5cRoots: pem(root),
    audience: "railgate",
  },
  { issuer: ISSUERS.nras, format: "nvidia-nras", jwks: [jwkOf(p384, "nras")] },
  {
    issuer: ISSUERS.ita,
    format: "intel-trust-authority",
    jwks: [jwkOf(rsa, "ita")],
    policies: ["c7b1c2a1-0000-4000-8000-000000000001"],
  },
];

export const sign = (keys: Keys, alg: string, header: Header, claims: unknown): Promise<string> =>
  new CompactSign(Buffer.from(typeof claims === "string" ? claims : JSON.stringify(claims)))
    .setProtectedHeader({ alg, ...header } as CompactJWSHeaderParameters)
    .sign(keys.privateKey);

export const signed = (
  { keys, alg, header }: Pick<Sample, "keys" | "alg" | "header">,
  claims: unknown,
  over: Header = {},
): Promise<string> => sign(keys, alg, { ...header, ...over }, claims);

/** Trustee's and Confidential Space's headers: a chain for the key that signs. */
export const jwkChain = (...chain: readonly Certified[]): Header => ({
  jwk: { ...chain[0]!.publicKey.export({ format: "jwk" }), x5c: x5c(...chain) },
});

const TDX = {
  tdx_mrtd: hex("a1", 48),
  tdx_rtmr0: hex("a2", 48),
  tdx_rtmr1: hex("a3", 48),
  tdx_rtmr2: hex("00", 48),
  tdx_rtmr3: hex("00", 48),
  tdx_mrseam: hex("a4", 48),
  tdx_mrsignerseam: hex("00", 48),
  tdx_mrconfigid: hex("a5", 48),
  tdx_td_attributes: "0000001000000000",
  tdx_td_attributes_debug: false,
  tdx_td_attributes_septve_disable: true,
  attester_tcb_status: "UpToDate",
  dbgstat: "disabled",
  intuse: "generic",
};
const TDX_MEASUREMENTS = {
  mrtd: hex("a1", 48),
  rtmr0: hex("a2", 48),
  rtmr1: hex("a3", 48),
  rtmr2: hex("00", 48),
  rtmr3: hex("00", 48),
  mrseam: hex("a4", 48),
  mrsignerseam: hex("00", 48),
  mrconfigid: hex("a5", 48),
};
const SNP = (prefix: string, dash: string) => ({
  [`${prefix}launchmeasurement`]: hex("B1", 48),
  [`${prefix}hostdata`]: hex("b2", 32),
  [`${prefix}is${dash}debuggable`]: false,
});
const SNP_MEASUREMENTS = { launchmeasurement: hex("b1", 48), hostdata: hex("b2", 32) };

const vector = { hardware: 2, executables: 3, configuration: 2 };
export const SAMPLES: Readonly<Record<string, Sample>> = {
  railgate: {
    format: "railgate",
    alg: "ES256",
    keys: p256,
    header: { kid: "own", typ: "JWT" },
    claims: () => ({
      iss: ISSUERS.railgate,
      ...RFC_CLAIMS,
      report_ref: "r-1",
      platform_type: "amd-sev-snp",
      result: "pass",
      debuggable: false,
      nonce: CHALLENGE,
    }),
    says: { platform_type: "amd-sev-snp", report_ref: "r-1", debuggable: false },
  },
  "ear, drafts from 03": {
    format: "ear",
    alg: "ES256",
    keys: p256,
    header: { kid: "ear", typ: "JWT" },
    claims: () => ({
      iss: ISSUERS.ear,
      eat_profile: "tag:ietf.org,2026:rats/ear#04",
      ...RFC_CLAIMS,
      ear_verifier_id: { developer: "https://verifier.example", build: "v1" },
      eat_nonce: CHALLENGE,
      submods: {
        cpu0: {
          ear_status: "affirming",
          ear_trustworthiness_vector: vector,
          ear_appraisal_policy_ids: ["policy://snp/7"],
          ear_attester_claims: {
            snp: { measurement: hex("C1", 48), policy_debug_allowed: false, host_data: hex("c2", 32) },
          },
        },
        gpu0: {
          ear_status: "affirming",
          ear_trustworthiness_vector: { hardware: 2 },
          ear_appraisal_policy_ids: ["policy://gpu/1"],
          ear_attester_claims: { nvidia: {} },
        },
      },
    }),
    says: {
      platform_type: "amd-sev-snp",
      debuggable: false,
      measurements: { measurement: hex("c1", 48), host_data: hex("c2", 32) },
      init_data_digest: `sha256:${hex("c2", 32)}`,
      verifier_policies: ["policy://snp/7", "policy://gpu/1"],
      vector,
      devices: [{ kind: "gpu", model: null, result: "pass", error: null }],
    },
  },
  "ear, Trustee": {
    format: "ear",
    alg: "ES256",
    keys: p256,
    header: jwkChain(earLeaf, middle),
    claims: () => ({
      iss: "CoCo-Attestation-Service",
      eat_profile: "tag:github.com,2024:confidential-containers/Trustee",
      ...RFC_CLAIMS,
      "ear.verifier-id": { developer: "https://confidentialcontainers.org", build: "kbs 0.21" },
      submods: {
        cpu0: {
          "ear.status": 2,
          "ear.trustworthiness-vector": vector,
          "ear.appraisal-policy-id": "default_cpu",
          "ear.veraison.annotated-evidence": {
            tdx: {
              quote: { body: { mr_td: hex("d1", 48), rtmr_0: hex("d2", 48), mr_config_id: hex("00", 48) } },
              td_attributes: { debug: false, septve_disable: true },
              tcb_status: "UpToDate",
              advisory_ids: ["INTEL-SA-00837"],
              collateral_expiration_status: "0",
            },
            init_data: hex("d3", 48),
            runtime_data_claims: { nonce: CHALLENGE, "tee-pubkey": { kty: "EC" } },
          },
        },
      },
    }),
    says: {
      platform_type: "intel-tdx",
      debuggable: false,
      init_data_digest: `sha384:${hex("d3", 48)}`,
      tcb: { status: "UpToDate", date: null, advisories: ["INTEL-SA-00837"] },
      measurements: { mr_td: hex("d1", 48), rtmr_0: hex("d2", 48), mr_config_id: hex("00", 48) },
    },
  },
  "maa, SEV-SNP": {
    format: "maa",
    alg: "RS256",
    keys: rsa,
    header: { kid: "maa", jku: `${ISSUERS.maa}/certs`, typ: "JWT" },
    claims: () => ({
      iss: ISSUERS.maa,
      jti: "j-1",
      ...RFC_CLAIMS,
      exp: NOW_S + 28_740,
      "x-ms-ver": "1.0",
      "x-ms-attestation-type": "sevsnpvm",
      "x-ms-compliance-status": "azure-compliant-cvm",
      "x-ms-policy-hash": Buffer.alloc(32, 9).toString("base64url"),
      ...SNP("x-ms-sevsnpvm-", "-"),
      "x-ms-runtime": { "vm-configuration": { "secure-boot": true } },
      nonce: CHALLENGE,
    }),
    says: {
      report_ref: "j-1",
      platform_type: "amd-sev-snp",
      debuggable: false,
      measurements: SNP_MEASUREMENTS,
      init_data_digest: `sha256:${hex("b2", 32)}`,
      verifier_policies: [Buffer.alloc(32, 9).toString("base64url"), `sha256:${hex("09", 32)}`],
    },
  },
  "maa, guest": {
    format: "maa",
    alg: "RS256",
    keys: rsa,
    header: { kid: "maa", typ: "JWT" },
    claims: () => ({
      iss: ISSUERS.maa,
      jti: "j-2",
      ...RFC_CLAIMS,
      "x-ms-attestation-type": "azurevm",
      "x-ms-azurevm-vmid": "vm",
      secureboot: true,
      "x-ms-azurevm-kerneldebug-enabled": false,
      "x-ms-isolation-tee": {
        "x-ms-attestation-type": "tdxvm",
        "x-ms-compliance-status": "azure-compliant-cvm",
        ...TDX,
      },
      "x-ms-runtime": { "client-payload": { nonce: Buffer.from(CHALLENGE).toString("base64") } },
    }),
    says: {
      platform_type: "intel-tdx",
      debuggable: false,
      measurements: TDX_MEASUREMENTS,
      init_data_digest: `sha384:${hex("a5", 48)}`,
      tcb: { status: "UpToDate", date: null, advisories: [] },
    },
  },
  "maa, SGX": {
    format: "maa",
    alg: "RS256",
    keys: rsa,
    header: { kid: "maa", typ: "JWT" },
    claims: () => ({
      iss: ISSUERS.maa,
      ...RFC_CLAIMS,
      "x-ms-attestation-type": "sgx",
      "x-ms-sgx-mrenclave": hex("e1", 32),
      "x-ms-sgx-mrsigner": hex("e2", 32),
      "x-ms-sgx-product-id": 1,
      "x-ms-sgx-svn": 1,
      "x-ms-sgx-is-debuggable": false,
      "is-debuggable": false,
      "sgx-mrenclave": hex("e1", 32),
      "sgx-mrsigner": hex("e2", 32),
      "product-id": 1,
      svn: 1,
      nonce: CHALLENGE_HEX,
    }),
    says: { platform_type: "intel-sgx", measurements: { mrenclave: hex("e1", 32), mrsigner: hex("e2", 32) } },
  },
  "Confidential Space, OIDC": {
    format: "gcp-confidential-space",
    alg: "RS256",
    keys: rsa,
    header: { kid: "gcp", typ: "JWT" },
    claims: () => gcp(),
    says: { platform_type: "intel-tdx", debuggable: false, image_digests: [IMAGE] },
  },
  "Confidential Space, PKI": {
    format: "gcp-confidential-space",
    alg: "RS256",
    keys: rsa,
    header: { x5c: x5c(gcpLeaf, middle, root), typ: "JWT" },
    claims: () => ({ ...gcp(), hwmodel: "GCP_AMD_SEV_SNP" }),
    says: { platform_type: "amd-sev-snp", image_digests: [IMAGE] },
  },
  "Intel Trust Authority, flat": {
    format: "intel-trust-authority",
    alg: "PS384",
    keys: rsa,
    header: { kid: "ita", jku: `${ISSUERS.ita}/certs`, typ: "JWT" },
    claims: () => ({
      iss: ISSUERS.ita,
      jti: "i-1",
      ver: "1.0.0",
      ...RFC_CLAIMS,
      attester_type: "TDX",
      ...TDX,
      tdx_is_debuggable: false,
      attester_tcb_date: "2026-10-08T00:00:00Z",
      attester_advisory_ids: ["INTEL-SA-00837"],
      attester_held_data: Buffer.from(CHALLENGE).toString("base64"),
      verifier_nonce: { val: Buffer.from("other").toString("base64"), iat: "2026", signature: "AA==" },
      policy_ids_matched: [{ id: "c7b1c2a1-0000-4000-8000-000000000001", version: "v1" }],
      policy_ids_unmatched: null,
    }),
    says: {
      platform_type: "intel-tdx",
      measurements: TDX_MEASUREMENTS,
      tcb: { status: "UpToDate", date: "2026-10-08T00:00:00Z", advisories: ["INTEL-SA-00837"] },
      verifier_policies: ["c7b1c2a1-0000-4000-8000-000000000001"],
      devices: [],
    },
  },
  "Intel Trust Authority, nested": {
    format: "intel-trust-authority",
    alg: "RS256",
    keys: rsa,
    header: { kid: "ita", typ: "JWT" },
    claims: () => ({
      iss: ISSUERS.ita,
      ver: "2.0.0",
      ...RFC_CLAIMS,
      sevsnp: {
        attester_type: "AMD SEV-SNP",
        ...SNP("sevsnp_", "_"),
        dbgstat: "disabled",
        attester_tcb_status: "UpToDate",
        verifier_nonce: { val: Buffer.from(CHALLENGE, "base64url").toString("base64") },
        policy_ids_matched: [{ id: "c7b1c2a1-0000-4000-8000-000000000001", version: "v1", hash: hex("ab", 32) }],
      },
      nvgpu: {
        attester_type: "NVGPU",
        "x-nvidia-overall-att-result": true,
        claim_details: { "GPU-0": { hwmodel: "GH100", measres: "success" } },
      },
    }),
    says: {
      platform_type: "amd-sev-snp",
      measurements: SNP_MEASUREMENTS,
      verifier_policies: ["c7b1c2a1-0000-4000-8000-000000000001", hex("ab", 32), `sha256:${hex("ab", 32)}`],
      devices: [{ kind: "gpu", model: "GH100", result: "pass", error: null }],
    },
  },
};

const gcp = (): Claims => ({
  iss: ISSUERS.gcp,
  aud: "railgate",
  sub: "https://www.googleapis.com/compute/v1/projects/p/zones/z/instances/i",
  ...RFC_CLAIMS,
  eat_nonce: ["other-nonce", CHALLENGE],
  dbgstat: "disabled-since-boot",
  secboot: true,
  oemid: 11129,
  hwmodel: "GCP_INTEL_TDX",
  swname: "CONFIDENTIAL_SPACE",
  swversion: ["260301"],
  submods: {
    confidential_space: { support_attributes: ["LATEST", "STABLE", "USABLE"] },
    container: { image_reference: "registry.example/a", image_digest: IMAGE, env_override: null, cmd_override: [] },
    gce: { project_id: "p", zone: "z" },
  },
});

/** NRAS: one token for each device, and an overall one that names their digests. */
export const NRAS = { alg: "ES384", keys: p384, header: { kid: "nras", typ: "JWT" } } as const;
export const deviceClaims = (): Claims => ({
  iss: ISSUERS.nras,
  ...RFC_CLAIMS,
  "x-nvidia-ver": "3.0",
  measres: "success",
  hwmodel: "GH100 A01 GSP BROM",
  ueid: "1",
  oemid: "5703",
  secboot: true,
  dbgstat: "disabled",
  eat_nonce: CHALLENGE_HEX,
  "x-nvidia-gpu-driver-version": "550",
  "x-nvidia-gpu-attestation-report-nonce-match": true,
  "x-nvidia-gpu-attestation-report-cert-chain": {
    "x-nvidia-cert-status": "valid",
    "x-nvidia-cert-ocsp-status": "good",
  },
});
export const overallClaims = (devices: Readonly<Record<string, string>>): Claims => ({
  iss: ISSUERS.nras,
  sub: "NVIDIA-PLATFORM-ATTESTATION",
  jti: "n-1",
  ...RFC_CLAIMS,
  "x-nvidia-ver": "3.0",
  "x-nvidia-overall-att-result": true,
  eat_nonce: CHALLENGE_HEX,
  submods: Object.fromEntries(
    Object.entries(devices).map(([name, token]) => [
      name,
      ["DIGEST", ["SHA-256", createHash("sha256").update(token).digest("hex")]],
    ]),
  ),
});

export interface Bundled {
  readonly devices?: Readonly<Record<string, (claims: Claims) => unknown>>;
  readonly overall?: (claims: Claims) => unknown;
  readonly by?: Pick<Sample, "alg" | "keys" | "header">;
}

/** A detached bundle, each part changed as told. */
export async function bundleOf({
  devices = { "GPU-0": (claims) => claims },
  overall = (claims) => claims,
  by = NRAS,
}: Bundled = {}): Promise<unknown[]> {
  const tokens: Record<string, string> = {};
  for (const [name, change] of Object.entries(devices)) tokens[name] = await signed(by, change(deviceClaims()));
  return [["JWT", await signed(by, overall(overallClaims(tokens)))], tokens];
}
