// OPA's own JavaScript client, unchanged, against Railgate: single, default and native batch evaluations, and its classes of errors. And batches as they are on the wire.
import { OPAClient } from "@open-policy-agent/opa";
import { BatchServerError, ClientError, SDKError, ServerError } from "@open-policy-agent/opa/sdk/models/errors";
import test from "ava";
import { opaBundle, startOver } from "./opa.ts";

const bundle = await opaBundle();
const served = await startOver(bundle, { limits: { batch_items_max: 5 } });
test.after.always(() => served.close());
const client = new OPAClient(served.url);

const batch = (body: object, query = "") => served.call("POST", `/v1/batch/data/app/authz/echo${query}`, { body });
const conflicts = (body: object, query = "") =>
  served.call("POST", `/v1/batch/data/app/authz/conflict${query}`, { body });

test("evaluate", async (t) => {
  t.true(await client.evaluate("app/authz/allow", { user: "alice" }));
  t.false(await client.evaluate("app/authz/allow"));
  t.deepEqual(await client.evaluate("app/authz/echo", { a: [1, "x"] }), { a: [1, "x"] });
  t.is(await client.evaluate("app/authz/undef", {}), undefined);
  const result = await client.evaluate<object, string>(
    "app/authz/echo",
    { who: "x" },
    {
      fromResult: (result) => (result as { who: string }).who,
    },
  );
  t.is(result, "x");
});

test("evaluateDefault", async (t) => {
  t.deepEqual(await client.evaluateDefault({ user: "x" }), { hello: "x" });
  const error = await t.throwsAsync(client.evaluateDefault(), { instanceOf: ClientError });
  t.like(error, { code: "undefined_document", message: "document undefined: data.system.main" });
});

test("an evaluation that fails is its ServerError, with the decision's id", async (t) => {
  const error = await t.throwsAsync(client.evaluate("app/authz/conflict", { c: 1 }), { instanceOf: ServerError });
  t.is(error.code, "internal_error");
  t.like(error.errors![0], { code: "eval_conflict_error", location: { row: 13, col: 1 } });
  const event = (await served.call("GET", `/v1/events/${error.decisionId}`)).json.event;
  t.like(event, { event_type: "policy.evaluate", outcome: "failed" });
});

test("what compiled policy cannot do is its SDKError", async (t) => {
  const error = await t.throwsAsync(client.evaluate("app/authz"), { instanceOf: SDKError });
  t.is(error.httpMeta.response.status, 501);
  const filters = client.getFilters("app/authz/allow", {}, { target: "postgresql" });
  t.is((await t.throwsAsync(filters, { instanceOf: SDKError })).httpMeta.response.status, 501);
});

test("evaluateBatch: all well, natively and not by its fallback", async (t) => {
  const inputs = { a: { user: "alice" }, b: { user: "bob" }, c: { user: "root" } };
  t.deepEqual(await client.evaluateBatch("app/authz/allow", inputs), { a: true, b: false, c: true });
  t.false((client as unknown as { opaFallback: boolean }).opaFallback);
  t.deepEqual(await client.evaluateBatch("app/authz/undef", { a: {} }), { a: undefined });
});

test("evaluateBatch: some failed", async (t) => {
  const inputs = { bad: { c: 1 }, good: { c: false } };
  const results = await client.evaluateBatch("app/authz/conflict", inputs);
  t.like(results["bad"], { code: "internal_error", httpStatusCode: "500" });
  t.is(results["good"], undefined);
  await t.throwsAsync(client.evaluateBatch("app/authz/conflict", inputs, { rejectMixed: true }), { any: true });
});

test("evaluateBatch: all failed", async (t) => {
  const failed = client.evaluateBatch("app/authz/conflict", { a: { c: 1 }, b: { c: 2 } });
  const error = await t.throwsAsync(failed, { instanceOf: BatchServerError });
  t.deepEqual(Object.keys(error.responses!).sort(), ["a", "b"]);
  for (const response of Object.values(error.responses!)) t.is(response.code, "internal_error");
});

test("a batch is one commit, its id in each event, each entry with an id of its own", async (t) => {
  const { status, json } = await batch({ inputs: { a: 1, b: null, c: [2] } });
  t.is(status, 200);
  t.deepEqual(Object.keys(json), ["batch_decision_id", "responses"]);
  t.deepEqual(
    Object.entries<{ result: unknown }>(json.responses).map(([key, { result }]) => [key, result]),
    [
      ["a", 1],
      ["b", null],
      ["c", [2]],
    ],
  );
  const ids = Object.values<{ decision_id: string }>(json.responses).map(({ decision_id }) => decision_id);
  t.is(new Set([json.batch_decision_id, ...ids]).size, 4);
  await using store = await served.store();
  const rows = (await Promise.all(ids.map((id) => store.event(id)))).map((row) => row!);
  t.deepEqual(
    rows.map(({ position }) => position - rows[0]!.position),
    [0, 1, 2],
  );
  for (const id of ids)
    t.is((await served.call("GET", `/v1/events/${id}`)).json.event.details.batch_decision_id, json.batch_decision_id);
});

test("common_input is merged into each input that is an object, all the way down, the input's own first", async (t) => {
  const common_input = { a: { x: 1, y: { z: 1 } }, b: 1, c: [1] };
  const { json } = await batch({
    common_input,
    inputs: { own: { a: { y: { w: 2 } }, b: { q: 1 }, c: [2] }, text: "t", none: {} },
  });
  const results = Object.fromEntries(
    Object.entries<{ result: unknown }>(json.responses).map(([key, { result }]) => [key, result]),
  );
  t.deepEqual(results, {
    own: { a: { x: 1, y: { z: 1, w: 2 } }, b: { q: 1 }, c: [2] },
    text: "t",
    none: common_input,
  });
});

test("where some failed it is a 207, and each says how it went; where all did, a 500", async (t) => {
  const mixed = await conflicts({ inputs: { bad: { c: 1 }, good: {} } });
  t.is(mixed.status, 207);
  t.is(mixed.json.responses.bad.http_status_code, "500");
  t.is(mixed.json.responses.bad.code, "internal_error");
  t.is(mixed.json.responses.bad.errors[0].code, "eval_conflict_error");
  t.is(mixed.json.responses.good.http_status_code, "200");
  t.false("result" in mixed.json.responses.good);
  const all = await conflicts({ inputs: { bad: { c: 1 } } });
  t.is(all.status, 500);
  t.deepEqual(Object.keys(all.json), ["batch_decision_id", "responses"]);
  t.false("http_status_code" in all.json.responses.bad);
});

test("metrics and provenance of a batch and of each", async (t) => {
  const { json } = await batch({ inputs: { a: 1 } }, "?metrics&provenance&pretty");
  t.true("timer_server_handler_ns" in json.metrics);
  t.true("timer_rego_query_eval_ns" in json.responses.a.metrics);
  t.deepEqual(json.responses.a.provenance.bundles, { app: { revision: "r1" } });
});

test("no inputs are a warning, too many of them and what are none a 400; no entrypoint is a 501", async (t) => {
  for (const body of [{}, { inputs: null }]) {
    const { status, json } = await batch(body);
    t.is(status, 200);
    t.deepEqual(json.warning, { code: "api_usage_warning", message: "'inputs' key missing from the request" });
  }
  t.deepEqual(Object.keys((await batch({ inputs: {} })).json), ["batch_decision_id"]);
  for (const body of [
    { inputs: [] },
    { inputs: 1 },
    { inputs: Object.fromEntries([..."abcdef"].map((key) => [key, 1])) },
  ]) {
    const { status, json } = await batch(body);
    t.is(status, 400);
    t.is(json.code, "invalid_parameter");
  }
  t.is((await served.call("POST", "/v1/batch/data/nope", { body: { inputs: { a: 1 } } })).status, 501);
  t.is((await served.call("POST", "/v1/batch/data", { body: { inputs: { a: 1 } } })).status, 501);
});
