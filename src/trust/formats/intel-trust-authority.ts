// Intel Trust Authority: a JWT, its claims flat (version 1) or nested by attester (version 2). One is issued even where no policy matched.
import { base64 } from "../base64.ts";
import { flag, hex, maybe, reading, record, text, Unreadable, type Claims } from "../claims.ts";
import { verifierPolicy } from "../policies.ts";
import type { Appraisal, Device, Format } from "./format.ts";
import {
  agreed,
  debugState,
  initData,
  measured,
  NOTHING_MORE,
  registered,
  tcbOf,
  trustDomain,
  within,
} from "./parts.ts";

export const intelTrustAuthority: Format = {
  algorithms: ["PS384", "RS256"],
  refersByDigest: true,
  read: reading((claims) => {
    const attesters = attestersIn(claims);
    const policies = [claims, ...attesters.map(({ claims }) => claims)].map(policiesIn);
    const [matched, unmatched] = [policies.flatMap((each) => each.matched), policies.flatMap((each) => each.unmatched)];
    return {
      ...NOTHING_MORE,
      ...registered(claims),
      ...platformOf(attesters),
      result: matched.length > 0 && unmatched.length === 0 ? "pass" : "fail",
      verifier_policies: matched,
      unmatched,
      devices: attesters.flatMap(devicesOf),
      nonces: nonceClaims([claims, ...attesters.map(({ claims }) => claims)]),
    };
  }),
};

type Attester = { readonly type: string; readonly claims: Claims };
type Platform = Pick<Appraisal, "platform_type" | "debuggable"> & Partial<Appraisal>;

/** By the name under which version 2 nests them. */
const NESTED = { tdx: "TDX", sgx: "SGX", sevsnp: "AMD SEV-SNP", tpm: "TPM", nvgpu: "NVGPU" } as const;

function attestersIn(claims: Claims): Attester[] {
  const nested = Object.entries(NESTED).flatMap(([name, type]) => {
    if (claims[name] === undefined) return [];
    const own = record(claims[name]);
    // What nests under a name is that, whatever it says of itself.
    if (own.attester_type !== undefined && own.attester_type !== type) throw new Unreadable();
    return [{ type, claims: own }];
  });
  if (claims.attester_type === undefined) return nested;
  const flat = { type: text(claims.attester_type), claims };
  // A flat token that speaks of the GPU beside it nests that.
  if (nested.some(({ type }) => type !== NESTED.nvgpu)) throw new Unreadable();
  return [flat, ...nested];
}

const PLATFORMS: { readonly [type: string]: (claims: Claims) => Platform } = {
  TDX: (claims) => ({ ...trustDomain(claims), platform_type: "intel-tdx" }),
  SGX: (claims) => ({
    platform_type: "intel-sgx",
    debuggable: agreed([maybe(flag, claims.sgx_is_debuggable), maybe(debugState, claims.dbgstat)]),
    measurements: measured(claims, { sgx_mrenclave: "mrenclave", sgx_mrsigner: "mrsigner" }),
    tcb: tcbOf(claims),
  }),
  "AMD SEV-SNP": (claims) => ({
    platform_type: "amd-sev-snp",
    debuggable: agreed([maybe(flag, claims.sevsnp_is_debuggable), maybe(debugState, claims.dbgstat)]),
    measurements: measured(claims, {
      sevsnp_launchmeasurement: "launchmeasurement",
      sevsnp_hostdata: "hostdata",
      sevsnp_idkeydigest: "idkeydigest",
      sevsnp_authorkeydigest: "authorkeydigest",
    }),
    init_data_digest: initData(maybe(hex, claims.sevsnp_hostdata)),
    tcb: tcbOf(claims),
  }),
};

/** The TEE, where there is one, whatever else attested beside it; two are a contradiction. */
function platformOf(attesters: readonly Attester[]): Platform {
  const tees = attesters.filter(({ type }) => Object.hasOwn(PLATFORMS, type));
  const [tee] = tees;
  if (tees.length > 1) throw new Unreadable();
  if (tee !== undefined) return PLATFORMS[tee.type]!(tee.claims);
  const types = attesters.map(({ type }) => type);
  const [tpm] = attesters.filter(({ type }) => type === NESTED.tpm);
  if (tpm !== undefined) return { platform_type: "vtpm", debuggable: maybe(debugState, tpm.claims.dbgstat) };
  return { platform_type: types.includes(NESTED.nvgpu) ? "gpu" : "unknown", debuggable: null };
}

function devicesOf({ type, claims }: Attester): Device[] {
  if (type !== NESTED.nvgpu) return [];
  const overall = flag(claims["x-nvidia-overall-att-result"]);
  const details = Object.values(within(claims, "claim_details")).map(record);
  const models = details.length === 0 ? [{}] : details;
  return models.map((detail: Claims) => ({
    kind: "gpu",
    model: maybe(text, detail.hwmodel),
    result: overall && (detail.measres === undefined || detail.measres === "success") ? "pass" : "fail",
  }));
}

/** Each by its id and its hash. */
function policiesIn({ policy_ids_matched, policy_ids_unmatched }: Claims): { matched: string[]; unmatched: string[] } {
  return { matched: named(policy_ids_matched), unmatched: named(policy_ids_unmatched) };
}

function named(policies: unknown): string[] {
  if (policies === undefined || policies === null) return [];
  if (!Array.isArray(policies) || policies.length > 64) throw new Unreadable();
  return policies.flatMap((policy) => {
    const { id, hash } = record(policy);
    return [text(id), ...(hash === undefined || hash === null ? [] : verifierPolicy(text(hash)))];
  });
}

/** The verifier's own nonce, and what the attester had it sign: base64 of the challenge's text, or of its bytes. One of them must be it. */
function nonceClaims(sets: readonly Claims[]): string[][] {
  const allowed = sets.flatMap((claims) => [within(claims, "verifier_nonce").val, claims.attester_held_data]);
  const values = allowed.filter((value) => value !== undefined && value !== null && value !== "").map(text);
  return values.length === 0 ? [] : [values.flatMap(spellings)];
}

function spellings(value: string): string[] {
  const decoded = base64(value);
  if (decoded === undefined) return [value];
  return [value, ...(decoded.text === undefined ? [] : [decoded.text]), Buffer.from(decoded.bytes).toString("hex")];
}
