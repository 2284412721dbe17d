// Tokens: what holds, and every way in which a hostile one must not.
import test from "ava";
import { createHash } from "node:crypto";
import {
  base64url,
  CompactSign,
  exportJWK,
  generateKeyPair,
  type CompactJWSHeaderParameters,
  type CryptoKey,
  type JWK,
} from "jose";
import { NO_TRUST } from "../../src/core/facts.ts";
import { authoritySnapshot, makeTrust } from "../../src/trust/trust.ts";
import { bareRequest } from "../core/requests.ts";

type Signer = { privateKey: CryptoKey; jwk: JWK; alg: string };

async function signer(alg: string, kid: string): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair(alg, {
    extractable: true,
    ...(alg === "EdDSA" ? { crv: "Ed25519" } : {}),
  });
  return { privateKey, jwk: { ...(await exportJWK(publicKey)), kid }, alg };
}

const [root, state, delegate, attester, stranger] = await Promise.all([
  signer("EdDSA", "root-1"),
  signer("ES256", "state-1"),
  signer("PS256", "delegate-1"),
  signer("ES384", "attester-1"),
  signer("EdDSA", "root-1"),
]);
const ROOT = "https://root.example";
const STATE = "https://state.example";
const DELEGATE = "https://delegate.example";
const ATTESTER = "https://attester.example";

const trust = await makeTrust({
  authorities: [
    { issuer: ROOT, jwks: [root.jwk], root: true },
    { issuer: STATE, jwks: [state.jwk], root: false },
    { issuer: DELEGATE, jwks: [delegate.jwk], root: false },
  ],
  attesters: [{ issuer: ATTESTER, jwks: [attester.jwk] }],
});

const nowMs = Date.UTC(2026, 10, 25, 8);
const against = { nowMs, nonce: "c-1" };

const sign = (by: Signer, payload: unknown, header: object = {}): Promise<string> =>
  new CompactSign(new TextEncoder().encode(typeof payload === "string" ? payload : JSON.stringify(payload)))
    .setProtectedHeader({ alg: by.alg, kid: by.jwk.kid, ...header } as CompactJWSHeaderParameters)
    .sign(by.privateKey);

const part = (value: unknown): string => base64url.encode(typeof value === "string" ? value : JSON.stringify(value));

const binding = (issuer = ROOT) => ({
  issuer,
  subject: "acme/payments",
  scope: ["workload.admit"],
  valid_from: "2026-01-01T00:00:00Z",
  valid_to: "2027-01-01T00:00:00Z",
});
const evidence = () => ({
  iss: ATTESTER,
  iat: nowMs / 1000 - 60,
  report_ref: "r-1",
  platform_type: "amd-sev-snp",
  result: "pass",
  debuggable: false,
  nonce: "c-1",
});
const exception = () => ({
  issuer: STATE,
  tenant_id: "acme",
  workload_id: "payments",
  rules: ["CTR-01"],
  not_before: "2026-01-01T00:00:00Z",
  not_after: "2027-01-01T00:00:00Z",
  reason: "migration",
});

async function authorityOf(token: string) {
  return (await trust.verify({ ...bareRequest(), authority: token }, against))!.facts.authority!;
}
async function attestationOf(token: string, held = against as { nowMs: number; nonce: string | undefined }) {
  return (await trust.verify({ ...bareRequest(), attestation: { token } }, held))!.facts.attestation!;
}
async function exceptionOf(token: string) {
  return (await trust.verify({ ...bareRequest(), exceptions: [token] }, against))!.facts.exceptions[0]!;
}

test("a request without tokens costs nothing", (t) => {
  t.is(trust.verify(bareRequest(), against), null);
  t.is(trust.verify({ ...bareRequest(), exceptions: [], attestation: { result: "pass" } }, against), null);
});

test("a binding by a root is verified, and its key is what was used", async (t) => {
  const { facts, used } = (await trust.verify({ ...bareRequest(), authority: await sign(root, binding()) }, against))!;
  t.deepEqual(facts.authority, {
    status: "verified",
    error: null,
    issuer: ROOT,
    subject: "acme/payments",
    scope: ["workload.admit"],
    valid_from_ms: Date.UTC(2026, 0, 1),
    valid_to_ms: Date.UTC(2027, 0, 1),
    delegation: [],
    delegation_error: null,
  });
  t.deepEqual(
    used.map(({ issuer, jwk }) => ({ issuer, jwk })),
    [{ issuer: ROOT, jwk: root.jwk }],
  );
  t.deepEqual(facts.attestation, NO_TRUST.attestation);
});

test("a binding by no root needs a chain from one", async (t) => {
  t.like(await authorityOf(await sign(state, binding(STATE))), { status: "rejected", error: "issuer" });
  t.like(await authorityOf(await sign(state, { ...binding(STATE), delegation: [] })), {
    status: "rejected",
    error: "issuer",
  });
  const links = [
    await sign(root, { ...binding(), subject: STATE }),
    await sign(state, { ...binding(STATE), subject: DELEGATE }),
  ];
  const fact = await authorityOf(await sign(delegate, { ...binding(DELEGATE), delegation: links }));
  t.like(fact, { status: "verified", issuer: DELEGATE, delegation_error: null });
  t.deepEqual(
    fact.delegation.map(({ status, issuer, subject }) => [status, issuer, subject]),
    [
      ["verified", ROOT, STATE],
      ["verified", STATE, DELEGATE],
    ],
  );
});

test("a chain broken in any way says how", async (t) => {
  const good = await sign(root, { ...binding(), subject: DELEGATE });
  const cases: [error: string, links: string[]][] = [
    ["root", [await sign(state, binding(STATE))]],
    ["root", [await sign(state, binding(STATE)), good]],
    ["signature", [await sign(stranger, binding())]],
    ["signature", [good, await sign(stranger, binding())]],
    ["signature", [`${part({ alg: "none" })}.${part(binding())}.AA`]],
    ["issuer", [await sign(stranger, binding("https://unknown.example"))]],
    ["malformed", ["not a token"]],
    ["malformed", [await sign(root, { ...binding(), scope: "workload.admit" })]],
    ["malformed", Array<string>(17).fill(good)],
  ];
  for (const [error, delegation] of cases) {
    const fact = await authorityOf(await sign(delegate, { ...binding(DELEGATE), delegation }));
    t.like(fact, { status: "verified", delegation_error: error });
  }
  t.like(await authorityOf(await sign(delegate, { ...binding(DELEGATE), delegation: [1] })), {
    status: "rejected",
    error: "malformed",
  });
});

test("hostile tokens are rejected, never thrown on", async (t) => {
  const good = await sign(root, binding());
  const [header, payload, signature] = good.split(".") as [string, string, string];
  const hmac = async (alg: string) => {
    const key = new TextEncoder().encode(JSON.stringify(root.jwk));
    return new CompactSign(base64url.decode(payload)).setProtectedHeader({ alg, kid: "root-1" }).sign(key);
  };
  const cases: [error: string, token: string][] = [
    ["malformed", ""],
    ["malformed", "a.b"],
    ["malformed", `${good}.x`],
    ["malformed", `${good}\n`],
    ["malformed", ` ${good}`],
    ["malformed", `${header}.${payload}.`],
    ["malformed", "a".repeat(70_000)],
    ["malformed", `${header}.${part("[]")}.${signature}`],
    ["malformed", await sign(root, '{"issuer":"https://a.example","issuer":"https://root.example"}')],
    ["malformed", `${part(`{"alg":"EdDSA","alg":"none"}`)}.${payload}.${signature}`],
    ["malformed", `${part({ alg: "EdDSA", crit: ["exp"], exp: 1 })}.${payload}.${signature}`],
    ["malformed", `${part({ alg: "EdDSA", b64: false })}.${payload}.${signature}`],
    ["malformed", `${part({ alg: "EdDSA", kid: 5 })}.${payload}.${signature}`],
    ["malformed", `${header}.${part({ ...binding(), issuer: 5 })}.${signature}`],
    ["malformed", await sign(root, { ...binding(), valid_to: "never" })],
    ["malformed", await sign(root, { ...binding(), subject: undefined })],
    ["algorithm", `${part({ alg: "none" })}.${payload}.AA`],
    ["algorithm", await hmac("HS256")],
    ["algorithm", `${part({ alg: "__proto__" })}.${payload}.${signature}`],
    ["algorithm", `${part({ alg: "ES256", kid: "root-1" })}.${payload}.${signature}`],
    ["issuer", await sign(root, binding("https://unknown.example"))],
    ["issuer", await sign(root, binding("__proto__"))],
    ["issuer", await sign(attester, binding(ATTESTER))],
    ["signature", await sign(stranger, binding())],
    ["signature", await sign(stranger, binding(), { kid: undefined })],
    ["signature", await sign(stranger, binding(), { jwk: stranger.jwk })],
    [
      "signature",
      await sign(stranger, binding(), { jku: "https://evil.example/jwks", x5u: "https://evil.example", x5c: ["AA=="] }),
    ],
    ["signature", await sign(root, binding(), { kid: "attester-1" })],
    ["signature", await sign(root, binding(), { kid: "../../dev/null" })],
    ["algorithm", await sign(root, binding(STATE), { kid: undefined })],
    ["signature", `${header}.${part({ ...binding(), subject: "evil" })}.${signature}`],
    ["signature", good.slice(0, -4)],
  ];
  for (const [error, token] of cases) {
    const fact = await authorityOf(token);
    t.like(fact, { status: "rejected", error, subject: null, delegation: [] } as never, token.slice(0, 200));
  }
  t.is(({} as { workload?: unknown }).workload, undefined);
});

test("keys are found by kid, by thumbprint, or by trying those of the issuer", async (t) => {
  const { used } = (await trust.verify({ ...bareRequest(), authority: await sign(root, binding()) }, against))!;
  for (const kid of [used[0]!.thumbprint, undefined])
    t.is((await authorityOf(await sign(root, binding(), { kid }))).status, "verified");
});

test("attestation tokens", async (t) => {
  const expected = {
    form: "token",
    status: "verified",
    error: null,
    issuer: ATTESTER,
    report_ref: "r-1",
    platform_type: "amd-sev-snp",
    result: "pass",
    measured_at_ms: nowMs - 60_000,
    debuggable: false,
  } as const;
  t.deepEqual(await attestationOf(await sign(attester, evidence())), expected);
  const { report_ref: _r, result: _s, debuggable: _d, nonce: _n, iat: _i, ...bare } = evidence();
  const eat = {
    ...bare,
    jti: "r-1",
    measured_at: "2026-11-25T07:59:00Z",
    dbgstat: "disabled",
    eat_nonce: ["x", "c-1"],
    submods: { cpu: { "ear.status": "affirming" } },
  };
  t.deepEqual(await attestationOf(await sign(attester, eat)), expected);
  t.is((await attestationOf(await sign(attester, { ...eat, dbgstat: "enabled" }))).debuggable, true);
  t.is((await attestationOf(await sign(attester, { ...eat, dbgstat: 0, debuggable: false }))).debuggable, true);
  t.is(
    (
      await attestationOf(
        await sign(attester, {
          ...eat,
          submods: { cpu: { "ear.status": "affirming" }, gpu: { "ear.status": "warning" } },
        }),
      )
    ).result,
    "fail",
  );
  t.like(await attestationOf(await sign(attester, bare)), {
    status: "verified",
    report_ref: null,
    result: null,
    measured_at_ms: null,
    debuggable: null,
  });
});

test("attestation tokens that don't hold", async (t) => {
  const cases: [error: string, payload: object][] = [
    ["nonce", { ...evidence(), nonce: "c-2" }],
    ["nonce", { ...evidence(), eat_nonce: "c-2" }],
    ["window", { ...evidence(), exp: nowMs / 1000 }],
    ["window", { ...evidence(), nbf: nowMs / 1000 + 61 }],
    ["malformed", { ...evidence(), exp: "tomorrow" }],
    ["malformed", { ...evidence(), result: "PASS" }],
    ["malformed", { ...evidence(), debuggable: "no" }],
    ["malformed", { ...evidence(), dbgstat: "perhaps" }],
    ["malformed", { ...evidence(), nonce: 5 }],
    ["malformed", { ...evidence(), iat: 9e12 }],
    ["malformed", { ...evidence(), report_ref: null }],
    ["malformed", { ...evidence(), iss: undefined }],
    ["issuer", { ...evidence(), iss: ROOT }],
  ];
  for (const [error, payload] of cases) {
    const fact = await attestationOf(await sign(attester, payload));
    t.like(fact, { status: "rejected", error, result: null, report_ref: null } as never, JSON.stringify(payload));
  }
  t.like(await attestationOf(await sign(attester, evidence()), { nowMs, nonce: undefined }), { error: "nonce" });
  t.like(await attestationOf(await sign(root, { ...evidence(), iss: ROOT })), { error: "issuer" });
  const { fact, used } = await trust.verifyAttestation(await sign(attester, evidence()), against);
  t.is(fact.status, "verified");
  t.is(used[0]?.issuer, ATTESTER);
});

test("a token that held is judged again by clock and nonce", async (t) => {
  const token = await sign(attester, { ...evidence(), exp: nowMs / 1000 + 10 });
  t.is((await attestationOf(token)).status, "verified");
  t.is((await attestationOf(token, { nowMs: nowMs + 10_000, nonce: "c-1" })).error, "window");
  t.is((await attestationOf(token, { nowMs, nonce: "c-2" })).error, "nonce");
  t.is((await attestationOf(token)).status, "verified");
});

test("exceptions keep their order and their digests", async (t) => {
  const good = await sign(state, exception());
  const digest = `sha256:${createHash("sha256").update(good).digest("hex")}`;
  const { facts } = (await trust.verify({ ...bareRequest(), exceptions: ["junk", good] }, against))!;
  t.like(facts.exceptions[0], { status: "rejected", error: "malformed", rules: [] });
  const { not_before: _b, not_after: _a, ...claims } = exception();
  t.deepEqual(facts.exceptions[1], {
    status: "verified",
    error: null,
    digest,
    ...claims,
    not_before_ms: Date.UTC(2026, 0, 1),
    not_after_ms: Date.UTC(2027, 0, 1),
  });
  for (const member of Object.keys(exception())) {
    const broken = await exceptionOf(await sign(state, { ...exception(), [member]: undefined }));
    t.like(broken, { status: "rejected", error: "malformed" }, member);
  }
  t.like(await exceptionOf(await sign(state, binding(STATE))), { status: "rejected", error: "malformed" });
  t.like(await exceptionOf(await sign(attester, { ...exception(), issuer: ATTESTER })), {
    status: "rejected",
    error: "issuer",
  });
});

test("the authority snapshot is the sorted set of public keys used", async (t) => {
  t.deepEqual(authoritySnapshot([]), {
    bytes: new TextEncoder().encode("[]"),
    digest: `sha256:${createHash("sha256").update("[]").digest("hex")}`,
  });
  const request = {
    ...bareRequest(),
    exceptions: [await sign(state, exception())],
    authority: await sign(root, binding()),
  };
  const { used } = (await trust.verify(request, against))!;
  t.is(used.length, 2);
  const snapshot = authoritySnapshot([...used, ...used]);
  t.deepEqual(authoritySnapshot([...used].reverse()), snapshot);
  t.deepEqual(JSON.parse(new TextDecoder().decode(snapshot.bytes)), [
    { issuer: ROOT, jwk: root.jwk },
    { issuer: STATE, jwk: state.jwk },
  ]);
});

test("keys that can verify nothing are a configuration error", async (t) => {
  const pin = (jwk: JWK) => makeTrust({ authorities: [{ issuer: ROOT, jwks: [jwk], root: true }], attesters: [] });
  const refused = (setting: string) => ({ code: "config_invalid", message: new RegExp(`^${setting}`) });
  for (const jwk of [
    { kty: "oct", k: "AAAA" },
    { ...root.jwk, use: "enc" },
    { ...root.jwk, alg: "HS256" },
    { ...root.jwk, x: "!" },
    {},
  ]) {
    await t.throwsAsync(() => pin(jwk as JWK), refused("railgate.authorities\\[0\\].jwks\\[0\\]"));
  }
  const secret = { ...root.jwk, ...(await exportJWK(root.privateKey)) };
  const { used } = (await (
    await pin(secret)
  ).verify({ ...bareRequest(), authority: await sign(root, binding()) }, against))!;
  t.false("d" in used[0]!.jwk);
});
