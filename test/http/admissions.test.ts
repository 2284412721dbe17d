// `/v1/admissions` over HTTP: what is decided, what is turned away at the door, and what either leaves behind.
import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { compactVerify, createLocalJWKSet } from "jose";
import { admissible, insufficient, start } from "./support.ts";

const served = await start({ limits: { batch_items_max: 5, body_bytes_max: 20_000 } });
const { call } = served;
const store = await served.store();
test.after.always(async () => {
  await store.close();
  return served.close();
});

const count = async () => (await store.events({ order: "desc", limit: 1 }))[0]?.position ?? 0;

test.serial("an admission is answered with its decision, event and receipt", async (t) => {
  const { status, headers, json } = await call("POST", "/v1/admissions", { body: admissible() });
  t.is(status, 200);
  t.is(headers["content-type"], "application/json");
  t.is(headers["cache-control"], "no-store");
  t.deepEqual(Object.keys(json).sort(), ["decision", "event", "receipt"]);
  t.is(json.decision.outcome, "accepted");
  t.is(json.event.event_type, "workload.admit");
  t.is(json.event.actor, "loopback");
  const jwks = (await call("GET", "/.well-known/jwks.json")).json;
  const { payload } = await compactVerify(json.receipt, createLocalJWKSet(jwks));
  t.deepEqual(JSON.parse(new TextDecoder().decode(payload)), json.event);
});

test.serial("a refusal is an answer too, with what would cure it", async (t) => {
  const { status, json } = await call("POST", "/v1/admissions", { body: insufficient("batch-7") });
  t.is(status, 200);
  t.is(json.decision.outcome, "refused");
  t.is(json.event.event_type, "workload.refuse");
  for (const member of ["code", "class", "rule", "pointer", "params", "title", "message", "solution"])
    t.true(member in json.decision.refusals[0], member);
});

test.serial("dry_run decides and leaves no event and no workload", async (t) => {
  const before = await count();
  const { status, json } = await call("POST", "/v1/admissions?dry_run=true", { body: admissible("dry") });
  t.is(status, 200);
  t.is(json.dry_run, true);
  t.is(json.decision.outcome, "accepted");
  t.deepEqual(Object.keys(json).sort(), ["decision", "dry_run"]);
  t.is(await count(), before);
  t.is((await call("GET", "/v1/workloads/dry?tenant_id=acme")).status, 404);
  t.is(
    (await call("POST", "/v1/admissions?dry_run=false", { body: admissible("wet") })).json.event.outcome,
    "accepted",
  );
});

for (const [query, pointer] of [
  ["dry_run=1", "/query/dry_run"],
  ["dry_run", "/query/dry_run"],
  ["dry_run=TRUE", "/query/dry_run"],
  ["dry_run=true&dry_run=true", "/query/dry_run"],
  ["dryrun=true", "/query/dryrun"],
  ["a%2Fb=1", "/query/a~1b"],
  ["__proto__=1", "/query/__proto__"],
]) {
  test.serial(`?${query} is refused, naming the parameter`, async (t) => {
    const before = await count();
    const { status, json, headers } = await call("POST", `/v1/admissions?${query}`, { body: admissible() });
    t.is(status, 422);
    t.is(headers["content-type"], "application/problem+json");
    t.is(json.code, "request_invalid");
    t.is(json.errors[0].pointer, pointer);
    t.is(await count(), before);
  });
}

test.serial("faults are 422 with every pointer, and leave no event", async (t) => {
  const before = await count();
  const { status, json } = await call("POST", "/v1/admissions", {
    body: { workload: { workload_id: "a b", tenant_id: 7, rsik: "low" } },
  });
  t.is(status, 422);
  t.deepEqual(json.errors.map((each: { pointer: string }) => each.pointer).sort(), [
    "/workload/rsik",
    "/workload/tenant_id",
    "/workload/workload_id",
  ]);
  t.like(json, { type: "urn:railgate:problem:request_invalid", status: 422, code: "request_invalid" });
  t.is(await count(), before);
});

const malformed: [string, string | Uint8Array, Record<string, string>, number, string][] = [
  ["nothing", "", {}, 400, "request_malformed"],
  ["no JSON", "{", {}, 400, "request_malformed"],
  ["a key twice", '{"workload":{},"workload":{}}', {}, 400, "request_malformed"],
  ["a lone surrogate", '{"workload":"\\ud800"}', {}, 400, "request_malformed"],
  ["a number beyond 2^53", '{"workload":9007199254740993}', {}, 400, "request_malformed"],
  ["what is not UTF-8", Buffer.from([0x22, 0xff, 0x22]), {}, 400, "request_malformed"],
  ["a byte order mark", "\ufeff{}", {}, 400, "request_malformed"],
  ["null", "null", {}, 422, "request_invalid"],
  ["a list", "[]", {}, 422, "request_invalid"],
  ["too deep", "[".repeat(100) + "]".repeat(100), {}, 413, "request_too_large"],
  ["too large", JSON.stringify({ a: "x".repeat(30_000) }), {}, 413, "request_too_large"],
  ["no content type", "{}", { "content-type": "" }, 415, "content_type_unsupported"],
  ["a form", "a=b", { "content-type": "application/x-www-form-urlencoded" }, 415, "content_type_unsupported"],
  ["plain text", "{}", { "content-type": "text/plain" }, 415, "content_type_unsupported"],
  [
    "JSON in another charset",
    "{}",
    { "content-type": "application/json; charset=latin1" },
    415,
    "content_type_unsupported",
  ],
  [
    "a multipart that mentions JSON",
    "{}",
    { "content-type": "multipart/form-data; boundary=application/json" },
    415,
    "content_type_unsupported",
  ],
  ["gzip", "{}", { "content-encoding": "gzip" }, 415, "content_type_unsupported"],
];
for (const [what, body, headers, status, code] of malformed) {
  for (const path of ["/v1/admissions", "/v1/admissions/batch"]) {
    test.serial(`${what} at ${path} is ${status} ${code}`, async (t) => {
      const before = await count();
      const answer = await call("POST", path, { body, headers });
      t.is(answer.status, status);
      t.is(answer.json.code, code);
      t.is(answer.json.status, status);
      t.is(answer.headers["content-type"], "application/problem+json");
      t.is(await count(), before);
    });
  }
}

for (const type of [
  "application/json",
  "application/json; charset=utf-8",
  'application/json;charset="UTF-8"',
  "Application/JSON",
  "application/vnd.example.workload+json",
]) {
  test.serial(`${type} is JSON`, async (t) => {
    t.is(
      (await call("POST", "/v1/admissions", { body: JSON.stringify(admissible()), headers: { "content-type": type } }))
        .status,
      200,
    );
  });
}

test.serial("a batch answers in order, with problems in the place of malformed items, in one commit", async (t) => {
  const before = await count();
  const items = [admissible("b-1"), { workload: { workload_id: "b-2" } }, insufficient("b-3"), 7, admissible("b-1")];
  const { status, json } = await call("POST", "/v1/admissions/batch", { body: { items } });
  t.is(status, 200);
  t.is(json.items.length, 5);
  t.like(json.items[0], { decision: { outcome: "accepted" }, event: { subject: "b-1" } });
  t.like(json.items[1], { status: 422, code: "request_invalid", errors: [{ pointer: "/workload/tenant_id" }] });
  t.like(json.items[2], { decision: { outcome: "refused" }, event: { subject: "b-3" } });
  t.like(json.items[3], { status: 422, errors: [{ pointer: "" }] });
  t.is(json.items[4].event.sequence, json.items[0].event.sequence + 2);
  t.is(await count(), before + 3);
});

test.serial("an empty batch is an empty answer", async (t) => {
  t.deepEqual((await call("POST", "/v1/admissions/batch", { body: { items: [] } })).json, { items: [] });
});

test.serial("a batch beyond the limit is 413, and one that is no batch 422", async (t) => {
  const before = await count();
  const many = await call("POST", "/v1/admissions/batch", { body: { items: Array(6).fill({}) } });
  t.is(many.status, 413);
  t.is(many.json.errors[0].pointer, "/items");
  t.is((await call("POST", "/v1/admissions/batch", { body: { items: {} } })).json.errors[0].pointer, "/items");
  t.is((await call("POST", "/v1/admissions/batch", { body: { items: [], more: 1 } })).json.errors[0].pointer, "/more");
  t.is((await call("POST", "/v1/admissions/batch?dry_run=true", { body: { items: [] } })).status, 422);
  t.is(await count(), before);
});

test.serial(
  "a request id is honoured where it is an identifier, made where it is not, and found again in the log",
  async (t) => {
    const known = await call("POST", "/v1/admissions", { body: admissible(), headers: { "x-request-id": "req-1" } });
    t.is(known.headers["x-request-id"], "req-1");
    t.is(known.json.event.details.request_id, "req-1");
    // A thread hands its lines over behind the answer.
    const told = () => served.logs.find((each) => each["request_id"] === "req-1");
    for (let turns = 0; told() === undefined && turns < 300; turns++) await sleep(100);
    const line = told();
    t.like(line, {
      decision_id: known.json.event.id,
      tenant_id: "acme",
      outcome: "accepted",
      status: 200,
      route: "/v1/admissions",
    });
    const bad = await call("POST", "/v1/admissions", { body: admissible(), headers: { "x-request-id": "a b" } });
    t.regex(bad.headers["x-request-id"] as string, /^[0-9a-f-]{36}$/);
    t.is(bad.json.event.details.request_id, undefined);
  },
);

test.serial("traceparent ends up in the event, and a malformed one counts as none", async (t) => {
  const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  const traced = async (traceparent: string) =>
    (await call("POST", "/v1/admissions", { body: admissible(), headers: { traceparent } })).json.event.details
      .trace_id;
  t.is(await traced(`00-${trace}-00f067aa0ba902b7-01`), trace);
  t.is(await traced(`01-${trace}-00f067aa0ba902b7-01-more`), trace);
  for (const wrong of [
    `00-${trace}-00f067aa0ba902b7-01-more`,
    `ff-${trace}-00f067aa0ba902b7-01`,
    `00-${"0".repeat(32)}-00f067aa0ba902b7-01`,
    `00-${trace}-${"0".repeat(16)}-01`,
    `00-${trace.toUpperCase()}-00f067aa0ba902b7-01`,
    "x",
  ]) {
    t.is(await traced(wrong), undefined, wrong);
  }
});

test.serial("trace_id and traceparent are both in the event, each under its name, whatever the command", async (t) => {
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const headers = { traceparent };
  const both = { trace_id: "mine-1", traceparent };
  const admitted = await call("POST", "/v1/admissions?trace_id=mine-1", { body: admissible("traced"), headers });
  t.like(admitted.json.event.details, both);
  const batch = await call("POST", "/v1/admissions/batch?trace_id=mine-1", {
    body: { items: [admissible("traced-2")] },
    headers,
  });
  t.like(batch.json.items[0].event.details, both);
  const rails = [{ rail_id: "a", level: "shared", latency_overhead_us: 1, capacity: 1 }];
  const body = { rails, trace_id: "mine-1", tenant_id: "acme" };
  t.like((await call("PUT", "/v1/meshes/traced/topology", { body, headers })).json.event.details, both);
  const started = await call("POST", "/v1/workloads/traced/lifecycle?tenant_id=acme&trace_id=mine-1", {
    body: { transition: "create" },
    headers,
  });
  t.like(started.json.event.details, both);
  const long = `01-${traceparent.slice(3)}-${"x".repeat(300)}`;
  const { details } = (
    await call("POST", "/v1/admissions", { body: admissible("traced-3"), headers: { traceparent: long } })
  ).json.event;
  t.deepEqual([details.trace_id, details.traceparent], [undefined, undefined]);
});

test.serial("an admission may name its tenant in the query, and then it is the workload's", async (t) => {
  t.is((await call("POST", "/v1/admissions?tenant_id=acme", { body: admissible("named") })).status, 200);
  t.like((await call("POST", "/v1/admissions?tenant_id=other", { body: admissible("named") })).json, {
    status: 422,
    errors: [{ pointer: "/query/tenant_id" }],
  });
  const items = [admissible("named-1"), admissible("named-2", "other")];
  const { json } = await call("POST", "/v1/admissions/batch?tenant_id=acme", { body: { items } });
  t.is(json.items[0].decision.outcome, "accepted");
  t.like(json.items[1], { status: 422, errors: [{ pointer: "/query/tenant_id" }] });
});

test.serial("no line of the log holds a body or a header's secret", async (t) => {
  await call("POST", "/v1/admissions", {
    body: { ...admissible(), authority: "secret.in.body" },
    headers: { authorization: "Bearer secret-token", cookie: "secret=1" },
  });
  t.notRegex(JSON.stringify(served.logs), /secret/);
});
