// Tokens: what holds, and every way in which a hostile one must not.
import test from "ava";
import { createHash } from "node:crypto";
import fc from "fast-check";
import {
  base64url,
  CompactSign,
  exportJWK,
  generateKeyPair,
  type CompactJWSHeaderParameters,
  type CryptoKey,
  type JWK,
} from "jose";
import { SAYS_NO_MORE } from "../../src/core/attestation.ts";
import { NO_TRUST } from "../../src/core/facts.ts";
import { SIGNATURE_ALGORITHMS } from "../../src/core/algorithms.ts";
import { authoritySnapshot, makeTrust } from "../../src/trust/trust.ts";
import { bareRequest } from "../core/requests.ts";

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);

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

/** Signed as what it is: a binding, a link of a chain, an exception. */
const TYPES = {
  binding: "railgate-authority+jws",
  link: "railgate-delegation+jws",
  exception: "railgate-exception+jws",
};
const bound = (by: Signer, payload: unknown, header: object = {}) =>
  sign(by, payload, { typ: TYPES.binding, ...header });
const linked = (by: Signer, payload: unknown, header: object = {}) => sign(by, payload, { typ: TYPES.link, ...header });
const excepted = (by: Signer, payload: unknown, header: object = {}) =>
  sign(by, payload, { typ: TYPES.exception, ...header });

const part = (value: unknown): string => base64url.encode(typeof value === "string" ? value : JSON.stringify(value));

const binding = (issuer = ROOT) => ({
  issuer,
  tenant_id: "acme",
  subject: "payments",
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
  const { facts, used } = (await trust.verify({ ...bareRequest(), authority: await bound(root, binding()) }, against))!;
  t.deepEqual(facts.authority, {
    status: "verified",
    error: null,
    issuer: ROOT,
    tenant_id: "acme",
    subject: "payments",
    scope: ["workload.admit"],
    valid_from_ms: Date.UTC(2026, 0, 1),
    valid_to_ms: Date.UTC(2027, 0, 1),
    delegation: [],
    delegation_error: null,
    until_ms: Date.UTC(2027, 0, 1),
  });
  t.deepEqual(
    used.map(({ issuer, jwk }) => ({ issuer, jwk })),
    [{ issuer: ROOT, jwk: root.jwk }],
  );
  t.deepEqual(facts.attestation, NO_TRUST.attestation);
});

test("a binding by no root needs a chain from one", async (t) => {
  t.like(await authorityOf(await bound(state, binding(STATE))), { status: "rejected", error: "issuer" });
  t.like(await authorityOf(await bound(state, { ...binding(STATE), delegation: [] })), {
    status: "rejected",
    error: "issuer",
  });
  const links = [
    await linked(root, { ...binding(), subject: STATE }),
    await linked(state, { ...binding(STATE), subject: DELEGATE }),
  ];
  const fact = await authorityOf(await bound(delegate, { ...binding(DELEGATE), delegation: links }));
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
  const good = await linked(root, { ...binding(), subject: DELEGATE });
  const cases: [error: string, links: string[]][] = [
    ["root", [await linked(state, binding(STATE))]],
    ["root", [await linked(state, binding(STATE)), good]],
    ["signature", [await linked(stranger, binding())]],
    ["signature", [good, await linked(stranger, binding())]],
    ["signature", [`${part({ alg: "none" })}.${part(binding())}.AA`]],
    ["issuer", [await linked(stranger, binding("https://unknown.example"))]],
    ["malformed", ["not a token"]],
    ["malformed", [await linked(root, { ...binding(), scope: "workload.admit" })]],
    ["malformed", Array<string>(9).fill(good)],
    ["type", [await bound(root, { ...binding(), subject: DELEGATE })]],
    ["type", [good, await sign(state, { ...binding(STATE), subject: DELEGATE })]],
  ];
  for (const [error, delegation] of cases) {
    const fact = await authorityOf(await bound(delegate, { ...binding(DELEGATE), delegation }));
    t.like(fact, { status: "verified", delegation_error: error });
  }
  t.like(await authorityOf(await bound(delegate, { ...binding(DELEGATE), delegation: [1] })), {
    status: "rejected",
    error: "malformed",
  });
});

test("hostile tokens are rejected, never thrown on", async (t) => {
  const good = await bound(root, binding());
  const [header, payload, signature] = good.split(".") as [string, string, string];
  const hmac = async (alg: string) => {
    const key = new TextEncoder().encode(JSON.stringify(root.jwk));
    return new CompactSign(base64url.decode(payload))
      .setProtectedHeader({ alg, kid: "root-1", typ: TYPES.binding })
      .sign(key);
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
    ["malformed", await bound(root, '{"issuer":"https://a.example","issuer":"https://root.example"}')],
    ["malformed", `${part(`{"alg":"EdDSA","alg":"none"}`)}.${payload}.${signature}`],
    ["malformed", `${part({ alg: "EdDSA", crit: ["exp"], exp: 1 })}.${payload}.${signature}`],
    ["malformed", `${part({ alg: "EdDSA", b64: false })}.${payload}.${signature}`],
    ["malformed", `${part({ alg: "EdDSA", kid: 5 })}.${payload}.${signature}`],
    ["malformed", `${header}.${part({ ...binding(), issuer: 5 })}.${signature}`],
    ["malformed", await bound(root, { ...binding(), valid_to: "never" })],
    ["malformed", await bound(root, { ...binding(), subject: undefined })],
    ["algorithm", `${part({ alg: "none" })}.${payload}.AA`],
    ["algorithm", await hmac("HS256")],
    ["algorithm", `${part({ alg: "__proto__" })}.${payload}.${signature}`],
    ["algorithm", `${part({ alg: "ES256", kid: "root-1", typ: TYPES.binding })}.${payload}.${signature}`],
    ["issuer", await bound(root, binding("https://unknown.example"))],
    ["issuer", await bound(root, binding("__proto__"))],
    ["issuer", await bound(attester, binding(ATTESTER))],
    ["signature", await bound(stranger, binding())],
    ["signature", await bound(stranger, binding(), { kid: undefined })],
    ["signature", await bound(stranger, binding(), { jwk: stranger.jwk })],
    [
      "signature",
      await bound(stranger, binding(), {
        jku: "https://evil.example/jwks",
        x5u: "https://evil.example",
        x5c: ["AA=="],
      }),
    ],
    ["signature", await bound(root, binding(), { kid: "attester-1" })],
    ["signature", await bound(root, binding(), { kid: "../../dev/null" })],
    ["algorithm", await bound(root, binding(STATE), { kid: undefined })],
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
  const { used } = (await trust.verify({ ...bareRequest(), authority: await bound(root, binding()) }, against))!;
  for (const kid of [used[0]!.thumbprint, undefined])
    t.is((await authorityOf(await bound(root, binding(), { kid }))).status, "verified");
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
    format: "railgate",
    ...SAYS_NO_MORE,
    nonce: { form: "correlation", ok: true },
  } as const;
  const digestOf = (token: string) =>
    `sha256:${createHash("sha256")
      .update(token.slice(0, token.lastIndexOf(".")))
      .digest("hex")}`;
  const own = await sign(attester, evidence());
  t.deepEqual(await attestationOf(own), { ...expected, token_digest: digestOf(own) });
  const { report_ref: _r, result: _s, debuggable: _d, nonce: _n, iat: _i, ...bare } = evidence();
  const eat = {
    ...bare,
    jti: "r-1",
    measured_at: "2026-11-25T07:59:00Z",
    dbgstat: "disabled",
    eat_nonce: ["x", "c-1"],
    submods: { cpu: { "ear.status": "affirming" } },
  };
  const other = await sign(attester, eat);
  t.deepEqual(await attestationOf(other), { ...expected, token_digest: digestOf(other) });
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
  const good = await excepted(state, exception());
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
    root: false,
    may_except: false,
    links: 0,
    from_ms: Date.UTC(2026, 0, 1),
    until_ms: Date.UTC(2027, 0, 1),
  });
  for (const member of Object.keys(exception())) {
    const broken = await exceptionOf(await excepted(state, { ...exception(), [member]: undefined }));
    t.like(broken, { status: "rejected", error: "malformed" }, member);
  }
  t.like(await exceptionOf(await excepted(state, binding(STATE))), { status: "rejected", error: "malformed" });
  t.like(await exceptionOf(await excepted(attester, { ...exception(), issuer: ATTESTER })), {
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
    exceptions: [await excepted(state, exception())],
    authority: await bound(root, binding()),
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

test("the authority snapshot names the tokens that verified, behind the keys", async (t) => {
  const digest = (token: string) => `sha256:${createHash("sha256").update(token).digest("hex")}`;
  const token = await sign(attester, { ...evidence(), result: "fail" });
  const { used, materials } = (await trust.verify({ ...bareRequest(), attestation: { token } }, against))!;
  const snapshot = authoritySnapshot(used, [{ kind: "trusted_root", digest: digest("") }, ...materials, ...materials]);
  t.deepEqual(JSON.parse(new TextDecoder().decode(snapshot.bytes)), [
    { issuer: ATTESTER, jwk: attester.jwk },
    { digest: digest(token), kind: "attestation_token" },
    { digest: digest(""), kind: "trusted_root" },
  ]);
  const forged = (await trust.verify(
    { ...bareRequest(), attestation: { token: `${token.slice(0, -8)}AAAAAAAA` } },
    against,
  ))!;
  t.deepEqual([forged.used, forged.materials], [[], []]);
});

test("none of the three kinds is ever taken for another, nor one without a type for any", async (t) => {
  // Claims that would do for each kind, signed by a root.
  const claims = { ...binding(), ...exception(), issuer: ROOT, iss: ROOT, result: "pass", iat: nowMs / 1000 };
  const both = await makeTrust({
    authorities: [{ issuer: ROOT, jwks: [root.jwk], root: true }],
    attesters: [{ issuer: ROOT, jwks: [root.jwk] }],
  });
  const typs = [...Object.values(TYPES), "JWT", "", undefined, "application/railgate-authority+jws", 5];
  for (const typ of typs) {
    const token = await sign(root, claims, { typ });
    const request = { ...bareRequest(), authority: token, exceptions: [token], attestation: { token } };
    const { facts } = (await both.verify(request, { nowMs, nonce: undefined }))!;
    const chained = await bound(root, { ...claims, delegation: [token] });
    const { facts: inChain } = (await both.verify({ ...bareRequest(), authority: chained }, against))!;
    const taken = [
      ["binding", facts.authority!.status === "verified"],
      ["link", inChain.authority!.delegation[0]!.status === "verified"],
      ["exception", facts.exceptions[0]!.status === "verified"],
      ["attestation", facts.attestation!.status === "verified"],
    ].flatMap(([kind, held]) => (held ? [kind] : []));
    const expected = Object.keys(TYPES).filter((kind) => TYPES[kind as keyof typeof TYPES] === typ);
    const other = typ === undefined || typ === "JWT" || typ === "" ? ["attestation"] : [];
    t.deepEqual(taken, [...expected, ...other], String(typ));
  }
});

test("who may grant an exception: a root, or the end of a sound chain with the scope to", async (t) => {
  const link = (by: Signer, issuer: string, subject: string, over: object = {}) =>
    linked(by, {
      ...binding(issuer),
      tenant_id: undefined,
      subject,
      scope: ["workload.admit", "workload.except"],
      ...over,
    });
  const toState = await link(root, ROOT, STATE);
  const toDelegate = await link(state, STATE, DELEGATE);
  const granted = async (by: Signer, issuer: string, delegation: unknown) =>
    exceptionOf(await excepted(by, { ...exception(), issuer, delegation }));
  t.like(await granted(root, ROOT, undefined), { root: true, may_except: true, links: 0 });
  t.like(await granted(state, STATE, undefined), { root: false, may_except: false });
  t.like(await granted(state, STATE, []), { root: false, may_except: false });
  t.like(await granted(state, STATE, [toState]), { root: false, may_except: true, links: 1 });
  t.like(await granted(delegate, DELEGATE, [toState, toDelegate]), { root: false, may_except: true, links: 2 });
  const unsound: [why: string, by: Signer, issuer: string, links: string[]][] = [
    ["begins at no root", delegate, DELEGATE, [toDelegate]],
    ["in the wrong order", delegate, DELEGATE, [toDelegate, toState]],
    ["empowers another", delegate, DELEGATE, [toState]],
    ["breaks in the middle", delegate, DELEGATE, [toState, await link(root, ROOT, DELEGATE)]],
    ["lacks the scope", state, STATE, [await link(root, ROOT, STATE, { scope: ["workload.admit"] })]],
    [
      "loses the scope",
      delegate,
      DELEGATE,
      [toState, await link(state, STATE, DELEGATE, { scope: ["workload.admit"] })],
    ],
    ["widens", delegate, DELEGATE, [toState, await link(state, STATE, DELEGATE, { scope: ["workload.except", "*"] })]],
    ["is another tenant's", state, STATE, [await link(root, ROOT, STATE, { tenant_id: "globex" })]],
    ["is signed by a stranger", state, STATE, [await link(stranger, ROOT, STATE)]],
    ["is a binding", state, STATE, [await bound(root, { ...binding(), subject: STATE, scope: ["workload.except"] })]],
    ["is no chain of a root's either", root, ROOT, ["junk"]],
  ];
  for (const [why, by, issuer, links] of unsound) t.false((await granted(by, issuer, links)).may_except, why);
  const short = await link(root, ROOT, STATE, { valid_from: "2026-05-01T00:00:00Z", valid_to: "2026-12-01T00:00:00Z" });
  t.like(await granted(state, STATE, [short]), {
    may_except: true,
    from_ms: Date.UTC(2026, 4, 1),
    until_ms: Date.UTC(2026, 11, 1),
  });
  t.like(await exceptionOf(await excepted(root, { ...exception(), issuer: ROOT, workload_id: "*" })), {
    status: "rejected",
    error: "malformed",
  });
  const twice = await excepted(root, { ...exception(), issuer: ROOT });
  const { facts } = (await trust.verify({ ...bareRequest(), exceptions: [twice, twice, "x", twice] }, against))!;
  t.is(facts.exceptions.length, 2);
});

test("a binding ends with the first of its links", async (t) => {
  const links = [await linked(root, { ...binding(), subject: STATE, valid_to: "2026-12-01T00:00:00Z" })];
  const fact = await authorityOf(await bound(state, { ...binding(STATE), delegation: links }));
  t.like(fact, { valid_to_ms: Date.UTC(2027, 0, 1), until_ms: Date.UTC(2026, 11, 1) });
});

test("what any part of an attestation says against the whole counts, at any depth", async (t) => {
  const deep = (claims: object) => ({ submods: { a: { submods: { b: { submods: { c: claims } } } } } });
  const said = async (claims: object) => attestationOf(await sign(attester, { ...evidence(), ...claims }));
  for (const within of [(claims: object) => claims, (claims: object) => ({ submods: { a: claims } }), deep]) {
    t.is((await said({ debuggable: undefined, ...within({ dbgstat: "enabled" }) })).debuggable, true);
    t.is((await said({ debuggable: undefined, ...within({ dbgstat: "disabled" }) })).debuggable, false);
  }
  t.is((await said(deep({ debuggable: true }))).debuggable, true);
  t.is((await said({ debuggable: undefined })).debuggable, null);
  for (const bad of ["enabled ", "ENABLED", 7, null, {}, "false"])
    t.is((await said(deep({ dbgstat: bad }))).error, "malformed");
  for (const bad of ["false", 0, null]) t.is((await said(deep({ debuggable: bad }))).error, "malformed");

  const contradictions: object[] = [
    { "ear.status": "contraindicated" },
    { "ear.status": "warning" },
    { ear_status: "none" },
    { ear_status: 96 },
    { "ear.status": "affirming", ear_status: "contraindicated" },
    { "ear.status": "affirming", "ear.trustworthiness-vector": { hardware: 96 } },
    { "ear.status": "affirming", "ear.trustworthiness-vector": { hardware: -1 } },
    { "ear.status": "affirming", ear_trustworthiness_vector: { hardware: 2, executables: 33 } },
    { "ear.trustworthiness-vector": { "sourced-data": 99 } },
    { "ear.status": "splendid" },
    { "ear.trustworthiness-vector": { hardware: "2" } },
    { result: "fail" },
    { result: true },
  ];
  for (const claims of contradictions) {
    for (const where of [{ submods: { a: claims } }, deep(claims)])
      t.like(await said(where), { status: "rejected", error: "malformed", result: null }, JSON.stringify(where));
    t.not((await said({ result: undefined, ...deep(claims) })).result, "pass", JSON.stringify(claims));
  }
  const fine = { "ear.status": "affirming", "ear.trustworthiness-vector": { hardware: 2, "instance-identity": 0 } };
  t.is((await said({ result: undefined, ...deep(fine) })).result, "pass");
  t.is((await said({ result: undefined, submods: { a: fine, b: {} } })).result, "fail");
  t.is((await said(deep(fine))).result, "pass");
  t.is((await said({ result: "fail", ...deep(fine) })).result, "fail");
  for (const submods of [[], "x", { a: ["JWT", "e30.e30.AA"] }, { a: "e30.e30.AA" }, { a: null }, null])
    t.is((await said({ submods })).error, "malformed");
});

test(`one bad word anywhere in a tree of good ones is never a pass (SEED=${seed})`, async (t) => {
  const good = fc.constantFrom<object>(
    {},
    { dbgstat: "disabled" },
    { debuggable: false },
    { "ear.status": "affirming" },
    { ear_status: 2, ear_trustworthiness_vector: { hardware: 2, configuration: 3 } },
    { result: "pass" },
  );
  const bad = fc.constantFrom<object>(
    { dbgstat: "enabled" },
    { dbgstat: 0 },
    { debuggable: true },
    { debuggable: "false" },
    { "ear.status": "contraindicated" },
    { ear_status: 32 },
    { "ear.trustworthiness-vector": { executables: 96 } },
    { ear_trustworthiness_vector: { hardware: -3 }, "ear.status": "affirming", dbgstat: 99 },
    { result: "fail" },
    { submods: { x: "e30.e30.AA" } },
    { submods: [] },
  );
  const name = fc.stringMatching(/^[a-z]{1,3}$/);
  const treeOf = (depth: number): fc.Arbitrary<object> =>
    depth === 0
      ? good
      : fc
          .tuple(good, fc.dictionary(name, treeOf(depth - 1), { maxKeys: 2 }))
          .map(([claims, submods]) => (Object.keys(submods).length === 0 ? claims : { ...claims, submods }));
  const nodesOf = (node: any): any[] => [node, ...Object.values(node.submods ?? {}).flatMap(nodesOf)];
  await fc.assert(
    fc.asyncProperty(treeOf(4), bad, fc.nat(), fc.boolean(), async (clean, word, at, own) => {
      const claims = { ...evidence(), result: own ? "pass" : undefined, debuggable: undefined };
      const whole = { ...clean, ...claims };
      const fine = await attestationOf(await sign(attester, whole));
      t.is(fine.status, "verified", JSON.stringify(whole));
      t.not(fine.debuggable, true);
      if (own) t.is(fine.result, "pass");
      const spoilt = structuredClone(whole) as any;
      const nodes = nodesOf(spoilt);
      Object.assign(nodes[at % nodes.length], word);
      const fact = await attestationOf(await sign(attester, spoilt));
      t.true(fact.result !== "pass" || fact.debuggable === true, JSON.stringify(spoilt));
    }),
    { seed, numRuns: 150 },
  );
});

test("a token is for whom its attester's audience says", async (t) => {
  const meant = await makeTrust({
    authorities: [],
    attesters: [{ issuer: ATTESTER, jwks: [attester.jwk], audience: "railgate" }],
  });
  const error = async (aud: unknown) =>
    (await meant.verifyAttestation(await sign(attester, { ...evidence(), aud }), against)).fact.error;
  t.is(await error("railgate"), null);
  t.is(await error(["other", "railgate"]), null);
  for (const aud of [undefined, "other", "railgate2", [], ["other"]]) t.is(await error(aud), "audience", String(aud));
  for (const aud of [5, null, [5], {}]) t.is(await error(aud), "malformed");
  t.is((await attestationOf(await sign(attester, { ...evidence(), aud: "anyone" }))).status, "verified");
});

test("what states nothing is as if it were not there", async (t) => {
  for (const nothing of ["", " ", "\u2800", "\u3164\u200b", "\u00ad\u034f"]) {
    t.is((await attestationOf(await sign(attester, { ...evidence(), report_ref: nothing }))).report_ref, null);
    t.is((await exceptionOf(await excepted(root, { ...exception(), issuer: ROOT, reason: nothing }))).reason, null);
  }
});

test("every algorithm of the table verifies, and keys that can't are passed over", async (t) => {
  for (const alg of SIGNATURE_ALGORITHMS) {
    const by = await signer(alg, "k");
    const encryption = { ...by.jwk, use: "enc", kid: "e" };
    const unknown = { kty: "AKP", alg: "ML-DSA-65", pub: "AA", kid: "u" } as unknown as JWK;
    const jwks = [encryption, unknown, { ...by.jwk, key_ops: ["encrypt"] }, by.jwk];
    const on = await makeTrust({
      authorities: [{ issuer: ROOT, jwks, root: true }],
      attesters: [{ issuer: ATTESTER, jwks }],
    });
    const request = {
      ...bareRequest(),
      authority: await bound(by, binding()),
      attestation: { token: await sign(by, evidence()) },
    };
    const { facts } = (await on.verify(request, against))!;
    t.is(facts.authority!.status, "verified", alg);
    t.is(facts.attestation!.status, "verified", alg);
    const only = await makeTrust({
      authorities: [{ issuer: ROOT, jwks: [{ ...by.jwk, alg }], root: true }],
      attesters: [],
    });
    t.is(
      (await only.verify({ ...bareRequest(), authority: request.authority }, against))!.facts.authority!.error,
      null,
    );
  }
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
    await t.throwsAsync(() => pin(jwk as JWK), refused("railgate.trust.authorities\\[0\\].jwks"));
  }
  const secret = { ...root.jwk, ...(await exportJWK(root.privateKey)) };
  const { used } = (await (
    await pin(secret)
  ).verify({ ...bareRequest(), authority: await bound(root, binding()) }, against))!;
  t.false("d" in used[0]!.jwk);
});
