// EAR, the attestation result of Veraison and of Trustee (Confidential Containers), in both spellings of its drafts. Vector: AR4SI.
import {
  hex,
  integer,
  maybe,
  oneOrMore,
  reading,
  flag,
  record,
  text,
  texts,
  Unreadable,
  type Claims,
} from "../claims.ts";
import { verifierPolicy } from "../policies.ts";
import type { Appraisal, Device, Format } from "./format.ts";
import {
  AFFIRMING,
  TIERS,
  agreed,
  debugState,
  given,
  initData,
  measured,
  nonces,
  NOTHING_MORE,
  registered,
  tdDebug,
  twin,
  within,
} from "./parts.ts";

export const ear: Format = {
  algorithms: ["ES256", "ES384", "EdDSA", "Ed25519", "PS256", "RS256"],
  refersByDigest: true,
  read: reading((claims) => {
    if (!PROFILES.test(text(claims.eat_profile))) throw new Unreadable();
    const parts = Object.values(record(claims.submods)).map((submod) => partOf(record(submod)));
    if (parts.length === 0) throw new Unreadable();
    const overall = maybe(tier, twin(claims, "ear.status", "ear_status"));
    const worst = Math.max(...parts.map(({ status }) => status));
    if (overall !== null && overall < worst) throw new Unreadable();
    return {
      ...NOTHING_MORE,
      ...registered(claims),
      ...platformOf(parts),
      result: parts.every(({ affirmed }) => affirmed) && (overall ?? AFFIRMING) === AFFIRMING ? "pass" : "fail",
      verifier_policies: parts.flatMap(({ policies }) => policies.flatMap(verifierPolicy)),
      vector: parts.every(({ vector }) => vector !== null) ? worstOf(parts.map(({ vector }) => vector!)) : null,
      devices: parts.flatMap(({ device }) => (device === null ? [] : [device])),
      nonces: [...nonces(claims.eat_nonce), ...parts.flatMap(({ nonces }) => nonces)],
    };
  }),
};

/** Drafts to 02, Trustee's own, and drafts from 03 on. */
const PROFILES =
  /^tag:(?:github\.com,2023:veraison\/ear|github\.com,2024:confidential-containers\/Trustee|ietf\.org,2026:rats\/ear#[0-9]{2})$/;

/** What stands in the evidence under the name of what was attested: the platform it is, or the kind of device. */
const ATTESTED: { readonly [name: string]: { readonly platform?: string; readonly device?: string } } = {
  snp: { platform: "amd-sev-snp" },
  "az-snp-vtpm": { platform: "amd-sev-snp" },
  tdx: { platform: "intel-tdx" },
  "az-tdx-vtpm": { platform: "intel-tdx" },
  sgx: { platform: "intel-sgx" },
  cca: { platform: "arm-cca" },
  tpm: { platform: "vtpm" },
  // Made for tests; proves nothing.
  sample: {},
  se: {},
  csv: {},
  nvidia: { device: "gpu" },
  hygondcu: { device: "dcu" },
};

type Part = {
  readonly status: number;
  readonly affirmed: boolean;
  readonly vector: Appraisal["vector"];
  readonly policies: readonly string[];
  readonly nonces: string[][];
  readonly device: Device | null;
  /** Null of a device. */
  readonly platform: Platform | null;
};
type Platform = Pick<Appraisal, "platform_type" | "debuggable" | "measurements" | "init_data_digest" | "tcb">;

/** One appraisal. A status better than its vector contradicts itself, and nothing in it can be believed. */
function partOf(submod: Claims): Part {
  const status = tier(twin(submod, "ear.status", "ear_status"));
  const vector = maybe(vectorOf, twin(submod, "ear.trustworthiness-vector", "ear_trustworthiness_vector"));
  for (const value of Object.values(vector ?? {}))
    if (tierOf(value) > status || (status === AFFIRMING && Math.abs(value) === 1)) throw new Unreadable();
  const evidence = twinRecord(submod, "ear.veraison.annotated-evidence", "ear_attester_claims");
  const names = Object.keys(ATTESTED).filter((name) => evidence[name] !== undefined);
  if (names.length > 1) throw new Unreadable();
  const [name = "sample"] = names;
  const { platform = "unknown", device } = ATTESTED[name]!;
  const attested = within(evidence, name);
  const affirmed = status === AFFIRMING && collateralIsCurrent(attested);
  return {
    status,
    affirmed,
    vector,
    policies: policiesIn(submod),
    nonces: runtimeNonces(evidence.runtime_data_claims),
    device: device === undefined ? null : { kind: device, model: null, result: affirmed ? "pass" : "fail" },
    platform: device === undefined ? measuredOf(platform, attested, evidence, submod) : null,
  };
}

/** What the parts say of the platform, which is one: where two differ, none is believed. */
function platformOf(parts: readonly Part[]): Platform {
  const platforms = parts.flatMap(({ platform }) => (platform === null ? [] : [platform]));
  if (platforms.length === 0)
    return { platform_type: "gpu", debuggable: null, measurements: null, init_data_digest: null, tcb: null };
  const measurements: { [name: string]: string } = {};
  for (const [name, value] of platforms.flatMap((each) => Object.entries(each.measurements ?? {}))) {
    if ((measurements[name] ?? value) !== value) throw new Unreadable();
    measurements[name] = value;
  }
  const tcbs = platforms.map(({ tcb }) => tcb && JSON.stringify(tcb));
  const tcb = agreed(tcbs);
  return {
    platform_type: agreed(platforms.map(({ platform_type }) => platform_type)),
    debuggable: agreed(platforms.map(({ debuggable }) => debuggable)),
    measurements,
    init_data_digest: agreed(platforms.map(({ init_data_digest }) => init_data_digest)),
    tcb: tcb === null ? null : (JSON.parse(tcb) as Appraisal["tcb"]),
  };
}

/** By the names that the evidence has them under. */
const MEASUREMENTS = Object.fromEntries(
  [
    ..."measurement launch_measurement mr_td mr_seam mr_signer_seam mr_config_id mr_owner mr_owner_config".split(" "),
    ..."rtmr_0 rtmr_1 rtmr_2 rtmr_3 mr_enclave mr_signer mrenclave mrsigner host_data hostdata".split(" "),
  ].map((name) => [name, name]),
);

function measuredOf(platform_type: string, attested: Claims, evidence: Claims, submod: Claims): Platform {
  const quoted = within(within(attested, "quote"), "body");
  const [body, attributes] = [within(attested, "body"), attested.td_attributes];
  const sets = [attested, quoted, body].map((claims) => measured(claims, MEASUREMENTS));
  const names = new Set(sets.flatMap((set) => Object.keys(set)));
  const measurements = Object.fromEntries([...names].map((name) => [name, agreed(sets.map((set) => set[name]))!]));
  const bound = [attested.host_data, attested.hostdata, quoted.mr_config_id, attested.mr_config_id];
  return {
    platform_type,
    measurements,
    init_data_digest: agreed([
      ...[evidence.init_data, attested.init_data, ...bound].map((value) =>
        initData(value === "" ? null : given(hex, value)),
      ),
    ]),
    debuggable: agreed([
      given(flag, attested.policy_debug_allowed),
      typeof attributes === "string" ? tdDebug(attributes) : given(flag, within(attested, "td_attributes").debug),
      given(tdDebug, quoted.td_attributes),
      given(debugState, submod.dbgstat),
    ]),
    tcb: tcbIn(attested),
  };
}

/** What the guest gave with its request for a token; where that was no object, it is text and holds no nonce of ours. */
const runtimeNonces = (runtime: unknown): string[][] =>
  typeof runtime === "string" || runtime === undefined || runtime === null ? [] : nonces(record(runtime).nonce);

function tcbIn({ tcb_status, tcb_date, advisory_ids }: Claims): Appraisal["tcb"] {
  if ([tcb_status, tcb_date, advisory_ids].every((claim) => claim === undefined || claim === null)) return null;
  return { status: given(text, tcb_status), date: given(text, tcb_date), advisories: given(texts, advisory_ids) ?? [] };
}

/** What the quote was appraised with had not expired, where it is said at all. */
function collateralIsCurrent({ collateral_expiration_status: status }: Claims): boolean {
  return status === undefined || status === null || status === "0" || status === 0;
}

/** One id in the older spelling, several in the newer. */
function policiesIn(submod: Claims): string[] {
  const [older, newer] = [submod["ear.appraisal-policy-id"], submod.ear_appraisal_policy_ids];
  const said = [older, newer].filter((claim) => claim !== undefined).map(oneOrMore);
  if (said.length === 2 && JSON.stringify(said[0]) !== JSON.stringify(said[1])) throw new Unreadable();
  return said[0] ?? [];
}

function twinRecord(claims: Claims, ...names: readonly string[]): Claims {
  const found = twin(claims, ...names);
  return found === undefined || found === null ? {} : record(found);
}

function tier(value: unknown): number {
  const found = TIERS.get(value);
  if (found === undefined) throw new Unreadable();
  return found;
}

const VECTOR = new Set(
  "instance-identity configuration executables file-system hardware runtime-opaque storage-opaque sourced-data".split(
    " ",
  ),
);

function vectorOf(value: unknown): { [name: string]: number } {
  const vector = record(value);
  for (const [name, each] of Object.entries(vector))
    if (!VECTOR.has(name) || integer(each) < -128 || integer(each) > 127) throw new Unreadable();
  return vector as { [name: string]: number };
}

/** Nothing said, or a verifier's own failure, is the tier none (draft-ietf-rats-ar4si §2.3). */
function tierOf(value: number): number {
  const size = Math.abs(value);
  if (size < AFFIRMING) return 0;
  if (size < 32) return AFFIRMING;
  return size < 96 ? 32 : 96;
}

/** Of each claim the worst. */
function worstOf(vectors: readonly { [name: string]: number }[]): { [name: string]: number } {
  const worst: { [name: string]: number } = {};
  for (const [name, value] of vectors.flatMap((vector) => Object.entries(vector)))
    if (worst[name] === undefined || tierOf(value) > tierOf(worst[name])) worst[name] = value;
  return worst;
}
