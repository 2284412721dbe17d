// Attestation tokens of any format: every step from bytes to a fact, in one place. What only one format knows is in its file in `formats/`.
import { hash, type X509Certificate } from "node:crypto";
import type { JWK } from "jose";
import { SIGNATURE_ALGORITHMS } from "../core/algorithms.ts";
import { rejectedDevice, rejectedToken, type ShownToken, type TokenProof } from "../core/attestation.ts";
import { ConfigError } from "../core/errors.ts";
import { digestOf } from "../core/event.ts";
import { TOKEN_LENGTH_MAX } from "../core/schema/base.ts";
import type { AttestationFact, DeviceFact } from "../core/schema/input.ts";
import { certificatesIn, chainOf, type Chain } from "./certificates.ts";
import { FORMATS, type FormatName } from "./formats/formats.ts";
import type { Appraisal } from "./formats/format.ts";
import { readBundle, readDevice, readOverall } from "./formats/nvidia-nras.ts";
import { registered } from "./formats/parts.ts";
import { reading } from "./claims.ts";
import { pin, pinKey, thumbprintOf, type PinnedKey, type UsedKey } from "./keys.ts";
import type { Used } from "./snapshot.ts";
import { Recent, readToken, signatureHolds, type Header } from "./token.ts";

/** Whose attestation tokens count, and how they are read. */
export type AttesterConfig = {
  /** `iss`, exactly; an EAR without one is its whose key signed it. */
  issuer: string;
  /** Default: `railgate`. */
  format?: FormatName;
  jwks: JWK[];
  /** Certificates in PEM: a chain in the header that ends in one of them vouches for its key. */
  x5cRoots?: string;
  /** Where given, `aud` must name it. */
  audience?: string;
  /** Where given, one of the verifier's policy ids or hashes must be among them, and none unmatched. */
  policies?: readonly string[];
  /** Since `iat`, whatever `exp` says. */
  maxAgeS?: number;
};

type AttestationError = NonNullable<AttestationFact["error"]>;
type Attester = {
  readonly config: AttesterConfig;
  readonly format: FormatName;
  readonly keys: readonly PinnedKey[];
  readonly roots: readonly X509Certificate[];
  /** Keys that a chain vouches for, by the chain: every token of an issuer bears the same. */
  readonly vouched: Recent<Vouched>;
};
type Vouched = { readonly key: PinnedKey; readonly chain: Chain };

/** A token whose signature holds. That is remembered by its bytes, and nothing that depends on a time. */
type Signed = {
  readonly attester: Attester;
  readonly key: UsedKey;
  /** The certificates that vouch for the key; undefined where it is pinned itself. */
  readonly chain: Chain | undefined;
  readonly payload: Record<string, unknown>;
  /** Undefined where the claims are malformed. */
  readonly appraisal: Appraisal | undefined;
  /** Of the token's bytes, and of its signing input. */
  readonly bytesDigest: string;
  readonly digest: string;
  readonly error?: never;
};
type Checked = Signed | { readonly error: AttestationError };

/** How far the clock of an attester may run ahead of ours. */
const SKEW_MS = 60_000;
/** A detached bundle, its tokens together. */
const BUNDLE_LENGTH_MAX = 256 * 1024;
const BUNDLES_MAX = 16;

/**
 * What a token, and bundles about devices beside it, prove by themselves. Those that verified, and their keys, are added to `used`.
 * Never rejects.
 * @param bundles attacker-controlled.
 */
export type AttestationProof = (
  token: string,
  bundles: readonly unknown[],
  nowMs: number,
  used: Used,
) => Promise<TokenProof>;

/** @throws ConfigError where an attester has neither a key that can verify anything nor a root. */
export async function makeAttesters(configs: readonly AttesterConfig[]): Promise<AttestationProof> {
  const check = makeCheck(await pinAttesters(configs));
  return async (token, bundles, nowMs, used) => {
    const checked = await check(token);
    const [fact, shown] = proven(checked, nowMs);
    if (checked.error === undefined) note(used, checked, "attestation_token");
    const devices = await Promise.all(
      bundles.slice(0, BUNDLES_MAX).map((bundle) => provenBundle(check, bundle, nowMs, used)),
    );
    if (bundles.length > BUNDLES_MAX) devices.push({ devices: [rejectedDevice("devices")], shown: undefined });
    return { fact, shown, bundles: devices };
  };
}

async function pinAttesters(configs: readonly AttesterConfig[]): Promise<Attester[]> {
  return Promise.all(
    configs.map(async (config, index) => {
      const { issuer, jwks, format = "railgate" } = config;
      const setting = `railgate.trust.attesters[${index}]`;
      if (!Object.hasOwn(FORMATS, format)) throw new ConfigError(`${setting}.format`, `${format} is not known`);
      const roots = rootsIn(config, setting);
      if (jwks.length === 0 && roots.length > 0) return { config, format, keys: [], roots, vouched: new Recent() };
      const pinned = await pin([{ issuer, jwks }], "railgate.trust.attesters", index);
      return { config, format, keys: pinned.get(issuer)!, roots, vouched: new Recent() };
    }),
  );
}

function rootsIn({ x5cRoots }: AttesterConfig, setting: string): X509Certificate[] {
  if (x5cRoots === undefined) return [];
  const problem = "holds no certificate in PEM form, or one that can't be read";
  try {
    const roots = certificatesIn(x5cRoots);
    if (roots.length > 0) return roots;
  } catch (cause) {
    throw new ConfigError(`${setting}.x5c_roots`, problem, { cause });
  }
  throw new ConfigError(`${setting}.x5c_roots`, problem);
}

function note(used: Used, { key, bytesDigest }: Signed, kind: "attestation_token" | "device_token"): void {
  used.key(key);
  used.material(kind, bytesDigest);
}

type Check = (token: string) => Promise<Checked>;

/** Size, then form, issuer, algorithm, type, key and signature, whatever the format. */
function makeCheck(attesters: readonly Attester[]): Check {
  const recent = new Recent<Signed>();
  return async (token) => {
    if (token.length > TOKEN_LENGTH_MAX) return { error: "size" };
    const name = hash("sha256", token, "hex");
    const known = recent.get(name);
    if (known !== undefined) return known;
    const checked = await checkToken(token, `sha256:${name}`, attesters);
    if (checked.error === undefined) recent.put(name, checked);
    return checked;
  };
}

async function checkToken(token: string, bytesDigest: string, attesters: readonly Attester[]): Promise<Checked> {
  const parts = readToken(token);
  if (parts === undefined) return { error: "malformed" };
  const { header, payload } = parts;
  const { alg } = header;
  if (typeof alg !== "string" || !SIGNATURE_ALGORITHMS.includes(alg)) return { error: "algorithm" };
  if (!isTyp(header.typ)) return { error: "type" };
  const candidates = candidatesFor(payload.iss, attesters);
  if (!Array.isArray(candidates)) return candidates;
  let error: AttestationError = "issuer";
  for (const attester of candidates) {
    const signed = await signedBy(attester, token, header, alg);
    if (typeof signed === "string") {
      error = signed;
      continue;
    }
    const appraisal = FORMATS[attester.format].read(payload);
    const digest = digestOf(token.slice(0, token.lastIndexOf(".")));
    return { attester, ...signed, payload, appraisal, bytesDigest, digest };
  }
  return { error };
}

/** No type is demanded, since formats have their own; but what is signed to be something else of ours is no attestation. */
const isTyp = (typ: unknown): boolean =>
  typ === undefined || (typeof typ === "string" && !/^(?:application\/)?railgate-/i.test(typ));

/** Who could have signed it: the issuer that it names; where an EAR names none, any whose tokens are EARs. */
function candidatesFor(iss: unknown, attesters: readonly Attester[]): Attester[] | { error: AttestationError } {
  if (iss === undefined) {
    const verifiers = attesters.filter(({ format }) => format === "ear");
    return verifiers.length === 0 ? { error: "malformed" } : verifiers;
  }
  if (typeof iss !== "string") return { error: "malformed" };
  const named = attesters.filter(({ config }) => config.issuer === iss);
  return named.length === 0 ? { error: "issuer" } : named;
}

type By = { readonly key: UsedKey; readonly chain: Chain | undefined };

/** The key that the signature holds by, or the step that fails. */
async function signedBy(
  attester: Attester,
  token: string,
  header: Header,
  alg: string,
): Promise<By | AttestationError> {
  const { format, keys, roots } = attester;
  if (!FORMATS[format].algorithms.includes(alg)) return "algorithm";
  const named = keys.filter(
    ({ kid, used }) => header.kid === undefined || kid === header.kid || used.thumbprint === header.kid,
  );
  const vouched = await vouchedFor(attester, header);
  const candidates = [...named.map((key) => ({ key, chain: undefined })), ...(vouched === undefined ? [] : [vouched])];
  if (candidates.length === 0) return roots.length > 0 && x5cOf(header) !== undefined ? "certificate" : "key";
  const fitting = candidates.filter(({ key }) => key.byAlgorithm.has(alg));
  if (fitting.length === 0) return "algorithm";
  for (const { key, chain } of fitting)
    if (await signatureHolds(token, key.byAlgorithm.get(alg)!, alg)) return { key: key.used, chain };
  return "signature";
}

const x5cOf = ({ x5c, jwk }: Header): unknown => x5c ?? (isObject(jwk) ? jwk.x5c : undefined);

/** The key of a header's certificate, where its chain leads to a pinned root. Any other key in a header is ignored. */
async function vouchedFor({ config, roots, vouched }: Attester, header: Header): Promise<Vouched | undefined> {
  const x5c = x5cOf(header);
  if (roots.length === 0 || x5c === undefined) return undefined;
  const name = hash("sha256", JSON.stringify(x5c), "base64");
  let found = vouched.get(name);
  if (found === undefined) {
    const chain = chainOf(x5c, roots);
    const key = chain && (await pinKey(config.issuer, chain.jwk));
    if (key === undefined) return undefined;
    found = { key, chain: chain! };
    vouched.put(name, found);
  }
  // Trustee puts the chain inside the key that it certifies.
  if (isObject(header.jwk) && (await thumbprintOf(header.jwk)) !== found.key.used.thumbprint) return undefined;
  return found;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The steps that depend on the moment and on what was configured: claims, certificate, audience, window, age, policy. */
function proven(checked: Checked, nowMs: number): [AttestationFact, ShownToken | undefined] {
  if (checked.error !== undefined) return [rejectedToken(checked.error, null), undefined];
  const { attester, appraisal, digest, bytesDigest } = checked;
  if (appraisal === undefined) return [rejectedToken("malformed", digest), { digest, nonces: [], until_ms: null }];
  const shown = { digest, nonces: appraisal.nonces, until_ms: untilOf(attester.config, appraisal) };
  const error = errorAt(checked, appraisal, nowMs);
  if (error !== null) return [rejectedToken(error, digest), shown];
  const {
    expires_ms: _e,
    not_before_ms: _b,
    issued_ms: _i,
    nonces: _n,
    audiences: _a,
    unmatched: _u,
    devices,
    report_ref,
    ...said
  } = appraisal;
  const fact: AttestationFact = {
    form: "token",
    status: "verified",
    error: null,
    issuer: attester.config.issuer,
    format: attester.format,
    report_ref: report_ref ?? (FORMATS[attester.format].refersByDigest ? bytesDigest : null),
    ...said,
    devices: devices?.map((device) => ({ ...device, error: null })) ?? null,
    nonce: { form: "none", ok: false },
    token_digest: digest,
  };
  return [fact, shown];
}

function errorAt({ attester, chain }: Signed, appraisal: Appraisal, nowMs: number): AttestationError | null {
  const { audience, policies, maxAgeS } = attester.config;
  const { audiences, expires_ms, not_before_ms, issued_ms, verifier_policies, unmatched } = appraisal;
  if (chain !== undefined && (nowMs < chain.from_ms || nowMs > chain.until_ms)) return "certificate";
  if (audience !== undefined && !audiences.includes(audience)) return "audience";
  if (expires_ms !== null && nowMs >= expires_ms) return "window";
  if (not_before_ms !== null && nowMs + SKEW_MS < not_before_ms) return "window";
  if (maxAgeS !== undefined && !isWithin(issued_ms, maxAgeS * 1000, nowMs)) return "age";
  if (policies === undefined) return null;
  const isPinned = verifier_policies?.some((policy) => policies.includes(policy)) === true;
  return isPinned && unmatched.length === 0 ? null : "policy";
}

/** A time yet to come has no age, so it is none that may be too great. */
const isWithin = (issuedMs: number | null, ageMsMax: number, nowMs: number): boolean =>
  issuedMs !== null && issuedMs <= nowMs + SKEW_MS && nowMs - issuedMs <= ageMsMax;

/** The token's own end, and as much again as an attester's tokens may be old. */
function untilOf({ maxAgeS }: AttesterConfig, { expires_ms, issued_ms }: Appraisal): number | null {
  const end = expires_ms ?? (maxAgeS === undefined ? null : issued_ms);
  return end === null ? null : end + (maxAgeS ?? 0) * 1000;
}

/** A detached bundle of NRAS: the overall token, each device's by the digest that stands in it, and none besides; the same nonce in all. */
async function provenBundle(
  check: Check,
  bundle: unknown,
  nowMs: number,
  used: Used,
): Promise<TokenProof["bundles"][number]> {
  const tokens = readBundle({ bundle });
  const refused = (error: AttestationError, shown?: ShownToken) => ({ devices: [rejectedDevice(error)], shown });
  if (tokens === undefined) return refused("malformed");
  const lengths = [tokens.overall, ...tokens.devices.values()].map(({ length }) => length);
  if (lengths.reduce((sum, length) => sum + length, 0) > BUNDLE_LENGTH_MAX) return refused("size");
  const overall = await check(tokens.overall);
  if (overall.error !== undefined) return refused(overall.error);
  if (overall.attester.format !== "nvidia-nras") return refused("issuer");
  note(used, overall, "device_token");
  const [fact, shown] = proven(overall, nowMs);
  if (fact.error !== null) return refused(fact.error, shown);
  const { passed, digests } = readOverall(overall.payload)!;
  if (digests.size !== tokens.devices.size) return refused("devices", shown);
  const devices: DeviceFact[] = [];
  for (const [name, token] of tokens.devices) {
    const device = await check(token);
    if (device.error !== undefined) return refused(device.error, shown);
    if (device.bytesDigest !== `sha256:${digests.get(name)}`) return refused("devices", shown);
    note(used, device, "device_token");
    const found = provenDevice(name, device, overall, passed, nowMs);
    if (typeof found === "string") return refused(found, shown);
    devices.push(found);
  }
  return { devices, shown };
}

const readTimes = reading(registered);

function provenDevice(
  name: string,
  { attester, payload, chain }: Signed,
  overall: Signed,
  passed: boolean,
  nowMs: number,
): DeviceFact | AttestationError {
  if (attester !== overall.attester) return "issuer";
  const read = readDevice(name, payload);
  const times = readTimes(payload);
  if (read === undefined || times === undefined) return "malformed";
  if (chain !== undefined && (nowMs < chain.from_ms || nowMs > chain.until_ms)) return "certificate";
  if (times.expires_ms !== null && nowMs >= times.expires_ms) return "window";
  if (times.not_before_ms !== null && nowMs + SKEW_MS < times.not_before_ms) return "window";
  const { nonce, ...device } = read;
  if (!overall.appraisal!.nonces.every((allowed) => allowed.includes(nonce))) return "nonce";
  return { ...device, result: passed ? device.result : "fail", error: null };
}
