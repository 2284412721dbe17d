// Meshes over real HTTP: every row of the interface, every check of the law in its order, and what each leaves behind.
import test, { type ExecutionContext } from "ava";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { KEPT_MS } from "../../src/gate/retries.ts";
import { Clock, admissible, start, type Answered, type Call, type Started } from "./support.ts";

const clock = new Clock(Date.UTC(2026, 10, 25, 8));
const served = await start({}, { clock: clock.shared });
test.after.always(() => served.close());

const RAILS = [
  { rail_id: "fast", level: "shared", latency_overhead_us: 0, capacity: 3 },
  { rail_id: "own", level: "process_isolated", latency_overhead_us: 20, capacity: 2 },
  { rail_id: "sandbox", level: "sandbox_isolated", latency_overhead_us: 50, capacity: 1 },
  { rail_id: "hw", level: "hardware_isolated", latency_overhead_us: 400, capacity: 1 },
];
const FREE = {
  elevation_allowed: true,
  max_target_level: "hardware_isolated",
  preserve_latency_budget: false,
  latency_budget_us: 0,
};
const policy = (over: object = {}) => ({ ...FREE, ...over });

/** A mesh of its own, in a tenant of its own. */
class TestMesh {
  readonly #on: Started;
  readonly tenant: string;
  readonly path = "/v1/meshes/edge-1";

  constructor(tenant: string, on = served) {
    this.tenant = tenant;
    this.#on = on;
  }

  send(method: string, path: string, body?: object, call: Call = {}): Promise<Answered> {
    const query = body === undefined ? `${path.includes("?") ? "&" : "?"}tenant_id=${this.tenant}` : "";
    return this.#on.call(method, `${this.path}${path}${query}`, {
      ...call,
      ...(body && { body: { tenant_id: this.tenant, ...body } }),
    });
  }

  define = (rails: unknown = RAILS, call?: Call) => this.send("PUT", "/topology", { rails }, call);
  place = (workload_id: string, rail_id: string, over: object = {}, call?: Call) =>
    this.send("POST", "/placements", { workload_id, rail_id, policy: policy(over) }, call);
  elevate = (workload_id: string, target_rail_id: string, call?: Call) =>
    this.send("POST", `/placements/${workload_id}/elevation`, { target_rail_id }, call);
  remove = (workload_id: string, call?: Call) => this.send("DELETE", `/placements/${workload_id}`, undefined, call);
  show = (call?: Call) => this.send("GET", "", undefined, call);
  async events(): Promise<any[]> {
    return (await this.#on.call("GET", `/v1/events?tenant_id=${this.tenant}&order=asc&limit=1000`)).json.items;
  }
}

let tenants = 0;
async function defined(): Promise<TestMesh> {
  const mesh = new TestMesh(`t-${++tenants}`);
  await mesh.define();
  return mesh;
}

/** A refusal as the interface has it: explained, evidenced, and nothing changed. */
async function refused(
  t: ExecutionContext,
  mesh: TestMesh,
  sending: () => Promise<Answered>,
  status: number,
  code: string,
  mesh_event: string | null,
  pointer: string,
): Promise<void> {
  const before = (await mesh.show()).text;
  const answer = await sending();
  t.is(answer.status, status, answer.text);
  t.is(answer.headers["content-type"], "application/problem+json");
  t.like(answer.json, { code, status, mesh_event, pointer, type: `urn:railgate:problem:${code}` });
  for (const text of ["title", "detail", "solution"]) t.truthy(answer.json[text], text);
  t.like(answer.json.event, {
    outcome: "refused",
    tenant_id: mesh.tenant,
    refusal_reason_code: code,
    details: { error_code: code, mesh_event },
  });
  t.is(answer.json.receipt.split(".").length, 3);
  t.deepEqual((await mesh.events()).at(-1), answer.json.event);
  t.is((await mesh.show()).text, before);
}

test("a mesh is defined, then reloaded: 201, 200, MESH_006", async (t) => {
  const mesh = new TestMesh("define");
  t.like((await mesh.show()).json, { status: 404, code: "mesh_unknown" });
  const first = await mesh.define();
  t.is(first.status, 201);
  t.is(first.headers.etag, '"1"');
  t.like(first.json.event, {
    event_type: "mesh.reload",
    outcome: "accepted",
    subject: "edge-1",
    details: { mesh_id: "edge-1", mesh_event: "MESH_006", error_code: null, revision: 1 },
  });
  t.deepEqual(
    first.json.event.details.topology.rails.map((rail: any) => rail.rail_id),
    ["fast", "hw", "own", "sandbox"],
  );
  t.deepEqual(first.json.mesh, (await mesh.show()).json);
  t.deepEqual(Object.keys(first.json).sort(), ["event", "mesh", "receipt"]);
  const second = await mesh.define([
    ...RAILS,
    { rail_id: "extra", level: "shared", latency_overhead_us: 1, capacity: 9007199254740991 },
  ]);
  t.is(second.status, 200);
  t.is(second.json.mesh.revision, 2);
  t.deepEqual(second.json.mesh.rail_states.extra, {
    active_count: 0,
    total_placed: 0,
    total_elevated_in: 0,
    total_elevated_out: 0,
    total_removed: 0,
  });
});

const rail = (over: object) => [{ ...RAILS[0], ...over }];
const INVALID: [string, unknown[], string][] = [
  ["no rails", [], "/rails"],
  ["no id", rail({ rail_id: "" }), "/rails/0/rail_id"],
  ["a badly spelled id", rail({ rail_id: "a b" }), "/rails/0/rail_id"],
  ["an id twice", [RAILS[0], RAILS[0]], "/rails/1/rail_id"],
  ["an unknown level", rail({ level: "enclave" }), "/rails/0/level"],
  ["no capacity", rail({ capacity: 0 }), "/rails/0/capacity"],
  ["half a capacity", rail({ capacity: 1.5 }), "/rails/0/capacity"],
  ["a negative overhead", rail({ latency_overhead_us: -1 }), "/rails/0/latency_overhead_us"],
  ["an overhead in words", rail({ latency_overhead_us: "5" }), "/rails/0/latency_overhead_us"],
  ["another member", rail({ colour: "red" }), "/rails/0"],
  ["no object", [RAILS[0], null], "/rails/1/rail_id"],
];
for (const [what, rails, pointer] of INVALID) {
  test(`a topology with ${what} is ERR_MESH_INVALID_TOPOLOGY`, async (t) => {
    const mesh = await defined();
    await refused(t, mesh, () => mesh.define(rails), 422, "ERR_MESH_INVALID_TOPOLOGY", null, pointer);
  });
}

test("each fault of a topology is listed with its pointer, the one that gives the code first", async (t) => {
  const mesh = await defined();
  const [own, ...others] = RAILS;
  const { status, json } = await mesh.define([
    { ...own, capacity: 0, colour: "red" },
    { ...others[0], level: "cosmic" },
  ]);
  t.is(status, 422);
  t.is(json.code, "ERR_MESH_INVALID_TOPOLOGY");
  t.is(json.pointer, "/rails/1/level");
  t.deepEqual(
    json.errors.map(({ pointer }: { pointer: string }) => pointer),
    ["/rails/1/level", "/rails/0/capacity", "/rails/0"],
  );
  t.true(json.errors.every(({ message }: { message: string }) => message !== ""));
});

test("a reload may not drop, change, cut or slow down what is occupied", async (t) => {
  const mesh = await defined();
  await mesh.place("a", "own", { preserve_latency_budget: true, latency_budget_us: 20 });
  await mesh.place("b", "own");
  const but = (over: object) => RAILS.map((given) => (given.rail_id === "own" ? { ...given, ...over } : given));
  const invalid = (rails: object[], pointer: string) =>
    refused(t, mesh, () => mesh.define(rails), 422, "ERR_MESH_INVALID_TOPOLOGY", null, pointer);
  await invalid(
    RAILS.filter(({ rail_id }) => rail_id !== "own"),
    "/rails",
  );
  await invalid(but({ level: "sandbox_isolated" }), "/rails/1/level");
  await invalid(but({ capacity: 1 }), "/rails/1/capacity");
  await invalid(but({ latency_overhead_us: 21 }), "/rails/1/latency_overhead_us");
  t.is((await mesh.define(but({ capacity: 9, latency_overhead_us: 19 }))).status, 200);
  t.is((await mesh.define([...but({}).filter(({ rail_id }) => rail_id !== "hw")])).status, 200);
});

test("a workload is placed: 201, MESH_001, counted", async (t) => {
  const mesh = await defined();
  const { status, json } = await mesh.place("w", "own");
  t.is(status, 201);
  t.deepEqual(json.placement, {
    workload_id: "w",
    rail_id: "own",
    level: "process_isolated",
    policy: FREE,
    placed_at: new Date(clock.ms).toISOString(),
    elevations: [],
  });
  t.like(json.event, {
    event_type: "mesh.place",
    subject: "w",
    details: { mesh_event: "MESH_001", error_code: null, rail_id: "own", workload_id: "w", policy: FREE, revision: 2 },
  });
  t.deepEqual((await mesh.show()).json.rail_states.own, {
    active_count: 1,
    total_placed: 1,
    total_elevated_in: 0,
    total_elevated_out: 0,
    total_removed: 0,
  });
});

test("place: the first check that fails gives the code", async (t) => {
  const mesh = await defined();
  const no = (workload: string, on: string, over: object, ...rest: [number, string, string | null, string]) =>
    refused(t, mesh, () => mesh.place(workload, on, over), ...rest);
  const tight = { preserve_latency_budget: true, latency_budget_us: 19 };
  await mesh.place("there", "own", {});
  await no("there", "nowhere", tight, 404, "ERR_MESH_UNKNOWN_RAIL", null, "/rail_id");
  await no("there", "fast", tight, 409, "ERR_MESH_DUPLICATE_WORKLOAD", null, "/workload_id");
  await mesh.remove("there");
  await no("there", "fast", tight, 409, "ERR_MESH_DEMOTION_FORBIDDEN", "MESH_007", "/rail_id");
  await mesh.place("a", "own");
  await mesh.place("b", "own");
  await no("c", "own", tight, 409, "ERR_MESH_LATENCY_EXCEEDED", null, "/policy/latency_budget_us");
  await no("c", "own", {}, 409, "ERR_MESH_RAIL_AT_CAPACITY", null, "/rail_id");
  t.is((await mesh.place("there", "sandbox")).status, 201);
});

test("place: not below the least rail level of the admission", async (t) => {
  const mesh = await defined();
  const admitted = await served.call("POST", "/v1/admissions", { body: admissible("gvisor", mesh.tenant) });
  t.is(admitted.json.decision.rail.least_level, "sandbox_isolated");
  for (const on of ["fast", "own"])
    await refused(t, mesh, () => mesh.place("gvisor", on), 409, "ERR_MESH_DEMOTION_FORBIDDEN", "MESH_007", "/rail_id");
  t.is((await mesh.place("gvisor", "sandbox")).status, 201);
});

test("elevate: 200, MESH_002, the policy stays and the history grows", async (t) => {
  const mesh = await defined();
  await mesh.place("w", "fast");
  await mesh.elevate("w", "own");
  clock.ms += 5;
  const { status, json } = await mesh.elevate("w", "hw");
  t.is(status, 200);
  t.like(json.event, {
    event_type: "mesh.elevate",
    details: { mesh_event: "MESH_002", from_rail_id: "own", to_rail_id: "hw", revision: 4 },
  });
  t.like(json.placement, { rail_id: "hw", level: "hardware_isolated", policy: FREE });
  t.like(json.placement.elevations, [
    { from_rail_id: "fast", from_level: "shared", to_rail_id: "own", to_level: "process_isolated" },
    { from_rail_id: "own", to_rail_id: "hw" },
  ]);
  const { rail_states } = (await mesh.show()).json;
  t.deepEqual(rail_states.own, {
    active_count: 0,
    total_placed: 0,
    total_elevated_in: 1,
    total_elevated_out: 1,
    total_removed: 0,
  });
  t.deepEqual(rail_states.hw, {
    active_count: 1,
    total_placed: 0,
    total_elevated_in: 1,
    total_elevated_out: 0,
    total_removed: 0,
  });
});

test("elevate: the first check that fails gives the code", async (t) => {
  const mesh = await defined();
  const no = (workload: string, to: string, ...rest: [number, string, string | null, string]) =>
    refused(t, mesh, () => mesh.elevate(workload, to), ...rest);
  await no("w", "nowhere", 404, "ERR_MESH_UNKNOWN_RAIL", null, "/target_rail_id");
  await no("w", "hw", 404, "ERR_MESH_UNKNOWN_WORKLOAD", null, "/workload_id");
  await mesh.place("held", "own", { elevation_allowed: false });
  await no("held", "fast", 409, "ERR_MESH_DEMOTION_FORBIDDEN", "MESH_007", "/target_rail_id");
  await no("held", "hw", 409, "ERR_MESH_ELEVATION_DENIED", "MESH_003", "/target_rail_id");
  await mesh.place("capped", "own", {
    max_target_level: "sandbox_isolated",
    preserve_latency_budget: true,
    latency_budget_us: 20,
  });
  await no("capped", "own", 409, "ERR_MESH_ELEVATION_DENIED", "MESH_003", "/target_rail_id");
  await no("capped", "hw", 409, "ERR_MESH_ELEVATION_DENIED", "MESH_003", "/target_rail_id");
  await no("capped", "sandbox", 409, "ERR_MESH_LATENCY_EXCEEDED", "MESH_004", "/target_rail_id");
  await mesh.place("free", "fast");
  await mesh.place("full", "hw");
  await no("free", "hw", 409, "ERR_MESH_RAIL_AT_CAPACITY", null, "/target_rail_id");
});

test("remove: 200, MESH_005, the placement as it was; once", async (t) => {
  const mesh = await defined();
  const placed = (await mesh.place("w", "own")).json.placement;
  const { status, json } = await mesh.remove("w");
  t.is(status, 200);
  t.deepEqual(json.placement, placed);
  t.like(json.event, {
    event_type: "mesh.remove",
    details: { mesh_event: "MESH_005", rail_id: "own", workload_id: "w", revision: 3 },
  });
  t.deepEqual((await mesh.show()).json.rail_states.own, {
    active_count: 0,
    total_placed: 1,
    total_elevated_in: 0,
    total_elevated_out: 0,
    total_removed: 1,
  });
  await refused(t, mesh, () => mesh.remove("w"), 404, "ERR_MESH_UNKNOWN_WORKLOAD", null, "/workload_id");
});

test("INV-MESH-MONOTONIC-ELEVATION: neither removal and return nor a reload launders a demotion", async (t) => {
  const mesh = await defined();
  await mesh.place("w", "fast");
  await mesh.elevate("w", "hw");
  await mesh.remove("w");
  t.is((await mesh.define(rail({}))).status, 200);
  await refused(t, mesh, () => mesh.place("w", "fast"), 409, "ERR_MESH_DEMOTION_FORBIDDEN", "MESH_007", "/rail_id");
  await mesh.define();
  await refused(t, mesh, () => mesh.place("w", "sandbox"), 409, "ERR_MESH_DEMOTION_FORBIDDEN", "MESH_007", "/rail_id");
  t.deepEqual((await mesh.place("w", "hw")).json.placement.elevations, []);
});

test("a mesh that was never defined: 404 with evidence", async (t) => {
  const mesh = new TestMesh("never");
  for (const [sending, code] of [
    [() => mesh.place("w", "fast"), "ERR_MESH_UNKNOWN_RAIL"],
    [() => mesh.elevate("w", "fast"), "ERR_MESH_UNKNOWN_RAIL"],
    [() => mesh.remove("w"), "ERR_MESH_UNKNOWN_WORKLOAD"],
  ] as const) {
    const { status, json } = await sending();
    t.is(status, 404);
    t.is(json.code, code);
    t.deepEqual((await mesh.events()).at(-1), json.event);
  }
  t.is((await mesh.show()).status, 404);
  t.is((await mesh.events()).length, 3);
});

test("what cannot be read is the door's 422, with pointers, and leaves no event", async (t) => {
  const mesh = await defined();
  const recorded = (await mesh.events()).length;
  const placing = { workload_id: "w", rail_id: "own", policy: FREE };
  const cases: [string, string, object | undefined, string][] = [
    [
      "POST",
      "/placements",
      { ...placing, policy: policy({ max_target_level: "enclave" }) },
      "/policy/max_target_level",
    ],
    ["POST", "/placements", { ...placing, policy: policy({ latency_budget_us: -1 }) }, "/policy/latency_budget_us"],
    ["POST", "/placements", { ...placing, policy: policy({ latency_budget_us: 0.5 }) }, "/policy/latency_budget_us"],
    ["POST", "/placements", { ...placing, policy: policy({ elevation_allowed: "yes" }) }, "/policy/elevation_allowed"],
    ["POST", "/placements", { ...placing, policy: { elevation_allowed: true } }, "/policy/max_target_level"],
    ["POST", "/placements", { ...placing, workload_id: "w\u200b" }, "/workload_id"],
    ["POST", "/placements", { ...placing, rail_id: ".." }, "/rail_id"],
    ["POST", "/placements", { ...placing, colour: "red" }, "/colour"],
    ["POST", "/placements", { workload_id: "w", rail_id: "own" }, "/policy"],
    ["POST", "/placements", { ...placing, trace_id: "a b" }, "/trace_id"],
    ["POST", "/placements/w/elevation", {}, "/target_rail_id"],
    ["POST", "/placements/w%20x/elevation", { target_rail_id: "own" }, "/path/workload_id"],
    ["PUT", "/topology", { rails: "none" }, "/rails"],
    ["PUT", "/topology", {}, "/rails"],
    ["DELETE", "/placements/w%E2%80%AEx", undefined, "/path/workload_id"],
    ["DELETE", "/placements/w?trace_id=a%20b", undefined, "/query/trace_id"],
    ["POST", "/placements?tenant_id=another", placing, "/tenant_id"],
  ];
  for (const [method, path, body, pointer] of cases) {
    const { status, json } = await mesh.send(method, path, body);
    t.is(status, 422, `${method} ${path} ${JSON.stringify(body)}`);
    t.is(json.code, "request_invalid");
    t.true(
      json.errors.some((fault: any) => fault.pointer === pointer),
      JSON.stringify(json.errors),
    );
    t.false("event" in json);
  }
  t.is((await mesh.send("POST", "/placements", undefined, { body: "{" })).status, 400);
  const huge = Array.from({ length: 1000 }, (_, n) => ({ ...RAILS[0], rail_id: `r-${n}` }));
  t.like((await mesh.define(huge)).json, { status: 413, code: "request_too_large", errors: [{ pointer: "/rails" }] });
  t.is((await mesh.define(huge.slice(0, 400))).status, 200);
  t.is((await mesh.events()).length, recorded + 1);
});

test("rails and placements come in the order of their code units, numbers and __proto__ included", async (t) => {
  const mesh = new TestMesh("order");
  const ids = ["2", "10", "B", "a", "__proto__", "9", "-"];
  await mesh.define(ids.map((rail_id) => ({ ...RAILS[0], rail_id, capacity: 9 })));
  for (const id of ids) t.is((await mesh.place(id, id)).status, 201);
  const { text, json } = await mesh.show();
  const sorted = ["-", "10", "2", "9", "B", "__proto__", "a"];
  t.deepEqual(
    json.topology.rails.map(({ rail_id }: any) => rail_id),
    sorted,
  );
  const names = (member: string) =>
    [...text.slice(text.indexOf(`"${member}":{`)).matchAll(/"([^"]+)":\{"(?:active_count|elevations)/g)]
      .map(([, name]) => name)
      .slice(0, ids.length);
  t.deepEqual(names("rail_states"), sorted);
  t.deepEqual(names("placements"), sorted);
});

test("tenants have meshes of their own; where nobody logs in the body, the query or `default` says whose", async (t) => {
  const [mine, theirs] = [await defined(), new TestMesh("theirs")];
  t.is((await theirs.show()).status, 404);
  t.is((await theirs.define()).status, 201);
  t.is((await mine.place("w", "own")).status, 201);
  t.deepEqual((await theirs.show()).json.placements, {});
  const byDefault = await served.call("PUT", "/v1/meshes/d/topology", { body: { rails: RAILS } });
  t.is(byDefault.json.event.tenant_id, "default");
  t.is(
    (await served.call("PUT", "/v1/meshes/d/topology?tenant_id=by-query", { body: { rails: RAILS } })).json.event
      .tenant_id,
    "by-query",
  );
  t.is((await served.call("GET", "/v1/meshes/d")).status, 200);
});

test("where callers log in, each acts within its own tenant", async (t) => {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const [issuer, audience] = ["https://login.example", "railgate"];
  const on = await start({
    authentication: { jwt: { jwks: { keys: [{ ...(await exportJWK(publicKey)), alg: "ES256" }] }, issuer, audience } },
  });
  const token = (tenant_id: string) =>
    new SignJWT({ tenant_id, sub: "ci" })
      .setIssuer(issuer)
      .setAudience(audience)
      .setExpirationTime("5m")
      .setProtectedHeader({ alg: "ES256" })
      .sign(privateKey);
  const as = async (tenant: string, method: string, path: string, body?: object) =>
    on.call(method, path, { headers: { authorization: `Bearer ${await token(tenant)}` }, ...(body && { body }) });
  t.is((await as("acme", "PUT", "/v1/meshes/m/topology", { rails: RAILS })).json.event.tenant_id, "acme");
  t.is((await as("acme", "PUT", "/v1/meshes/m/topology", { rails: RAILS, tenant_id: "acme" })).status, 200);
  t.is((await as("other", "GET", "/v1/meshes/m")).status, 404);
  for (const [method, path, body] of [
    ["PUT", "/v1/meshes/m/topology", { rails: RAILS, tenant_id: "acme" }],
    ["POST", "/v1/meshes/m/placements", { workload_id: "w", rail_id: "own", policy: FREE, tenant_id: "acme" }],
    ["POST", "/v1/meshes/m/placements/w/elevation", { target_rail_id: "hw", tenant_id: "acme" }],
    ["DELETE", "/v1/meshes/m/placements/w?tenant_id=acme", undefined],
    ["GET", "/v1/meshes/m?tenant_id=acme", undefined],
    ["GET", "/v1/meshes?tenant_id=acme", undefined],
    ["POST", "/v1/workloads/w/lifecycle", { transition: "start", tenant_id: "acme" }],
  ] as const)
    t.like((await as("other", method, path, body)).json, { status: 403, code: "tenant_forbidden" }, path);
  t.is((await as("other", "GET", "/v1/events")).json.items.length, 0);
  await on.close();
});

test("trace ids: the body's, then the query's, then traceparent's", async (t) => {
  const mesh = await defined();
  const traceparent = { headers: { traceparent: `00-${"a1".repeat(16)}-${"b2".repeat(8)}-01` } };
  const trace = async (sending: Promise<Answered>) => (await sending).json.event.details.trace_id;
  t.is(await trace(mesh.place("w", "own", {}, traceparent)), "a1".repeat(16));
  t.is(
    await trace(
      mesh.send("POST", "/placements?trace_id=q", { workload_id: "x", rail_id: "own", policy: FREE }, traceparent),
    ),
    "q",
  );
  t.is(
    await trace(
      mesh.send(
        "POST",
        "/placements?trace_id=q",
        { workload_id: "y", rail_id: "own", policy: FREE, trace_id: "b" },
        traceparent,
      ),
    ),
    "b",
  );
  t.is(await trace(mesh.send("DELETE", "/placements/w?trace_id=q", undefined, traceparent)), "q");
});

test("conditional requests: ETag, If-Match, If-None-Match; 412 leaves no event", async (t) => {
  const mesh = await defined();
  await mesh.place("w", "fast");
  const {
    headers: { etag },
  } = await mesh.show();
  t.is(etag, '"2"');
  t.like(await mesh.show({ headers: { "if-none-match": 'W/"2"' } }), { status: 304, text: "" });
  t.is((await mesh.show({ headers: { "if-none-match": '"1"' } })).status, 200);
  const recorded = (await mesh.events()).length;
  for (const tag of ['"1"', 'W/"2"', '"1", "3"']) {
    const match = { headers: { "if-match": tag } };
    for (const sending of [
      mesh.define(RAILS, match),
      mesh.place("x", "own", {}, match),
      mesh.elevate("w", "hw", match),
      mesh.remove("w", match),
    ]) {
      t.like(await sending, { status: 412, json: { code: "revision_conflict" } });
    }
  }
  t.like(await mesh.define(RAILS, { headers: { "if-none-match": "*" } }), { status: 412 });
  t.is((await mesh.define(RAILS, { headers: { "if-match": "2" } })).status, 422);
  t.is((await mesh.events()).length, recorded);
  t.is((await mesh.elevate("w", "own", { headers: { "if-match": '"1", "2"' } })).status, 200);
  t.is((await mesh.remove("w", { headers: { "if-match": "*" } })).status, 200);
  const fresh = new TestMesh("created-once");
  t.is((await fresh.define(RAILS, { headers: { "if-match": "*" } })).status, 412);
  t.is((await fresh.define(RAILS, { headers: { "if-none-match": "*" } })).status, 201);
});

test("of many commands on one revision exactly one is carried out", async (t) => {
  const mesh = await defined();
  const statuses = await Promise.all(
    Array.from({ length: 16 }, (_, n) =>
      mesh.place(`w-${n}`, "own", {}, { headers: { "if-match": '"1"' } }).then(({ status }) => status),
    ),
  );
  t.is(statuses.filter((status) => status === 201).length, 1);
  t.is(statuses.filter((status) => status === 412).length, 15);
});

const keyed = (key: string): Call => ({ headers: { "idempotency-key": key } });

test("a retry under the same key is answered alike and carried out once, refusals too", async (t) => {
  const mesh = await defined();
  const first = await mesh.place("w", "fast", {}, keyed("k"));
  await mesh.elevate("w", "own");
  const again = await mesh.place("w", "fast", {}, keyed('"k"'));
  t.is(again.status, 201);
  t.is(again.text, first.text);
  const refusal = await mesh.elevate("w", "fast", keyed("r"));
  const { instance: _, ...refusedAgain } = (await mesh.elevate("w", "fast", keyed("r"))).json;
  t.like(refusal.json, refusedAgain);
  const topology = await mesh.define(RAILS, { headers: { "idempotency-key": "t", "if-match": '"3"' } });
  t.is(topology.status, 200);
  t.is((await mesh.define(RAILS, { headers: { "idempotency-key": "t", "if-match": '"3"' } })).text, topology.text);
  t.is((await mesh.events()).length, 5);
});

test("a key belongs to one request of one tenant", async (t) => {
  const [mesh, other] = [await defined(), await defined()];
  await mesh.place("w", "fast", {}, keyed("k"));
  const recorded = (await mesh.events()).length;
  for (const sending of [
    mesh.place("x", "fast", {}, keyed("k")),
    mesh.place("w", "own", {}, keyed("k")),
    mesh.remove("w", keyed("k")),
  ]) {
    t.like((await sending).json, { status: 422, code: "idempotency_key_reused" });
  }
  for (const key of ["", "é", "k".repeat(256)]) t.is((await mesh.place("z", "fast", {}, keyed(key))).status, 422);
  t.is((await mesh.events()).length, recorded);
  t.is((await other.place("w", "fast", {}, keyed("k"))).status, 201);
  t.is((await mesh.place("z", "fast", {}, keyed("k".repeat(255)))).status, 201);
});

test("retries that overtake the answer wait for it", async (t) => {
  const mesh = await defined();
  const answers = await Promise.all(Array.from({ length: 20 }, () => mesh.place("w", "fast", {}, keyed("k"))));
  t.is(new Set(answers.map(({ text }) => text)).size, 1);
  t.is(answers[0]!.status, 201);
  t.is((await mesh.events()).length, 2);
});

test("a 412 leaves nothing under its key, so that the next try decides", async (t) => {
  const mesh = await defined();
  t.is((await mesh.place("w", "fast", {}, { headers: { "idempotency-key": "k", "if-match": '"9"' } })).status, 412);
  t.is((await mesh.place("w", "fast", {}, { headers: { "idempotency-key": "k", "if-match": '"1"' } })).status, 201);
});

test.serial("keys are forgotten after a day, a few with each new one", async (t) => {
  const mesh = await defined();
  for (const n of [1, 2, 3]) await mesh.place(`w-${n}`, "fast", {}, keyed(`old-${n}`));
  clock.ms += KEPT_MS;
  t.like((await mesh.place("w-1", "fast", {}, keyed("old-1"))).json, { code: "ERR_MESH_DUPLICATE_WORKLOAD" });
  for (let n = 0; n < 20; n++) await mesh.remove("nobody", keyed(`new-${n}`));
  await using store = await served.store();
  t.is((await store.due("answer", clock.ms, 100)).length, 0);
  t.is((await store.states("answer", mesh.tenant, 100)).length, 21);
});

test("admissions take a key as well", async (t) => {
  const body = admissible("w", "keyed");
  const first = await served.call("POST", "/v1/admissions", { body, ...keyed("a") });
  t.is(first.status, 200);
  t.is((await served.call("POST", "/v1/admissions", { body, ...keyed("a") })).text, first.text);
  t.is(
    (await served.call("POST", "/v1/admissions", { body: admissible("x", "keyed"), ...keyed("a") })).json.code,
    "idempotency_key_reused",
  );
  t.is((await served.call("GET", "/v1/events?tenant_id=keyed")).json.items.length, 1);
});

test("a batch of admissions under a key is carried out once, tenant by tenant, and each item's answer is kept with its event", async (t) => {
  const items = [admissible("a", "batched"), { workload: 1 }, admissible("b", "batched-2"), admissible("a", "batched")];
  const send = (body: object, key = "one key: with spaces") =>
    served.call("POST", "/v1/admissions/batch", { body, ...keyed(key) });
  const [first, overtaking] = await Promise.all([send({ items }), send({ items })]);
  const events = async (tenant: string) =>
    (await served.call("GET", `/v1/events?tenant_id=${tenant}`)).json.items as { id: string }[];
  const withoutProblem = ({ json }: { json: any }) => json.items.filter((item: object) => "receipt" in item);
  t.is(first.status, 200);
  t.is(withoutProblem(first).length, 3);
  t.deepEqual(withoutProblem(overtaking), withoutProblem(first));
  t.deepEqual(withoutProblem(await send({ items })), withoutProblem(first));
  t.deepEqual([(await events("batched")).length, (await events("batched-2")).length], [2, 1]);
  t.like((await send({ items: items.slice(0, 1) })).json, { status: 422, code: "idempotency_key_reused" });
  const [{ id }] = (await events("batched-2")) as [{ id: string }];
  await served.railgate.erase(id, { tenant_id: "batched-2", basis: "asked for" });
  await using store = await served.store();
  t.is((await store.states("answer", "batched-2", 10)).length, 0, "what is kept goes with the artifact");
  t.is((await store.states("answer", "batched", 10)).length, 2);
});

test("with an artifact goes the answer that was kept for a retry", async (t) => {
  const body = admissible("w", "erasing");
  const { event } = (await served.call("POST", "/v1/admissions", { body, ...keyed("a") })).json;
  await served.call("POST", "/v1/admissions", { body: admissible("x", "erasing"), ...keyed("b") });
  await served.railgate.erase(event.id, { tenant_id: "erasing", basis: "asked for" });
  await using store = await served.store();
  t.deepEqual(
    (await store.states("answer", "erasing", 10)).map(({ key }) => key),
    ["b"],
  );
});

test("the list has a tenant's meshes, page by page", async (t) => {
  for (const id of ["b", "10", "9", "a"])
    await served.call("PUT", `/v1/meshes/${id}/topology`, { body: { rails: RAILS, tenant_id: "list" } });
  const first = (await served.call("GET", "/v1/meshes?tenant_id=list&limit=3")).json;
  t.deepEqual(
    first.items.map(({ mesh_id }: any) => mesh_id),
    ["10", "9", "a"],
  );
  t.deepEqual(Object.keys(first.items[0]).sort(), ["mesh_id", "placements", "rail_states", "revision", "topology"]);
  const second = (await served.call("GET", `/v1/meshes?tenant_id=list&limit=3&cursor=${first.next}`)).json;
  t.deepEqual([second.items.map(({ mesh_id }: any) => mesh_id), second.next], [["b"], null]);
  t.deepEqual((await served.call("GET", "/v1/meshes?tenant_id=nobody")).json, { items: [], next: null });
});

test("commands are counted by law and code", async (t) => {
  const mesh = await defined();
  await mesh.remove("nobody");
  const { text } = await served.call("GET", "/metrics");
  t.regex(text, /^railgate_commands_total\{law="mesh",code="none"\} [1-9]/m);
  t.regex(text, /^railgate_commands_total\{law="mesh",code="ERR_MESH_UNKNOWN_WORKLOAD"\} [1-9]/m);
});

test("the description has every mesh path, with what the law may refuse", async (t) => {
  const { paths } = (await served.call("GET", "/openapi.json")).json;
  t.deepEqual(Object.keys(paths["/v1/meshes/{mesh_id}/placements/{workload_id}"]), ["delete"]);
  const { responses, parameters } = paths["/v1/meshes/{mesh_id}/placements"].post;
  t.regex(responses[409].description, /ERR_MESH_RAIL_AT_CAPACITY/);
  t.regex(responses[404].description, /ERR_MESH_UNKNOWN_RAIL/);
  t.deepEqual(
    parameters.map(({ name }: any) => name),
    ["mesh_id", "Idempotency-Key", "If-Match", "tenant_id", "trace_id"],
  );
});
