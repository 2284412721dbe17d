// What evaluations leave behind: evidence that verifies and replays, of every kind of result, by whichever policy answered; whose it is; and none where it cannot be recorded.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from "jose";
import {
  EvaluationFailedError,
  NotFoundError,
  openRailgate,
  tenantCaller,
  TenantForbiddenError,
} from "../../src/library/index.ts";
import { connectRailgate } from "../../src/client/index.ts";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import { signBundleFiles, writeBundleFiles } from "../../src/policy/sign.ts";
import { lookUp, told } from "../../src/library/shown.ts";
import { replay } from "../../src/evidence/replay/replay.ts";
import { bundleBytes, opaBundle, opaRun, runOpa, startOver } from "../http/opa.ts";
import { emptyDir, start, type Started } from "../http/support.ts";

const bundle = await opaBundle();

interface KeyLike {
  readonly keys: Record<string, { key: string; algorithm: string }>;
}

/** As a host opens it. */
const opened = (dataDir: string, more: object = {}) =>
  openRailgate({
    dataDir,
    bundle: { bytes: () => bundleBytes(bundle), ...(bundle.settings as unknown as KeyLike), keyId: "release" },
    ...more,
  });

test("every kind of result is an event with the artifact that it came of, and replays from the database and from an export", async (t) => {
  const dir = emptyDir();
  const gate = await opened(dir);
  const said = await gate.evaluate("app/authz/set", {}, { tenantId: "acme", traceId: "t-1" });
  t.deepEqual((said.result as unknown[]).slice(0, 4), [null, true, 1, 2]);
  await gate.evaluate("app/authz/undef", {}, { tenantId: "acme" });
  await gate.evaluate("app/authz/echo", undefined, { tenantId: "acme" });
  await gate.evaluate("app/authz/echo", null, { tenantId: "acme" });
  const below = await gate.evaluate(["app", "authz", "nested", "list", "0"], { items: [] }, { tenantId: "acme" });
  t.is(below.result, 10);
  const large = await gate.evaluate("app/authz/numbers/exact", { n: 1 }, { tenantId: "acme" });
  t.is(large.result, 12345678901234567890n);
  const failed = await t.throwsAsync(gate.evaluate("app/authz/conflict", { c: 1 }, { tenantId: "acme" }), {
    instanceOf: EvaluationFailedError,
  });
  const { event } = await gate.event(said.decision_id, { tenant_id: "acme" });
  t.like(event, {
    event_type: "policy.evaluate",
    outcome: "accepted",
    subject: "app/authz/set",
    correlation_id: "t-1",
    details: { entrypoint: "app/authz/set", result: "defined", trace_id: "t-1" },
  });
  const artifactOf = async (id: string) =>
    Buffer.from((await gate.artifact(id, { tenant_id: "acme" })).bytes).toString();
  t.regex(
    await artifactOf(said.decision_id),
    /^\{"decision":\[null,true,1,2,.*,"entrypoint":"app\/authz\/set","input":\{\}\}$/,
  );
  t.regex(await artifactOf(below.decision_id), /^\{"decision":\{"keyed":.*"entrypoint":"app\/authz\/nested"/s);
  const { items } = await gate.events({ tenant_id: "acme", order: "asc" });
  t.deepEqual(
    items.map(({ details }) => details!["result"]),
    ["defined", "undefined", "undefined", "defined", "defined", "defined", "error"],
  );
  t.is(await artifactOf(items[1]!.id), '{"entrypoint":"app/authz/undef","input":{},"undefined":true}');
  t.is(await artifactOf(items[2]!.id), '{"entrypoint":"app/authz/echo","undefined":true}');
  t.is(await artifactOf(items[3]!.id), '{"decision":null,"entrypoint":"app/authz/echo","input":null}');
  t.like((await gate.event(failed.decisionId, { tenant_id: "acme" })).event, {
    outcome: "failed",
    details: { error: "policy_error", error_code: "eval_conflict_error" },
  });
  const shown = async (id: string) => told(await lookUp(gate, id, "acme"));
  t.is((await shown(large.decision_id))!.result !== undefined, true);
  t.deepEqual(await shown(items[1]!.id), { request: {}, decision: undefined, refusal: undefined });
  t.like(await shown(items[3]!.id), { request: null, result: null });
  const archive = join(dir, "acme.tar.gz");
  {
    await using exported = await gate.export({ tenant_id: "acme", evidence_profile_id: "ecs-evidence-admissible" });
    const parts: Uint8Array[] = [];
    for await (const part of exported.archive) parts.push(part);
    writeFileSync(archive, Buffer.concat(parts));
  }
  const report = await gate.verify(readFileSync(archive));
  t.true(report.ok, JSON.stringify(report.checks.filter(({ status }) => status !== "passed")));
  await gate.close();
  for (const path of [archive, dir]) {
    const replayed = await replay(path);
    t.like(
      replayed,
      { ok: true, decisions: 7, reproduced: 6, host_refused: { total: 1, decides_now: 0 }, mismatches: [] },
      path,
    );
  }
  const unlike = await replay(archive, { candidate: await otherwise() });
  t.deepEqual(
    unlike.changed.map(({ change, rules }) => [change, ...rules]),
    [["other_result", "app/authz/undef"]],
  );
  t.true(unlike.ok);
});

/** A bundle that answers one of the entrypoints, and otherwise. */
async function otherwise(): Promise<Uint8Array> {
  const dir = emptyDir();
  writeFileSync(join(dir, "p.rego"), "package app.authz\n\nundef := 1\n");
  await opaRun("build", "-t", "wasm", "-e", "app/authz/undef", "-o", join(dir, "b.tar.gz"), join(dir, "p.rego"));
  return readFileSync(join(dir, "b.tar.gz"));
}

test("our own law is evaluated and nothing is enacted; a result that was altered does not replay", async (t) => {
  const served = await start();
  const { json } = await served.call("POST", "/v1/data/railgate/admission/decision", {
    body: { input: { request: { workload: { workload_id: "w", tenant_id: "acme" } } } },
  });
  t.is(json.result.outcome, "refused");
  t.deepEqual((await served.call("GET", "/v1/workloads")).json.items, []);
  const metrics = (await served.call("GET", "/metrics")).text;
  t.regex(metrics, /^railgate_evaluations_total\{entrypoint="railgate\/admission\/decision",result="defined"\} 1/m);
  t.notRegex(metrics, /^railgate_decisions_total\{/m);
  t.regex(metrics, /^http_request_duration_seconds_count\{code="200",handler="v1\/data",method="post"\} 1/m);
  await served.close();
  const report = await replay(join(served.dir, "data"));
  t.like(report, { ok: true, decisions: 1, reproduced: 1 });
});

test("without a policy each evaluation is refused on record", async (t) => {
  const served = await start({}, { bundle: { bytes: () => Buffer.from("no bundle"), keys: { keys: [] } } });
  const { status, json } = await served.call("POST", "/v1/data/any/thing", { body: { input: {} } });
  t.is(status, 500);
  t.like(json, { code: "internal_error", errors: [{ code: "eval_internal_error", message: "no policy is active" }] });
  const { event } = (await served.call("GET", `/v1/events/${json.decision_id}`)).json;
  t.like(event, { event_type: "policy.evaluate", outcome: "failed", details: { error: "policy_unavailable" } });
  t.is((await served.call("GET", "/health")).status, 200);
  t.deepEqual((await served.call("GET", "/health?bundles")).json, {
    error: "one or more bundles are not activated: railgate",
  });
  t.deepEqual((await served.call("GET", "/health?plugins")).json, { error: "one or more plugins are not up" });
  t.is((await served.call("GET", "/health?plugins&exclude-plugin=bundle")).status, 200);
  t.regex(
    (await served.call("GET", "/metrics")).text,
    /railgate_evaluations_total\{entrypoint="none",result="error"\} 1/,
  );
  await served.close();
});

test("several bundles answer beside each other, each event naming the one that did", async (t) => {
  const dir = emptyDir();
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  writeFileSync(join(dir, "key.pem"), privateKey.export({ type: "pkcs8", format: "pem" }));
  const pem = publicKey.export({ type: "spki", format: "pem" }) as string;
  const made = async (name: string, value: number) => {
    const sources = join(dir, name);
    mkdirSync(sources);
    writeFileSync(join(sources, "p.rego"), `package ${name}\n\nvalue := ${value}\n\ndecoded := hex.decode(input)\n`);
    writeFileSync(join(sources, ".manifest"), JSON.stringify({ roots: [name], revision: `${name}-1` }));
    const file = join(dir, `${name}.tar.gz`);
    await opaRun(
      "build",
      "-t",
      "wasm",
      "-b",
      sources,
      "-e",
      `${name}/value`,
      "-e",
      `${name}/decoded`,
      "--signing-key",
      join(dir, "key.pem"),
      "-o",
      file,
    );
    return [name, { resource: `file://${file}`, signing: { keyid: "k" } }] as const;
  };
  const bundles = Object.fromEntries([await made("one", 1), await made("two", 2)]);
  const served = await start({}, {}, { bundles, keys: { k: { key: pem, algorithm: "RS256" } } });
  const digests = [];
  for (const [name, value] of [
    ["one", 1],
    ["two", 2],
  ] as const) {
    const { json } = await served.call("POST", `/v1/data/${name}/value?provenance`, { body: { input: 1 } });
    t.is(json.result, value);
    t.deepEqual(json.provenance.bundles, { one: { revision: "one-1" }, two: { revision: "two-1" } });
    digests.push((await served.call("GET", `/v1/events/${json.decision_id}`)).json.event.policy_snapshot_id);
  }
  t.is(new Set(digests).size, 2);
  t.is((await served.call("POST", "/v1/data/three/value", { body: {} })).status, 501);
  await strictly(t, served);
  await served.close();
  t.like(await replay(join(served.dir, "data")), { ok: true, decisions: 6, reproduced: 5, host_refused: { total: 1 } });
});

/** Where all builtins that can fail are the host's, their errors can be heard of, as OPA tells them. */
async function strictly(t: ExecutionContext, served: Started): Promise<void> {
  const decoded = (input: unknown, query: string) =>
    served.call("POST", `/v1/data/one/decoded${query}`, { body: { input } });
  t.is((await decoded("616263", "?strict-builtin-errors")).json.result, "abc");
  t.is((await decoded("616263", "?rule_labels")).json.result, "abc");
  t.deepEqual(Object.keys((await decoded("xyz", "")).json), ["decision_id"]);
  const { status, json } = await decoded("xyz", "?strict-builtin-errors=true");
  t.is(status, 500);
  t.like(json, { code: "internal_error", errors: [{ code: "eval_builtin_error" }] });
  t.regex(json.errors[0].message, /^hex\.decode: /);
}

test("whose evidence it is: the request's own on loopback, the caller's own where callers log in", async (t) => {
  const served = await startOver(bundle);
  const tenantOf = async (path: string, body: object, query = "") => {
    const { json } = await served.call("POST", path, { body });
    const { items } = (await served.call("GET", `/v1/events?event_type=policy.evaluate&limit=1${query}`)).json;
    t.is(items[0].id, json.decision_id);
    return items[0].tenant_id;
  };
  t.is(await tenantOf("/v1/data/app/authz/allow", { input: {} }), "default");
  t.is(await tenantOf("/v1/data/app/authz/allow?tenant_id=acme", { input: {} }), "acme");
  t.is(await tenantOf("/v1/data/app/authz/allow", { input: {}, tenant_id: "beta" }), "beta");
  for (const call of [{ body: { input: {}, tenant_id: "no good" } }, { body: { input: {}, tenant_id: 1 } }])
    t.is((await served.call("POST", "/v1/data/app/authz/allow", call)).status, 400);
  t.is((await served.call("POST", "/v1/data/app/authz/allow?tenant_id=%20", { body: {} })).status, 400);
  const acme = served.railgate.as(tenantCaller("acme", "test"));
  await t.throwsAsync(acme.evaluate("app/authz/allow", {}, { tenantId: "beta" }), { instanceOf: TenantForbiddenError });
  const { decision_id } = await acme.evaluate("app/authz/allow", {});
  t.is((await acme.event(decision_id)).event.tenant_id, "acme");
  await served.close();
});

test("where callers log in, strangers are OPA's 401 and another tenant's name its 403", async (t) => {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: "k", alg: "ES256" }] };
  const jwt = { jwks, issuer: "https://login.example", audience: "railgate" };
  const served = await startOver(bundle, { authentication: { jwt } });
  const token = await new SignJWT({ tenant_id: "acme", sub: "a" })
    .setProtectedHeader({ alg: "ES256", kid: "k" })
    .setIssuer(jwt.issuer)
    .setAudience(jwt.audience)
    .setExpirationTime("1h")
    .sign(privateKey);
  const headers = { authorization: `Bearer ${token}` };
  const path = "/v1/data/app/authz/allow";
  const stranger = await served.call("POST", path, { body: {} });
  t.is(stranger.status, 401);
  t.is(stranger.json.code, "unauthorized");
  t.truthy(stranger.headers["www-authenticate"]);
  const other = await served.call("POST", `${path}?tenant_id=beta`, { headers, body: {} });
  t.is(other.status, 403);
  t.is(other.json.code, "unauthorized");
  t.is((await served.call("POST", path, { headers, body: {} })).status, 200);
  t.deepEqual((await served.call("GET", "/health?bundles")).json, {});
  await served.close();
});

test("the client is answered as the library is", async (t) => {
  const served = await startOver(bundle);
  await using remote = connectRailgate({ url: served.url, retryForMs: 0 });
  for (const railgate of [served.railgate, remote]) {
    t.deepEqual((await railgate.evaluate("app/authz/echo", { a: 1 })).result, { a: 1 });
    t.is((await railgate.evaluate("app/authz/echo", null)).result, null);
    t.false("result" in (await railgate.evaluate("app/authz/echo")));
    t.is((await railgate.evaluate(["app", "authz", "nested", "set", "x/y"], { items: ["x/y"] })).result, "x/y");
    t.is((await railgate.evaluate("app/authz/numbers/exact", { n: 1 })).result, 12345678901234567890n);
    await t.throwsAsync(railgate.evaluate("app/nope", {}), { instanceOf: NotFoundError, code: "entrypoint_unknown" });
    const failed = await t.throwsAsync(railgate.evaluate("app/authz/conflict", { c: 1 }), {
      instanceOf: EvaluationFailedError,
    });
    t.is(failed.faults[0]!.code, "eval_conflict_error");
    t.is((await railgate.event(failed.decisionId)).event.outcome, "failed");
    const mixed = await railgate.evaluateAll(
      "app/authz/conflict",
      { bad: {}, good: { c: false } },
      { commonInput: { c: 1 } },
    );
    t.true(mixed.responses["bad"] instanceof EvaluationFailedError);
    t.deepEqual(Object.keys(mixed.responses["good"]!), ["decision_id"]);
    const all = await railgate.evaluateAll("app/authz/conflict", { bad: { c: 1 } });
    t.true(all.responses["bad"] instanceof EvaluationFailedError);
  }
  await served.close();
});

test("a bundle that Railgate packs and signs runs in OPA", async (t) => {
  const dir = emptyDir();
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  const signer = { privateKey, algorithm: "ES256", keyId: "k" };
  const packed = writeBundleFiles(await signBundleFiles(await readBundleFiles(bundleBytes(bundle)), signer));
  const file = join(dir, "packed.tar.gz");
  writeFileSync(file, packed);
  writeFileSync(join(dir, "public.pem"), await exportSPKI(publicKey));
  const verified = [
    "--verification-key",
    join(dir, "public.pem"),
    "--verification-key-id",
    "k",
    "--signing-alg",
    "ES256",
  ];
  const opa = await runOpa(dir, ["--bundle", file, ...verified]);
  const { json } = await opa.call("POST", "/v1/data/app/authz/allow", { body: { input: { user: "root" } } });
  await opa.close();
  t.deepEqual(json, { result: true });
});

test("where evidence cannot be recorded there is no answer: 503, and certainly nothing on record", async (t) => {
  const dir = emptyDir();
  const gate = await opened(dir, { queueMax: 1 });
  const many = await Promise.allSettled(
    Array.from({ length: 20 }, () => gate.evaluate("app/authz/allow", { user: "alice" })),
  );
  const refused = many.filter((each) => each.status === "rejected");
  t.true(refused.length > 0);
  for (const { reason } of refused) t.like(reason, { code: "evidence_unavailable", recorded: "no" });
  await gate.close();
});
