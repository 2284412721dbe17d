// Hundreds of forged tokens of every format, each refused at a step that has a name; and genuine ones with anything in them changed. Nothing is ever fetched.
import dns from "node:dns";
import net from "node:net";
import test from "ava";
import fc from "fast-check";
import { generateKeyPairSync } from "node:crypto";
import { base64url, CompactSign } from "jose";
import { heldFact, type Held } from "../../src/core/attestation.ts";
import type { AttestationFact } from "../../src/core/schema/input.ts";
import { makeTrust } from "../../src/trust/trust.ts";
import { admissible, Clock, start } from "../http/support.ts";
import { teeRequest } from "../core/requests.ts";
import { certify, x5c, type Certified } from "./certificates.ts";
import {
  attesters,
  bundleOf,
  CHALLENGE,
  earLeaf,
  hex,
  jwkChain,
  middle,
  NOW_MS,
  NOW_S,
  p256,
  p384,
  root,
  rsa,
  SAMPLES,
  sign,
  signed,
  type Bundled,
  type Claims,
  type Header,
  type Keys,
  type Sample,
} from "./tokens.ts";

const seed = Number(process.env["FC_SEED"] ?? Date.now() % 2 ** 31);
const trust = await makeTrust({ authorities: [], attesters: attesters() });
const held: Held = { correlationId: undefined, isOpen: (nonce) => nonce === CHALLENGE, isElsewhere: () => false };
async function factOf(token: string, devices: unknown[] = [], nowMs = NOW_MS): Promise<AttestationFact> {
  return heldFact((await trust.verifyAttestation(token, { nowMs, nonce: undefined }, devices)).proof, held);
}

/** What a law without any settings of its own would refuse in a fact; the step's name where the host refused it. */
function refusedBy(fact: AttestationFact): string | null {
  if (fact.error !== null) return fact.error;
  if (fact.result !== "pass") return "result";
  if (fact.debuggable === true) return "debuggable";
  if (["unknown", "gpu", "amd-sev"].includes(fact.platform_type ?? "unknown")) return "platform";
  if (fact.devices?.some(({ error, result }) => error !== null || result !== "pass")) return "device";
  return null;
}

/** Any connection, or a look at a name, is told of by the test that made it. */
const outbound: string[] = [];
const forbid = (name: string) => (): never => {
  outbound.push(name);
  throw new Error(`${name} while a token was verified`);
};
async function offline<T>(work: () => Promise<T>): Promise<T> {
  const [connect, lookup, resolve] = [net.Socket.prototype.connect, dns.lookup, dns.resolve];
  const fetched = globalThis.fetch;
  net.Socket.prototype.connect = forbid("connect");
  Object.assign(dns, { lookup: forbid("lookup"), resolve: forbid("resolve") });
  globalThis.fetch = forbid("fetch");
  try {
    return await work();
  } finally {
    net.Socket.prototype.connect = connect;
    Object.assign(dns, { lookup, resolve });
    globalThis.fetch = fetched;
  }
}

const stranger = {
  ec: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  p384: generateKeyPairSync("ec", { namedCurve: "P-384" }),
  rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }),
};
const strange = (keys: Keys): Keys => (keys === rsa ? stranger.rsa : keys === p384 ? stranger.p384 : stranger.ec);
const jwkOf = ({ publicKey }: Keys) => publicKey.export({ format: "jwk" });
const part = (value: unknown): string => base64url.encode(typeof value === "string" ? value : JSON.stringify(value));

type Forged = readonly [name: string, error: string, token: string | Promise<string>];

/** Wrong in the same ways, whatever the format. */
async function forgedAlike(sample: Sample): Promise<Forged[]> {
  const claims = sample.claims();
  const genuine = await signed(sample, claims);
  const [header, payload, signature] = genuine.split(".") as [string, string, string];
  const shown = { alg: sample.alg, ...sample.header };
  const json = JSON.stringify(claims);
  const by = (over: Claims, head: Header = {}) => signed(sample, { ...claims, ...over }, head);
  const chained = sample.header["kid"] === undefined;
  const hmac = new CompactSign(Buffer.from(json)).setProtectedHeader({ ...shown, alg: "HS256" } as never);
  const other = { ...sample, keys: strange(sample.keys) };
  const flipped = `${signature[0] === "A" ? "B" : "A"}${signature.slice(1)}`;
  return [
    ["no algorithm", "algorithm", `${part({ ...shown, alg: "none" })}.${payload}.${signature}`],
    ["a shared secret", "algorithm", hmac.sign(Buffer.from(JSON.stringify(jwkOf(sample.keys))))],
    ["an algorithm of another format", "algorithm", `${part({ ...shown, alg: "RS512" })}.${payload}.${signature}`],
    ["an algorithm of the prototype", "algorithm", `${part({ ...shown, alg: "__proto__" })}.${payload}.${signature}`],
    ["no signature", "malformed", `${header}.${payload}.`],
    ["no parts", "malformed", ""],
    ["a fourth part", "malformed", `${genuine}.${signature}`],
    ["white space", "malformed", `${genuine}\n`],
    ["a padded part", "malformed", `${header}=.${payload}.${signature}`],
    ["the signature's first byte", "signature", `${header}.${payload}.${flipped}`],
    ["half a signature", "signature", `${header}.${payload}.${signature.slice(0, signature.length / 2)}`],
    ["another payload", "signature", `${header}.${part({ ...claims, jti: "evil" })}.${signature}`],
    ["another header", "signature", `${part({ ...shown, typ: "at+jwt" })}.${payload}.${signature}`],
    ["a stranger's key", "signature", signed(other, claims)],
    ["a member twice", "malformed", sign(sample.keys, sample.alg, sample.header, `${json.slice(0, -1)},"iat":1}`)],
    [
      "a header's member twice",
      "malformed",
      `${part(`${JSON.stringify(shown).slice(0, -1)},"alg":"none"}`)}.${payload}.${signature}`,
    ],
    ["a critical extension", "malformed", `${part({ ...shown, crit: ["exp"], exp: 1 })}.${payload}.${signature}`],
    ["an unencoded payload", "malformed", `${part({ ...shown, b64: false })}.${payload}.${signature}`],
    ["no JSON", "malformed", sign(sample.keys, sample.alg, sample.header, "{")],
    ["a list", "malformed", sign(sample.keys, sample.alg, sample.header, "[]")],
    ["too deep", "malformed", sign(sample.keys, sample.alg, sample.header, `{"a":${"[".repeat(70)}${"]".repeat(70)}}`)],
    ["too large", "size", by({ pad: "x".repeat(70_000) })],
    [
      "a number that no two read alike",
      "malformed",
      sign(sample.keys, sample.alg, sample.header, `${json.slice(0, -1)},"n":9007199254740993}`),
    ],
    ["another type", "type", by({}, { typ: "railgate-authority+jws" })],
    ["a type that is no text", "type", by({}, { typ: 5 })],
    ["an unknown issuer", "issuer", by({ iss: "https://stranger.example" })],
    ["an issuer of the prototype", "issuer", by({ iss: "__proto__" })],
    ["an issuer that is no text", "malformed", by({ iss: 5 })],
    ["its end", "window", by({ exp: NOW_S })],
    ["its beginning", "window", by({ nbf: NOW_S + 61 })],
    ["an end that is no time", "malformed", by({ exp: "soon" })],
    ["an end beyond all time", "malformed", by({ exp: 1e300 })],
    ["a beginning that is null", "malformed", by({ nbf: null })],
    ["an audience that is no text", "malformed", by({ aud: [1] })],
    [
      "a place of keys in its header",
      "signature",
      signed(other, claims, { jku: "https://evil.example/jwks", x5u: "https://evil.example/x5u" }),
    ],
    ...(chained
      ? []
      : ([
          ["a key in its header", "signature", signed(other, claims, { jwk: jwkOf(other.keys) })],
          ["an unknown key", "key", by({}, { kid: "stranger" })],
          ["a key id that is a path", "key", by({}, { kid: "../../dev/null" })],
          ["a key id that is no text", "malformed", `${part({ ...shown, kid: 5 })}.${payload}.${signature}`],
        ] as Forged[])),
  ];
}

/** `with` the claims so changed, at the place of a path. */
const changed = (claims: Claims, path: string, value: unknown): Claims => {
  const copy = structuredClone(claims);
  const names = path.split("/");
  const last = names.pop()!;
  let at = copy;
  for (const name of names) at = at[name];
  if (value === undefined) delete at[last];
  else at[last] = value;
  return copy;
};

/** By sample: claims that matter to it, what they are changed to, and what then fails. */
const CLAIMS: Readonly<Record<string, readonly (readonly [path: string, value: unknown, error: string])[]>> = {
  railgate: [
    ["result", "fail", "result"],
    ["result", "PASS", "malformed"],
    ["debuggable", true, "debuggable"],
    ["debuggable", "false", "malformed"],
    ["nonce", "another", "nonce"],
    ["report_ref", 5, "malformed"],
  ],
  "ear, drafts from 03": [
    ["eat_profile", undefined, "malformed"],
    ["eat_profile", "tag:evil.example,2026:ear", "malformed"],
    ["submods", {}, "malformed"],
    ["submods", [], "malformed"],
    ["eat_nonce", "another", "nonce"],
    ["eat_nonce", [5], "malformed"],
    ["ear_status", "contraindicated", "result"],
    ["ear_status", "none", "malformed"],
    ["submods/cpu0/ear_status", "warning", "result"],
    ["submods/cpu0/ear_status", 96, "result"],
    ["submods/cpu0/ear_status", "Affirming", "malformed"],
    ["submods/cpu0/ear_status", undefined, "malformed"],
    ["submods/cpu0/ear.status", "warning", "malformed"],
    ["submods/gpu0/ear_status", "warning", "result"],
    ["submods/cpu0/ear_trustworthiness_vector/hardware", 97, "malformed"],
    ["submods/cpu0/ear_trustworthiness_vector/hardware", 32, "malformed"],
    ["submods/cpu0/ear_trustworthiness_vector/hardware", 1, "malformed"],
    ["submods/cpu0/ear_trustworthiness_vector/hardware", -1, "malformed"],
    ["submods/cpu0/ear_trustworthiness_vector/hardware", -97, "malformed"],
    ["submods/cpu0/ear_trustworthiness_vector/hardware", "2", "malformed"],
    ["submods/cpu0/ear_trustworthiness_vector/hardware", 2.5, "malformed"],
    ["submods/cpu0/ear_trustworthiness_vector/hardware", 200, "malformed"],
    ["submods/cpu0/ear_trustworthiness_vector/bravery", 2, "malformed"],
    ["submods/cpu0/ear.appraisal-policy-id", "other", "malformed"],
    ["submods/cpu0/ear_attester_claims/tdx", {}, "malformed"],
    ["submods/cpu0/ear_attester_claims/sample", {}, "malformed"],
    ["submods/cpu0/ear_attester_claims", { sample: {} }, "platform"],
    ["submods/cpu0/ear_attester_claims", { se: {} }, "platform"],
    ["submods/cpu0/ear_attester_claims", {}, "platform"],
    ["submods/cpu0/ear_attester_claims", undefined, "platform"],
    ["submods/cpu0/ear_attester_claims", [], "malformed"],
    ["submods/cpu0/ear_attester_claims/snp/policy_debug_allowed", true, "debuggable"],
    ["submods/cpu0/ear_attester_claims/snp/policy_debug_allowed", "false", "malformed"],
    ["submods/cpu0/ear_attester_claims/snp/measurement", "xyz", "malformed"],
    ["submods/cpu0/dbgstat", "enabled", "malformed"],
    ["submods/cpu1", { ear_status: 2, ear_attester_claims: { tdx: {} } }, "malformed"],
    ["submods/cpu1", { ear_status: 2, ear_attester_claims: { snp: { measurement: "00" } } }, "malformed"],
  ],
  "ear, Trustee": [
    ["submods/cpu0/ear.veraison.annotated-evidence/runtime_data_claims/nonce", "another", "nonce"],
    ["submods/cpu0/ear.veraison.annotated-evidence/runtime_data_claims/nonce", 5, "malformed"],
    ["submods/cpu0/ear.veraison.annotated-evidence/tdx/td_attributes/debug", true, "debuggable"],
    ["submods/cpu0/ear.veraison.annotated-evidence/tdx/td_attributes/debug", "false", "malformed"],
    ["submods/cpu0/ear.veraison.annotated-evidence/tdx/collateral_expiration_status", "1", "result"],
    ["submods/cpu0/ear.veraison.annotated-evidence/tdx/tcb_status", 5, "malformed"],
    ["submods/cpu0/ear.veraison.annotated-evidence/tdx/quote/body/td_attributes", "0100001000000000", "malformed"],
    ["submods/cpu0/ear.veraison.annotated-evidence/init_data", "zz", "malformed"],
    ["submods/cpu0/ear_status", "contraindicated", "malformed"],
  ],
  "maa, SEV-SNP": [
    ["x-ms-attestation-type", undefined, "malformed"],
    ["x-ms-attestation-type", "azurevm", "platform-vtpm"],
    ["x-ms-attestation-type", "tpm", "result"],
    ["x-ms-compliance-status", "azure-signed-cvm", "result"],
    ["x-ms-compliance-status", undefined, "result"],
    ["x-ms-compliance-status", 5, "malformed"],
    ["x-ms-sevsnpvm-is-debuggable", true, "debuggable"],
    ["x-ms-sevsnpvm-is-debuggable", "false", "malformed"],
    ["x-ms-sevsnpvm-launchmeasurement", "no hex", "malformed"],
    ["x-ms-policy-hash", 5, "malformed"],
    ["x-ms-isolation-tee", {}, "malformed"],
    ["nonce", "another", "nonce"],
    ["iat", NOW_S - 901, "age"],
    ["iat", NOW_S + 61, "age"],
    ["iat", undefined, "age"],
  ],
  "maa, guest": [
    ["x-ms-isolation-tee/x-ms-compliance-status", "none", "result"],
    ["x-ms-isolation-tee/tdx_td_attributes_debug", true, "malformed"],
    ["x-ms-isolation-tee/tdx_td_attributes", "0100001000000000", "malformed"],
    ["x-ms-isolation-tee/dbgstat", "enabled", "malformed"],
    ["x-ms-isolation-tee/dbgstat", "perhaps", "malformed"],
    ["x-ms-isolation-tee/x-ms-attestation-type", "azurevm", "result"],
    ["x-ms-isolation-tee", undefined, "platform-vtpm"],
    ["x-ms-isolation-tee", null, "malformed"],
    ["secureboot", false, "result"],
    ["secureboot", "true", "malformed"],
    ["x-ms-azurevm-kerneldebug-enabled", true, "debuggable"],
    ["x-ms-runtime/client-payload/nonce", "AA==", "nonce"],
    ["x-ms-runtime/client-payload/nonce", "?", "malformed"],
    ["x-ms-runtime", "none", "malformed"],
  ],
  "maa, SGX": [
    ["x-ms-sgx-is-debuggable", true, "malformed"],
    ["is-debuggable", true, "malformed"],
    ["sgx-mrenclave", hex("00", 32), "malformed"],
    ["sgx-mrsigner", hex("00", 32), "malformed"],
    ["svn", 2, "malformed"],
    ["product-id", 2, "malformed"],
    ["x-ms-sgx-mrenclave", 5, "malformed"],
    ["nonce", CHALLENGE.slice(1), "nonce"],
  ],
  "Confidential Space, OIDC": [
    ["aud", "https://sts.googleapis.com", "audience"],
    ["aud", undefined, "audience"],
    ["eat_nonce", ["other-nonce"], "nonce"],
    ["dbgstat", "enabled", "result"],
    ["dbgstat", "disabled", "result"],
    ["dbgstat", false, "malformed"],
    ["dbgstat", undefined, "result"],
    ["secboot", false, "result"],
    ["secboot", "true", "malformed"],
    ["secboot", undefined, "result"],
    ["swname", "GCE", "result"],
    ["hwmodel", "GCP_SHIELDED_VM", "platform-vtpm"],
    ["hwmodel", "GCP_AMD_SEV", "platform"],
    ["hwmodel", "GCP_NEW", "platform"],
    ["hwmodel", undefined, "malformed"],
    ["submods/confidential_space/support_attributes", ["EXPERIMENTAL"], "result"],
    ["submods/confidential_space/support_attributes", [], "result"],
    ["submods/confidential_space/support_attributes", "STABLE", "malformed"],
    ["submods/container/image_digest", "sha256:00", "malformed"],
    ["submods/container/env_override", { A: "b" }, "result"],
    ["submods/container/cmd_override", ["sh"], "result"],
    ["submods/container/cmd_override", "sh", "malformed"],
    ["submods", undefined, "result"],
  ],
  "Intel Trust Authority, flat": [
    ["policy_ids_matched", [], "result-policy"],
    ["policy_ids_matched", null, "result-policy"],
    ["policy_ids_matched", [{ id: "another" }], "policy"],
    ["policy_ids_matched", "c7b1c2a1-0000-4000-8000-000000000001", "malformed"],
    ["policy_ids_unmatched", [{ id: "another" }], "policy"],
    ["tdx_is_debuggable", true, "malformed"],
    ["dbgstat", "enabled", "malformed"],
    ["tdx_mrtd", "short", "malformed"],
    ["attester_type", "NEW", "platform"],
    ["attester_type", "NVGPU", "malformed"],
    ["attester_type", undefined, "platform"],
    ["sevsnp", {}, "malformed"],
    ["attester_held_data", "AAAA", "nonce"],
    ["attester_advisory_ids", "INTEL-SA-1", "malformed"],
  ],
  "Intel Trust Authority, nested": [
    ["sevsnp/attester_type", "TDX", "malformed"],
    ["sevsnp/sevsnp_is_debuggable", true, "malformed"],
    ["sevsnp/policy_ids_matched", [], "policy"],
    ["tdx", {}, "malformed"],
    ["sevsnp", undefined, "policy"],
    ["nvgpu/x-nvidia-overall-att-result", false, "device"],
    ["nvgpu/x-nvidia-overall-att-result", "true", "malformed"],
    ["nvgpu/claim_details/GPU-0/measres", "fail", "device"],
  ],
};

test.serial("forged tokens, alike in every format, are refused at the step that they fail", async (t) => {
  let count = 0;
  await offline(async () => {
    for (const [of, sample] of Object.entries(SAMPLES)) {
      for (const [name, error, token] of await forgedAlike(sample)) {
        t.is((await factOf(await token)).error, error as never, `${of}: ${name}`);
        count++;
      }
      t.is(refusedBy(await factOf(await signed(sample, sample.claims()))), null, `${of}: the genuine one`);
    }
  });
  t.true(count >= 300, `${count} forgeries`);
  t.log(`${count} forgeries`);
  t.deepEqual(outbound, []);
});

test.serial("every claim that matters, changed by its very issuer, is refused for what it then says", async (t) => {
  let count = 0;
  await offline(async () => {
    for (const [of, changes] of Object.entries(CLAIMS))
      for (const [path, value, error] of changes) {
        const sample = SAMPLES[of]!;
        const fact = await factOf(await signed(sample, changed(sample.claims(), path, value)));
        const about = `${of}: ${path} = ${JSON.stringify(value)}`;
        if (error === "platform-vtpm") t.is(fact.platform_type, "vtpm", about);
        else if (error === "result-policy") t.is(fact.error, "policy", about);
        else t.is(refusedBy(fact), error, about);
        count++;
      }
  });
  t.log(`${count} changed claims`);
  t.deepEqual(outbound, []);
});

test.serial("a certificate counts where its chain is sound, ends in a pinned root, and is valid now", async (t) => {
  const sample = SAMPLES["ear, Trustee"]!;
  const other = certify({ name: "root", ca: true });
  const leaf = (wishes: object = {}) => certify({ name: "trustee", by: middle, keys: p256, ...wishes });
  const long = Array.from({ length: 8 }).reduce<Certified[]>(
    (chain) => [certify({ name: `m${chain.length}`, ca: true, by: chain[0]! }), ...chain],
    [root],
  );
  const limited = certify({ name: "limited", ca: true, pathLength: 0, by: root });
  const below = certify({ name: "below", ca: true, by: limited });
  const asJwk = (chain: Certified[], keys = p256) => ({ jwk: { ...jwkOf(keys), x5c: x5c(...chain) } });
  const cases: [name: string, error: string | null, header: Header][] = [
    ["with its root", null, jwkChain(earLeaf, middle, root)],
    ["in x5c itself", null, { x5c: x5c(earLeaf, middle) }],
    ["by the root", null, asJwk([leaf({ by: root })])],
    ["by an authority that is limited", null, asJwk([leaf({ by: limited }), limited])],
    ["without what is between", "certificate", jwkChain(earLeaf)],
    ["out of order", "certificate", jwkChain(middle, earLeaf)],
    ["none", "certificate", asJwk([])],
    ["of itself", "certificate", asJwk([certify({ name: "trustee", keys: p256 })])],
    ["of another root of that name", "certificate", asJwk([leaf({ by: other }), other])],
    ["by one that is no authority", "certificate", asJwk([leaf({ by: certify({ name: "x", by: root }) })])],
    ["by a leaf", "certificate", asJwk([leaf({ by: earLeaf }), earLeaf, middle])],
    [
      "by one that may not sign certificates",
      "certificate",
      ((ca) => asJwk([leaf({ by: ca }), ca]))(certify({ name: "c", ca: true, usage: 0x80, by: root })),
    ],
    ["under a limit on its path", "certificate", asJwk([leaf({ by: below }), below, limited])],
    ["too long", "certificate", asJwk([leaf({ by: long[0]! }), ...long])],
    ["that may not sign", "certificate", asJwk([leaf({ usage: 0x20 }), middle])],
    [
      "with a critical extension that nobody knows",
      "certificate",
      asJwk([leaf({ critical: Buffer.from([0x55, 0x1d, 0x1e]) }), middle]),
    ],
    ["that has ended", "certificate", asJwk([leaf({ until: new Date(NOW_MS - 1000) }), middle])],
    ["that has not begun", "certificate", asJwk([leaf({ from: new Date(NOW_MS + 1000) }), middle])],
    ["of another key than the header's", "certificate", { jwk: { ...jwkOf(stranger.ec), x5c: x5c(earLeaf, middle) } }],
    ["that is no list", "certificate", { jwk: { ...jwkOf(p256), x5c: "MII" } }],
    ["that is no certificate", "certificate", { jwk: { ...jwkOf(p256), x5c: ["AAAA"] } }],
    [
      "whose signature is another's",
      "certificate",
      { x5c: [...x5c(earLeaf), x5c(certify({ name: "middle", ca: true, by: root }))[0]!] },
    ],
    ["beside a key alone", "key", { jwk: jwkOf(p256) }],
  ];
  for (const [name, error, header] of cases) {
    const fact = await factOf(await sign(p256, "ES256", header, sample.claims()));
    t.is(fact.error, error as never, name);
  }
  const good = await sign(p256, "ES256", jwkChain(earLeaf, middle), {
    ...sample.claims(),
    exp: NOW_S + 10 * 365 * 86_400,
  });
  t.is((await factOf(good)).error, null);
  const later = Date.UTC(2027, 0, 1) + 1000;
  t.is((await factOf(good, [], later)).error, "certificate", "the cache holds signatures, and no times");
});

test.serial("a bundle of NRAS is refused whole for anything in it that is not as it must be", async (t) => {
  const cpu = await signed(SAMPLES["maa, SEV-SNP"]!, SAMPLES["maa, SEV-SNP"]!.claims());
  const device = (change: (claims: Claims) => unknown): Bundled => ({ devices: { "GPU-0": change } });
  const built = async (change: (bundle: any) => unknown) => change(structuredClone(await bundleOf()));
  const cases: [name: string, error: string | null, bundle: unknown][] = [
    ["no list", "malformed", {}],
    ["text", "malformed", "[]"],
    ["another kind", "malformed", await built(([[, jwt], devices]) => [["CWT", jwt], devices])],
    ["no devices", "malformed", await built(([overall]) => [overall, {}])],
    [
      "a device too many",
      "devices",
      await built(([overall, devices]) => [overall, { ...devices, "GPU-1": devices["GPU-0"] }]),
    ],
    [
      "a device under another name",
      "devices",
      await built(([overall, devices]) => [overall, { "GPU-1": devices["GPU-0"] }]),
    ],
    [
      "another device",
      "devices",
      await built(async ([overall]) => [overall, (await bundleOf(device((c) => ({ ...c, ueid: "2" }))))[1]]),
    ],
    ["too large", "size", await built(([overall, devices]) => [overall, { ...devices, "GPU-1": "x".repeat(300_000) }])],
    [
      "the overall result no boolean",
      "malformed",
      await bundleOf({ overall: (c) => ({ ...c, "x-nvidia-overall-att-result": "true" }) }),
    ],
    ["another subject", "malformed", await bundleOf({ overall: (c) => ({ ...c, sub: "other" }) })],
    [
      "another digest",
      "malformed",
      await bundleOf({ overall: (c) => ({ ...c, submods: { "GPU-0": ["DIGEST", ["MD5", "00"]] } }) }),
    ],
    ["an overall token that has ended", "window", await bundleOf({ overall: (c) => ({ ...c, exp: NOW_S }) })],
    ["a device's token that has ended", "window", await bundleOf(device((c) => ({ ...c, exp: NOW_S })))],
    [
      "another nonce",
      "nonce",
      await bundleOf({
        ...device((c) => ({ ...c, eat_nonce: hex("08", 32) })),
        overall: (c) => ({ ...c, eat_nonce: hex("08", 32) }),
      }),
    ],
    ["another nonce in a device", "nonce", await bundleOf(device((c) => ({ ...c, eat_nonce: hex("08", 32) })))],
    ["a nonce that is no hex", "malformed", await bundleOf(device((c) => ({ ...c, eat_nonce: CHALLENGE })))],
    [
      "a stranger's",
      "signature",
      await bundleOf({ by: { alg: "ES384", keys: stranger.p384, header: { kid: "nras" } } }),
    ],
    [
      "the local verifier's",
      "algorithm",
      [
        [
          "JWT",
          await new CompactSign(Buffer.from("{}"))
            .setProtectedHeader({ alg: "HS256" })
            .sign(Buffer.from("notasecret".padEnd(32))),
        ],
        { "GPU-0": "x" },
      ],
    ],
    ["of a verifier of platforms", "issuer", [["JWT", cpu], { "GPU-0": cpu }]],
    ["a device that failed", null, await bundleOf(device((c) => ({ ...c, measres: "fail" })))],
    ["a device to be debugged", null, await bundleOf(device((c) => ({ ...c, dbgstat: "enabled" })))],
    ["a device not booted securely", null, await bundleOf(device((c) => ({ ...c, secboot: false })))],
    [
      "a step that failed",
      null,
      await bundleOf(device((c) => ({ ...c, "x-nvidia-gpu-driver-rim-signature-verified": false }))),
    ],
    [
      "a certificate that was revoked",
      null,
      await bundleOf(
        device((c) => ({
          ...c,
          "x-nvidia-gpu-attestation-report-cert-chain": { "x-nvidia-cert-ocsp-status": "revoked" },
        })),
      ),
    ],
    [
      "an overall result that is bad",
      null,
      await bundleOf({ overall: (c) => ({ ...c, "x-nvidia-overall-att-result": false }) }),
    ],
  ];
  await offline(async () => {
    for (const [name, error, bundle] of cases) {
      const { devices, error: own } = await factOf(cpu, [bundle]);
      t.is(own, null, name);
      t.like(devices?.[0], error === null ? { error, result: "fail" } : { error, kind: null, result: null }, name);
    }
  });
  t.deepEqual(outbound, []);
  const alone = await signed(SAMPLES["maa, SEV-SNP"]!, { ...SAMPLES["maa, SEV-SNP"]!.claims(), nonce: undefined });
  t.is((await factOf(alone, [await bundleOf()])).devices?.[0]?.error, "nonce", "beside a token that nothing binds");
  const [[, overall]] = (await bundleOf()) as [[string, string]];
  t.is(refusedBy(await factOf(overall)), "result", "alone it is no platform");
});

test.serial("no token is accepted with any byte of it changed", async (t) => {
  const tokens = await Promise.all(
    Object.entries(SAMPLES).map(async ([name, sample]) => [name, await signed(sample, sample.claims())] as const),
  );
  const change = fc.record({
    token: fc.constantFrom(...tokens),
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    to: fc.constantFrom(..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= "),
  });
  await fc.assert(
    fc.asyncProperty(change, async ({ token: [name, token], at, to }) => {
      const place = Math.floor(at * token.length);
      const forged = token.slice(0, place) + to + token.slice(place + 1);
      if (forged === token || sameBytes(forged, token)) return;
      t.not((await factOf(forged)).error, null, `${name}: ${place} ${to}`);
    }),
    { seed, numRuns: 400 },
  );
});

/** The last character of a part has bits that stand for nothing. */
function sameBytes(one: string, other: string): boolean {
  const bytesOf = (token: string) =>
    token
      .split(".")
      .map((each) => Buffer.from(each, "base64url").toString("hex"))
      .join(".");
  return bytesOf(one) === bytesOf(other);
}

test.serial(
  "over HTTP a forgery is a decision with evidence, whatever it is, and never an error of the node's",
  async (t) => {
    const pinned = attesters().filter(({ x5cRoots }) => x5cRoots === undefined);
    const served = await start(
      { trust: { attesters: pinned.map(({ issuer, format, jwks }) => ({ issuer, format, jwks: { keys: jwks } })) } },
      { clock: new Clock(NOW_MS).shared },
    );
    const seen = new Set<string>();
    for (const sample of Object.values(SAMPLES))
      for (const [name, error, token] of await forgedAlike(sample)) {
        if (seen.has(name) || error === "size") continue;
        seen.add(name);
        const request = { ...(teeRequest() as any), attestation: { token: await token, devices: [{}, null, [1]] } };
        request.workload.workload_id = `w-${seen.size}`;
        const { status, json } = await served.call("POST", "/v1/admissions", { body: request });
        t.is(status, 200, name);
        const found = json.decision.refusals.find(({ rule }: any) => rule === "TEE-02");
        t.truthy(found?.params.reason, name);
      }
    t.is((await served.call("POST", "/v1/admissions", { body: admissible() })).status, 200);
    await served.close();
  },
);
