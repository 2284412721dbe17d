// What signed statements are believed for, over real HTTP: who lifts what, whom a binding admits, until when, and tokens sent again.
import test, { type ExecutionContext } from "ava";
import { CompactSign, exportJWK, generateKeyPair, type CryptoKey, type JWK } from "jose";
import { Clock, admissible, start } from "./support.ts";
import { teeRequest, vmRequest } from "../core/requests.ts";

const T0 = Date.UTC(2026, 10, 25, 8);
const clock = new Clock(T0);
const at = (ms: number) => new Date(ms).toISOString();
const HOUR = 3_600_000;

const [ROOT, STATE, ATTESTER] = ["https://root.example", "https://state.example", "https://attester.example"];
type Signer = { key: CryptoKey; jwk: JWK };
async function signer(): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  return { key: privateKey, jwk: { ...(await exportJWK(publicKey)), kid: "k" } };
}
const [root, state, attester] = await Promise.all([signer(), signer(), signer()]);
const encryption: JWK = {
  ...(await exportJWK((await generateKeyPair("ECDH-ES", { extractable: true })).publicKey)),
  use: "enc",
};

const served = await start(
  {
    trust: {
      authorities: [
        {
          issuer: ROOT,
          jwks: { keys: [encryption, root.jwk, { kty: "AKP", alg: "ML-DSA-65", pub: "AA" }] },
          root: true,
        },
        { issuer: STATE, jwks: { keys: [state.jwk] } },
      ],
      attesters: [{ issuer: ATTESTER, jwks: { keys: [encryption, attester.jwk] }, audience: "railgate" }],
    },
  },
  { clock: clock.shared },
);
test.after.always(() => served.close());

const sign = (by: Signer, typ: string, payload: object) =>
  new CompactSign(Buffer.from(JSON.stringify(payload)))
    .setProtectedHeader({ alg: "EdDSA", kid: "k", typ })
    .sign(by.key);
const admit = async (body: object) => (await served.call("POST", "/v1/admissions", { body })).json;
const show = async (id: string, tenant = "acme") =>
  (await served.call("GET", `/v1/workloads/${encodeURIComponent(id)}?tenant_id=${encodeURIComponent(tenant)}`)).json;
const attest = async (id: string, body: object) =>
  (await served.call("POST", `/v1/workloads/${id}/attestations`, { body: { tenant_id: "acme", ...body } })).json;
const lifecycle = async (id: string, transition: string) =>
  served.call("POST", `/v1/workloads/${id}/lifecycle`, { body: { tenant_id: "acme", transition } });

const window = { valid_from: at(T0 - HOUR), valid_to: at(T0 + 10 * HOUR) };
const binding = (by: Signer, over: object = {}) =>
  sign(by, "railgate-authority+jws", {
    issuer: ROOT,
    tenant_id: "acme",
    subject: "*",
    scope: ["workload.admit"],
    ...window,
    ...over,
  });
const link = (by: Signer, over: object = {}) =>
  sign(by, "railgate-delegation+jws", {
    issuer: ROOT,
    subject: STATE,
    scope: ["workload.admit", "workload.except"],
    ...window,
    ...over,
  });
const exception = (by: Signer, over: object = {}) =>
  sign(by, "railgate-exception+jws", {
    issuer: ROOT,
    tenant_id: "acme",
    workload_id: "w",
    rules: ["CTR-01"],
    not_before: at(T0 - HOUR),
    not_after: at(T0 + 9 * HOUR),
    reason: "until the node is renewed",
    ...over,
  });

/** Refused for CTR-01 alone. */
function unhardened(id: string): any {
  const request = admissible(id) as any;
  request.workload.envelope.container.runtime = "runc";
  return request;
}

const rulesOf = ({ decision }: any): string[] => decision.refusals.map(({ rule }: any) => rule);

async function refusedBy(t: ExecutionContext, body: object, rules: string[], about: string): Promise<void> {
  const answer = await admit(body);
  t.deepEqual([answer.decision.outcome, rulesOf(answer)], ["refused", rules], about);
  t.is(answer.event.event_type, "workload.refuse", about);
}

test.serial("an exception counts only by who may grant it", async (t) => {
  clock.ms = T0;
  const request = unhardened("w");
  const chained = async (over: object = {}, links = [link(root, over)]) =>
    exception(state, { issuer: STATE, delegation: await Promise.all(links) });
  await refusedBy(
    t,
    { ...request, exceptions: [await exception(state, { issuer: STATE })] },
    ["CTR-01"],
    "no root, no chain",
  );
  await refusedBy(
    t,
    { ...request, exceptions: [await chained({ scope: ["workload.admit"] })] },
    ["CTR-01"],
    "a chain without the scope",
  );
  await refusedBy(
    t,
    { ...request, exceptions: [await chained({ tenant_id: "globex" })] },
    ["CTR-01"],
    "another tenant's chain",
  );
  await refusedBy(
    t,
    { ...request, exceptions: [await chained({ valid_to: at(T0 - 1) })] },
    ["CTR-01"],
    "a chain that has ended",
  );
  await refusedBy(
    t,
    { ...request, exceptions: [await chained({ valid_from: at(T0 + 1) })] },
    ["CTR-01"],
    "one that has not begun",
  );
  await refusedBy(
    t,
    { ...request, exceptions: [await exception(root, { workload_id: "*" })] },
    ["CTR-01"],
    "one for all workloads",
  );
  await refusedBy(
    t,
    { ...request, exceptions: [await exception(root, { reason: "\u2800\u3164" })] },
    ["CTR-01"],
    "one without a reason",
  );
  const untyped = await sign(root, "JWT", { issuer: ROOT, tenant_id: "acme", workload_id: "w", rules: ["CTR-01"] });
  await refusedBy(t, { ...request, exceptions: [untyped] }, ["CTR-01"], "one without its type");

  const given = await exception(root);
  const lifted = await admit({ ...request, exceptions: [given, given, given] });
  t.is(lifted.decision.outcome, "accepted");
  t.is(lifted.decision.exceptions.length, 1, "given thrice, it counts once");
  t.is((await admit({ ...request, exceptions: [await chained()] })).decision.outcome, "accepted");
});

test.serial("the AUT rules only a root lifts", async (t) => {
  clock.ms = T0;
  const request = { ...admissible("w"), authority: await binding(state, { issuer: STATE }) };
  const rules = ["AUT-01", "AUT-02", "AUT-03"];
  const byState = await exception(state, { issuer: STATE, rules, delegation: [await link(root)] });
  await refusedBy(t, { ...request, exceptions: [byState] }, ["AUT-02"], "by a chain");
  t.is((await admit({ ...request, exceptions: [await exception(root, { rules })] })).decision.outcome, "accepted");
});

test.serial("a binding admits its own tenant's workload, by its very name or all", async (t) => {
  clock.ms = T0;
  const named = (workload_id: string, tenant_id: string) => admissible(workload_id, tenant_id);
  const takes = async (token: string, workload: object) =>
    (await admit({ ...workload, authority: token })).decision.outcome === "accepted";
  t.true(await takes(await binding(root), named("payments", "acme")));
  t.true(await takes(await binding(root, { subject: "payments" }), named("payments", "acme")));
  // The names that a binding for acme's payments could be mistaken for, each a workload of another tenant.
  for (const subject of ["acme", "payments", "acme/payments", "*"])
    for (const workload_id of ["acme", "payments", "acme/payments"])
      t.false(await takes(await binding(root, { subject }), named(workload_id, "globex")), `${subject} ${workload_id}`);
  for (const subject of ["acme", "acme/payments", "Payments", "payments/", "pay*", ""])
    t.false(await takes(await binding(root, { subject }), named("payments", "acme")), subject);
  // A link cut out of a binding, for a workload named like its subject.
  t.false(await takes(await link(root, { tenant_id: "acme", subject: "payments" }), named("payments", "acme")));
  t.false(await takes(await exception(root, { workload_id: "payments" }), named("payments", "acme")));
  const widening = await binding(state, {
    issuer: STATE,
    delegation: [await link(root, { scope: ["workload.except"] })],
  });
  t.deepEqual(rulesOf(await admit({ ...named("payments", "acme"), authority: widening })), ["AUT-03"]);
  const elsewhere = await binding(state, { issuer: STATE, delegation: [await link(root, { tenant_id: "globex" })] });
  t.deepEqual(rulesOf(await admit({ ...named("payments", "acme"), authority: elsewhere })), ["AUT-03"]);
});

test.serial("an admission ends with the first of all that it rests on", async (t) => {
  clock.ms = T0;
  const ends = async (id: string, over: object) => {
    const { decision, event } = await admit({ ...unhardened(id), ...over });
    t.is(decision.outcome, "accepted", id);
    t.is((await show(id)).admission.valid_until, event.details.valid_until, "the page says the same");
    return event.details.valid_until;
  };
  const lifts = (id: string, over: object = {}) => exception(root, { workload_id: id, ...over });
  t.is(await ends("e1", { exceptions: [await lifts("e1")] }), at(T0 + 9 * HOUR));
  t.is(
    await ends("e2", { exceptions: [await lifts("e2")], authority: await binding(root, { valid_to: at(T0 + HOUR) }) }),
    at(T0 + HOUR),
  );
  const short = await binding(state, {
    issuer: STATE,
    delegation: [await link(root, { valid_to: at(T0 + 2 * HOUR) })],
  });
  t.is(await ends("e3", { exceptions: [await lifts("e3")], authority: short }), at(T0 + 2 * HOUR), "the end of a link");
  const chained = await exception(state, {
    issuer: STATE,
    workload_id: "e4",
    delegation: [await link(root, { valid_to: at(T0 + 60_000) })],
  });
  t.is(await ends("e4", { exceptions: [chained] }), at(T0 + 60_000), "the end of an exception's link");
  const idle = await lifts("e5", { rules: ["CTR-02"], not_after: at(T0 + 1000) });
  t.is(
    await ends("e5", { exceptions: [await lifts("e5"), idle] }),
    at(T0 + 9 * HOUR),
    "one that lifts nothing ends nothing",
  );
  const { event } = await admit(admissible("e6"));
  t.is(event.details.valid_until, null);
  t.is((await lifecycle("e4", "create")).status, 200);
  clock.ms = T0 + 60_001;
  const late = await lifecycle("e4", "start");
  t.deepEqual([late.status, late.json.code], [409, "admission_expired"]);
});

/** Admitted into a TEE by token; to be attested again every quarter of an hour. */
function enclave(id: string, token: string, over: object = {}): any {
  const request = teeRequest() as any;
  Object.assign(request.workload, { workload_id: id, ...over });
  request.workload.dependencies = ["attestation_service", "key_service"].map((kind) => ({
    dependency_id: kind,
    kind,
    available: true,
    local: true,
  }));
  request.placement.tenancy = "dedicated";
  return { ...request, attestation: { token } };
}
const token = (over: object = {}, typ = "JWT") =>
  sign(attester, typ, {
    iss: ATTESTER,
    aud: "railgate",
    iat: clock.ms / 1000,
    report_ref: "t",
    platform_type: "amd-sev-snp",
    result: "pass",
    debuggable: false,
    ...over,
  });

test.serial("a token sent again moves no deadline on", async (t) => {
  clock.ms = T0;
  const own = await token();
  const first = await admit(enclave("again", own));
  t.is(first.decision.outcome, "accepted");
  t.deepEqual(first.decision.obligations, [{ obligation: "reattest", by: "2026-11-25T08:15:00Z" }]);
  clock.ms = T0 + 5 * 60_000;
  const stale = async (body: object, about: string) => {
    const answer = await attest("again", body);
    t.deepEqual([answer.code, answer.event.details.standing], ["attestation_stale", null], about);
    t.is((await show("again")).attestation.due_by, "2026-11-25T08:15:00Z", about);
  };
  await stale({ token: own }, "the admission's own");
  await stale({ token: await token({ iat: T0 / 1000, report_ref: "other" }) }, "another of the same time");
  await stale({ token: await token({ iat: T0 / 1000 - 1 }) }, "an older one");
  const readmitted = await admit(enclave("again", own));
  t.is(readmitted.decision.outcome, "accepted");
  t.deepEqual(readmitted.decision.obligations, [{ obligation: "reattest", by: "2026-11-25T08:15:00Z" }]);
  t.is((await show("again")).attestation.due_by, "2026-11-25T08:15:00Z");

  // A token that failed once is used, though nothing newer passed.
  const failing = await token({ result: "fail" });
  t.is((await attest("again", { token: failing })).code, "attestation_failed");
  t.is((await attest("again", { token: failing })).code, "attestation_stale");
  const refused = await token();
  t.is(
    (await admit({ ...enclave("again", refused), placement: { tenants_on_host: ["globex"] } })).decision.outcome,
    "refused",
  );
  t.is((await attest("again", { token: refused })).code, "attestation_stale", "used in a refused admission");
  clock.ms += 1000;
  const fresh = await attest("again", { token: await token({ report_ref: "t" }) });
  t.is(fresh.event.outcome, "accepted", "a report reference may be named again");
});

test.serial("a token is read whole: what any part of it says against it counts", async (t) => {
  clock.ms = T0;
  const deep = (claims: object) => ({ submods: { cpu: { submods: { gpu: claims } } } });
  const judged = async (over: object, workload: object = {}, typ?: string) => {
    const { decision } = await admit(enclave("whole", await token({ jti: "whole", ...over }, typ), workload));
    return decision.refusals.map(({ rule, params }: any) => `${rule} ${params.reason}`).join();
  };
  t.is(await judged({}), "");
  t.is(await judged(deep({ dbgstat: "disabled" })), "");
  t.is(await judged(deep({ dbgstat: "enabled" })), "TEE-02 debuggable");
  t.is(await judged(deep({ debuggable: true })), "TEE-02 debuggable");
  t.is(await judged(deep({ "ear.status": "contraindicated" })), "TEE-02 malformed");
  t.is(await judged(deep({ ear_status: "warning" })), "TEE-02 malformed");
  t.is(await judged(deep({ "ear.trustworthiness-vector": { hardware: 97 } })), "TEE-02 malformed");
  t.is(await judged({ aud: "someone-else" }), "TEE-02 audience");
  t.is(await judged({ aud: undefined }), "TEE-02 audience");
  t.is(await judged({}, {}, "railgate-exception+jws"), "TEE-02 type");
  t.is(await judged({ debuggable: undefined }), "", "baseline takes silence");
});

test.serial("silence on the debug state is refused for ncp", async (t) => {
  clock.ms = T0;
  const authority = await binding(root);
  const of = async (over: object) => {
    const vm = vmRequest() as any;
    vm.workload.governance_profile = "ncp";
    vm.workload.workload_id = "silent";
    vm.workload.dependencies = ["hypervisor", "firmware"].map((kind) => ({
      dependency_id: kind,
      kind,
      available: true,
      local: true,
    }));
    const given = await token({ platform_type: "vtpm", nonce: "silent-1", ...over });
    const bound = { ...vm, authority, attestation: { token: given }, correlation_id: "silent-1" };
    return (await admit(bound)).decision.refusals.map(({ params }: any) => params.reason);
  };
  t.deepEqual(await of({}), []);
  t.deepEqual(await of({ nonce: undefined }), [
    "nonce missing (attest with a challenge, or the correlation_id, as nonce)",
  ]);
  t.deepEqual(await of({ debuggable: undefined }), ["debug state not stated"]);
  t.deepEqual(await of({ debuggable: undefined, submods: { vm: { dbgstat: "disabled-since-boot" } } }), []);
});

test.serial("keys that verify nothing are passed over, and said", (t) => {
  const said = served.logs.map((line) => JSON.stringify(line)).filter((line) => line.includes("is passed over"));
  t.is(said.length, 3);
});
