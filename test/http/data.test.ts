// OPA's data API, a real OPA server and Railgate side by side over the same policy: the same answers, errors included; and what differs, on purpose.
import { gunzipSync, gzipSync } from "node:zlib";
import test from "ava";
import { EvidenceUnavailableError } from "../../src/core/errors.ts";
import { presentOpa } from "../../src/http/call/opa.ts";
import { opaBundle, startOpa, startOver } from "./opa.ts";
import type { Answered, Call } from "./support.ts";

const bundle = await opaBundle();
const [opa, served] = await Promise.all([startOpa(bundle), startOver(bundle, { limits: { batch_items_max: 5 } })]);
test.after.always(() => Promise.all([opa.close(), served.close()]));

const data = (path: string) => `/v1/data/app/authz/${path}`;
const input = (value: unknown): Call => ({ body: { input: value } });
const ITEMS = input({ items: ["x", 7, "x/y"] });
const YAML = { "content-type": "application/x-yaml" };

/** What may differ of two good answers: ids, clocks, and whose version it is. */
function comparable(answer: Answered): unknown {
  if (answer.text.trim() === "") return answer.text;
  const json = answer.json as Record<string, unknown>;
  if (typeof json !== "object" || json === null || Array.isArray(json)) return json;
  const { decision_id, metrics, provenance: _, ...rest } = json;
  return {
    ...rest,
    decided: typeof decision_id === "string" && answer.status === 200,
    ...(metrics !== undefined && { timed: typeof (metrics as Record<string, unknown>)["timer_server_handler_ns"] }),
  };
}

const SAME: readonly (readonly [title: string, method: string, path: string, call?: Call])[] = [
  ["a boolean", "POST", data("allow"), input({ user: "alice" })],
  ["false", "POST", data("allow"), input({ user: "bob" })],
  ["by data", "POST", data("allow"), input({ user: "root" })],
  ["no input", "POST", data("allow"), { body: {} }],
  ["an empty body", "POST", data("allow")],
  ["null for a body", "POST", data("allow"), { body: "null" }],
  ["input null is none", "POST", data("echo"), input(null)],
  ["no input: undefined", "POST", data("echo"), { body: {} }],
  ["undefined", "POST", data("undef"), input({})],
  ["null", "POST", data("nothing"), input({})],
  ["a false input is one", "POST", data("echo"), input(false)],
  ["zero", "POST", data("echo"), input(0)],
  ["empty text", "POST", data("echo"), input("")],
  ["an array", "POST", data("echo"), input([1, [2], "é 😀 \u2028"])],
  ["__proto__ and its like", "POST", data("echo"), { body: '{"input":{"__proto__":{"a":1},"constructor":2}}' }],
  ["other members", "POST", data("allow"), { body: { input: { user: "alice" }, "com.example/x": { y: 1 } } }],
  ["sets in order", "POST", data("set"), input({})],
  ["keys that are no text", "POST", `${data("nested")}/keyed`, ITEMS],
  ["below an entrypoint", "POST", `${data("nested")}/list/1/deep/er`, ITEMS],
  ["below, by index", "POST", `${data("nested")}/list/0`, ITEMS],
  ["below, out of bounds", "POST", `${data("nested")}/list/2`, ITEMS],
  ["below, in a set", "POST", `${data("nested")}/set/x`, ITEMS],
  ["below, a number in a set", "POST", `${data("nested")}/set/7`, ITEMS],
  ["below, not in a set", "POST", `${data("nested")}/set/y`, ITEMS],
  ["below, by a number", "POST", `${data("nested")}/keyed/1`, ITEMS],
  ["below, a member that is not there", "POST", `${data("nested")}/x/y`, ITEMS],
  ["below text", "POST", `${data("nested")}/list/1/deep/er/x`, ITEMS],
  ["a slash within a part", "POST", "/v1/data/app/authz/nested/set/x%2Fy", ITEMS],
  ["an encoded letter", "POST", "/v1/data/app/auth%7A/allow", input({ user: "alice" })],
  ["pretty", "POST", `${data("nested")}/list?pretty`, ITEMS],
  ["pretty=true", "POST", `${data("allow")}?pretty=true`, input({})],
  ["pretty=false", "POST", `${data("allow")}?pretty=false`, input({})],
  ["metrics", "POST", `${data("allow")}?metrics`, input({})],
  ["instrument", "POST", `${data("allow")}?instrument=true`, input({})],
  ["provenance", "POST", `${data("allow")}?provenance`, input({})],
  ["explain that is no mode", "POST", `${data("allow")}?explain=x`, input({})],
  ["strict-builtin-errors=false", "POST", `${data("number")}?strict-builtin-errors=false`, input({ s: "x" })],
  ["a builtin's error is undefined", "POST", data("number"), input({ s: "x" })],
  ["parameters that nobody knows", "POST", `${data("allow")}?foo=bar`, input({})],
  [
    "any content type",
    "POST",
    data("allow"),
    { headers: { "content-type": "text/plain" }, ...input({ user: "alice" }) },
  ],
  ["YAML", "POST", data("allow"), { headers: YAML, body: "input:\n  user: alice\n" }],
  ["YAML, empty", "POST", data("allow"), { headers: YAML, body: "" }],
  [
    "gzip",
    "POST",
    data("allow"),
    { headers: { "content-encoding": "gzip" }, body: gzipSync('{"input":{"user":"alice"}}') },
  ],
  ["another encoding, not looked at", "POST", data("allow"), { headers: { "content-encoding": "br" }, ...input({}) }],
  ["GET", "GET", data("allow")],
  ["GET with input", "GET", `${data("allow")}?input=${encodeURIComponent('{"user":"alice"}')}`],
  ["GET, the last input counts", "GET", `${data("echo")}?input=1&input=2`],
  ["GET, null is an input", "GET", `${data("echo")}?input=null`],
  ["v0", "POST", "/v0/data/app/authz/allow", { body: { user: "alice" } }],
  ["v0, pretty", "POST", "/v0/data/app/authz/nested/list?pretty", { body: { items: [] } }],
  ["v0, undefined", "POST", "/v0/data/app/authz/undef", { body: {} }],
  ["v0, undefined below", "POST", "/v0/data/app/authz/nested/x", { body: { items: [] } }],
  ["v0, an empty body is null", "POST", "/v0/data/app/authz/echo"],
  ["v0, YAML", "POST", "/v0/data/app/authz/allow", { headers: YAML, body: "user: alice" }],
  ["the default decision", "POST", "/", { body: { user: "x" } }],
  ["the default decision, undefined", "POST", "/", { body: {} }],
  ["health", "GET", "/health"],
  ["health with all", "GET", "/health?bundles&plugins"],
  ["health by policy", "GET", "/health/live"],
  ["health by policy, not true", "GET", "/health/ready"],
  ["health by policy, undefined", "GET", "/health/nope"],
  ["HEAD", "HEAD", data("allow")],
];

for (const [title, method, path, call] of SAME)
  test(`the same as OPA: ${title}`, async (t) => {
    const [theirs, ours] = await Promise.all([opa.call(method, path, call), served.call(method, path, call)]);
    t.is(ours.status, theirs.status);
    t.deepEqual(comparable(ours), comparable(theirs));
    if (theirs.text !== "") t.is(ours.headers["content-type"], theirs.headers["content-type"]);
  });

/** Errors whose words are the parser's own: the same status, code, and beginning. */
const REFUSED: readonly (readonly [title: string, method: string, path: string, call: Call, message: RegExp])[] = [
  ["no JSON", "POST", data("allow"), { body: "{" }, /^body contains malformed input document: /],
  ["no request", "POST", data("allow"), { body: "[]" }, /^body contains malformed input document: /],
  ["a number for a request", "POST", data("allow"), { body: "1" }, /^body contains malformed input document: /],
  [
    "no YAML",
    "POST",
    data("allow"),
    { headers: YAML, body: "input: [\n" },
    /^body contains malformed input document: /,
  ],
  ["no JSON in the query", "GET", `${data("allow")}?input=x`, {}, /^parameter contains malformed input document: /],
  [
    "v0, no JSON",
    "POST",
    "/v0/data/app/authz/allow",
    { body: "x" },
    /^unexpected parse error for input: body contains malformed input document: /,
  ],
];

for (const [title, method, path, call, message] of REFUSED)
  test(`refused as OPA refuses it: ${title}`, async (t) => {
    const [theirs, ours] = await Promise.all([opa.call(method, path, call), served.call(method, path, call)]);
    t.is(ours.status, 400);
    t.is(theirs.status, 400);
    t.deepEqual(Object.keys(ours.json), Object.keys(theirs.json));
    t.is(ours.json.code, theirs.json.code);
    t.regex(theirs.json.message, message);
    t.regex(ours.json.message, message);
  });

test("numbers are exact, however large", async (t) => {
  const call = { body: '{"input":{"n":1}}' };
  const [theirs, ours] = await Promise.all([
    opa.call("POST", data("numbers"), call),
    served.call("POST", data("numbers"), call),
  ]);
  for (const text of ['"exact":12345678901234567890', '"sum":9007199254740994']) {
    t.true(theirs.text.includes(text), theirs.text);
    t.true(ours.text.includes(text), ours.text);
  }
});

for (const [title, path, code, message, method = "POST"] of [
  ["a rule with two values", data("conflict"), "eval_conflict_error", /conflicting values/],
  ["an object with a key twice", data("keys"), "eval_conflict_error", /^object keys must be unique$/],
  ["over v0", "/v0/data/app/authz/conflict", "eval_conflict_error", /conflicting values/],
] as [string, string, string, RegExp, string?][])
  test(`an evaluation that fails is OPA's error, with the same code and place: ${title}`, async (t) => {
    const asked = {
      c: 1,
      pairs: [
        ["a", 1],
        ["a", 2],
      ],
    };
    const call = path.startsWith("/v0") ? { body: asked } : input(asked);
    const [theirs, ours] = await Promise.all([opa.call(method, path, call), served.call(method, path, call)]);
    t.is(theirs.status, 500);
    t.is(ours.status, 500);
    t.is(ours.json.code, theirs.json.code);
    t.is(ours.json.message, theirs.json.message);
    const [[their], [our]] = [theirs.json.errors, ours.json.errors];
    t.is(our.code, code);
    t.is(their.code, code);
    t.regex(our.message, message);
    t.regex(their.message, message);
    t.true(their.location.file.endsWith(our.location.file), `${their.location.file} ${our.location.file}`);
    t.is(our.location.row, their.location.row);
  });

const UNCOMPILED: readonly (readonly [method: string, path: string, call: Call, message: RegExp])[] = [
  [
    "POST",
    "/v1/data/app/authz",
    input({}),
    /data\.app\.authz is no entrypoint .* its package is built as an entrypoint/,
  ],
  ["POST", "/v1/data/app/authz/nope", input({}), /data\.app\.authz\.nope is no entrypoint/],
  ["GET", "/v1/data/app/roles", {}, /data\.app\.roles is no entrypoint/],
  ["POST", "/v0/data/nope", { body: {} }, /data\.nope is no entrypoint/],
  ["POST", "/v1/data", input({}), /entrypoints/],
  ["GET", "/v1/data", {}, /entrypoints/],
  ["POST", "/v0/data", { body: {} }, /entrypoints/],
  ["PUT", data("allow"), { body: "1" }, /signed bundles/],
  ["PATCH", data("allow"), { body: "[]" }, /signed bundles/],
  ["DELETE", data("allow"), {}, /signed bundles/],
  ["PUT", "/v1/policies/x", { body: "package x" }, /signed bundles/],
  ["DELETE", "/v1/policies/x", {}, /signed bundles/],
  ["GET", "/v1/query?q=x=1", {}, /query/],
  ["POST", "/v1/query", { body: { query: "x = 1" } }, /query/],
  ["POST", "/v1/compile", { body: { query: "data.app.authz.allow == true" } }, /partial evaluation/],
  ["POST", "/v1/compile/app/authz/allow", { body: {} }, /partial evaluation/],
  ["POST", `${data("allow")}?explain=full`, input({}), /explain=full/],
  ["GET", `${data("allow")}?explain=notes`, {}, /explain=notes/],
  ["POST", `${data("allow")}?rule_labels`, input({}), /rule_labels/],
  ["POST", `${data("allow")}?strict-builtin-errors`, input({}), /strict-builtin-errors .*opa_to_number/],
];

for (const [method, path, call, message] of UNCOMPILED)
  test(`501 for what compiled policy cannot do: ${method} ${path}`, async (t) => {
    const { status, json, headers } = await served.call(method, path, call);
    t.is(status, 501);
    t.is(headers["content-type"], "application/json");
    t.deepEqual(Object.keys(json), ["code", "message"]);
    t.is(json.code, "invalid_operation");
    t.regex(json.message, message);
  });

test("stricter than OPA: duplicate keys, more than one document, whole numbers beyond 2^53−1 and lone surrogates are 400", async (t) => {
  for (const body of ['{"input":1,"input":2}', '{"input":1} {}', '{"input":9007199254740993}', '{"input":"\\ud800"}']) {
    const { status, json } = await served.call("POST", data("echo"), { body });
    t.is(status, 400, body);
    t.is(json.code, "invalid_parameter");
  }
});

test("what is said to be gzip and is not is a 400, where OPA 1.22.2 may break off", async (t) => {
  const call = { headers: { "content-encoding": "gzip" }, body: "x" };
  const { status, json } = await served.call("POST", data("allow"), call);
  t.is(status, 400);
  t.regex(json.message, /^could not decompress the body: /);
});

test("where OPA's type checker knows that nothing can be at a path, it is an error there, and undefined here", async (t) => {
  const [theirs, ours] = await Promise.all(
    [opa, served].map((each) => each.call("POST", data("numbers/nope"), input({ n: 1 }))),
  );
  t.is(theirs!.status, 500);
  t.regex(theirs!.json.message, /rego_type_error: undefined ref/);
  t.is(ours!.status, 200);
  t.deepEqual(Object.keys(ours!.json), ["decision_id"]);
});

test("what is too large is OPA's 400, packed or not", async (t) => {
  const large = JSON.stringify({ input: "x".repeat(1_100_000) });
  for (const call of [{ body: large }, { body: gzipSync(large), headers: { "content-encoding": "gzip" } }]) {
    const { status, json } = await served.call("POST", data("echo"), call);
    t.is(status, 400);
    t.is(json.code, "invalid_parameter");
    t.regex(json.message, /^request body too large: .*1048576 bytes/);
  }
});

test("evidence that could not be recorded is a 503, which says whether it is certain that nothing is on record", (t) => {
  const { status, body, headers } = presentOpa(new EvidenceUnavailableError("disk full"), "r-1");
  t.is(status, 503);
  t.like(JSON.parse(body as string), { code: "evidence_unavailable", recorded: "no" });
  t.is(headers!["Retry-After"], "1");
  const unknown = presentOpa(new EvidenceUnavailableError("?", { maybeRecorded: "01a2" }), "r-2");
  t.like(JSON.parse(unknown.body as string), { recorded: "unknown", event_id: "01a2" });
});

test("what nobody foresaw is OPA's internal error, and keeps its message to itself", (t) => {
  const { status, body } = presentOpa(new Error("secret"), "r-1");
  t.is(status, 500);
  t.is(JSON.parse(body as string).code, "internal_error");
  t.false((body as string).includes("secret"));
});

test("what a client did wrong is told to it, and is no fault of the node's in the log", async (t) => {
  const id = "client-fault";
  const { status } = await served.call("PUT", "/v1/data/x", { body: {}, headers: { "x-request-id": id } });
  t.is(status, 501);
  const said = served.logs.filter((each) => each["request_id"] === id);
  t.true(said.length > 0);
  for (const each of said) t.not(each["level"], "error", JSON.stringify(each));
});

test("an answer of a kilobyte is compressed for whoever takes that", async (t) => {
  const call = input("x".repeat(5000));
  const packed = await served.call("POST", data("echo"), { ...call, headers: { "accept-encoding": "gzip" } });
  t.is(packed.headers["content-encoding"], "gzip");
  t.is(packed.headers["vary"], "Accept-Encoding");
  t.is(JSON.parse(gunzipSync(packed.bytes).toString()).result.length, 5000);
  for (const accepted of [undefined, "br", "gzip;q=0"]) {
    const plain = await served.call("POST", data("echo"), {
      ...call,
      ...(accepted && { headers: { "accept-encoding": accepted } }),
    });
    t.is(plain.headers["content-encoding"], undefined);
    t.is(plain.json.result.length, 5000);
  }
});

test("metrics are OPA's names; provenance names each bundle's revision", async (t) => {
  const { json } = await served.call("POST", `${data("allow")}?metrics&provenance`, input({}));
  t.deepEqual(Object.keys(json.metrics), [
    "counter_server_query_cache_hit",
    "timer_rego_input_parse_ns",
    "timer_rego_query_eval_ns",
    "timer_server_handler_ns",
  ]);
  for (const value of Object.values(json.metrics)) t.true(Number.isSafeInteger(value));
  t.deepEqual(json.provenance.bundles, { app: { revision: "r1" } });
  t.regex(json.provenance.version, /^\d+\.\d+/);
});
