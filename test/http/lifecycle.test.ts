// A workload's life over real HTTP: transitions, attestation and its deadlines, and what becomes of its rail.
import test, { type ExecutionContext } from "ava";
import { CompactSign, exportJWK, generateKeyPair } from "jose";
import { containerRequest, teeRequest } from "../core/requests.ts";
import type { AdmissionRequest } from "../../src/core/schema/request.ts";
import { Clock, admissible, start, type Answered, type Call } from "./support.ts";

const T0 = Date.UTC(2026, 10, 25, 8);
const clock = new Clock(T0);
const at = (ms: number) => new Date(ms).toISOString();

const signer = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
const jwks = { keys: [{ ...(await exportJWK(signer.publicKey)), kid: "k" }] };
const [AUTHORITY, ATTESTER] = ["https://authority.example", "https://attester.example"];
const served = await start(
  { trust: { authorities: [{ issuer: AUTHORITY, jwks, root: true }], attesters: [{ issuer: ATTESTER, jwks }] } },
  { clock: clock.shared },
);
test.after.always(() => served.close());

const sign = (payload: object, typ = "JWT") =>
  new CompactSign(Buffer.from(JSON.stringify(payload)))
    .setProtectedHeader({ alg: "EdDSA", kid: "k", typ })
    .sign(signer.privateKey);
const BINDING = "railgate-authority+jws";
const post = (path: string, body: object, call: Call = {}) => served.call("POST", path, { ...call, body });
const admit = (body: object) => post("/v1/admissions", body);
const lifecycle = (id: string, transition: string, more: object = {}, call: Call = {}) =>
  post(`/v1/workloads/${id}/lifecycle`, { transition, tenant_id: "acme", ...more }, call);
const attest = (id: string, attestation: object) =>
  post(`/v1/workloads/${id}/attestations`, { tenant_id: "acme", ...attestation });
const show = async (id: string) => (await served.call("GET", `/v1/workloads/${id}?tenant_id=acme`)).json;
const eventsOf = async (id: string): Promise<any[]> =>
  (await served.call("GET", `/v1/events?tenant_id=acme&workload_id=${id}&order=asc`)).json.items;

const report = (over: object = {}) => ({
  report_ref: "r-1",
  platform_type: "amd-sev-snp",
  result: "pass" as const,
  measured_at: at(clock.ms),
  ...over,
});

/** A request that the shipped law admits into a TEE; to be attested again every quarter of an hour. */
function enclave(id: string): AdmissionRequest {
  const request = teeRequest();
  const dependencies = ["attestation_service", "key_service"].map((kind) => ({
    dependency_id: kind,
    kind,
    available: true,
    local: true,
  }));
  return {
    ...request,
    workload: { ...request.workload, workload_id: id, dependencies } as AdmissionRequest["workload"],
    placement: { ...request.placement!, tenancy: "dedicated" },
    attestation: report(),
  };
}

async function refused(
  t: ExecutionContext,
  sending: Promise<Answered>,
  status: number,
  code: string,
  event_type: string,
): Promise<any> {
  const { status: got, json, text } = await sending;
  t.is(got, status, text);
  t.like(json, {
    code,
    status,
    type: `urn:railgate:problem:${code}`,
    event: { event_type, outcome: "refused", refusal_reason_code: code },
  });
  for (const name of ["title", "detail", "solution", "pointer"]) t.is(typeof json[name], "string", name);
  t.is(json.receipt.split(".").length, 3);
  t.false("mesh_event" in json);
  return json;
}

const PATHS: Record<string, string[]> = {
  admitted: [],
  created: ["create"],
  running: ["create", "start"],
  stopped: ["create", "start", "stop"],
  destroyed: ["destroy"],
};
const ALLOWED: Record<string, Record<string, string>> = {
  admitted: { create: "created", destroy: "destroyed" },
  created: { start: "running", destroy: "destroyed" },
  running: { stop: "stopped", destroy: "destroyed" },
  stopped: { start: "running", destroy: "destroyed" },
  destroyed: {},
};
for (const [state, path] of Object.entries(PATHS)) {
  test(`every transition from ${state}`, async (t) => {
    for (const transition of ["create", "start", "stop", "destroy"]) {
      const id = `${state}-${transition}`;
      await admit(admissible(id));
      for (const step of path) t.is((await lifecycle(id, step)).status, 200);
      const to = ALLOWED[state]![transition];
      const event_type = `workload.envelope.${transition}`;
      if (to === undefined) {
        const problem = await refused(t, lifecycle(id, transition), 409, "lifecycle_transition_invalid", event_type);
        t.is(problem.pointer, "/transition");
        t.is((await show(id)).state, state);
        continue;
      }
      const { status, json } = await lifecycle(id, transition, { trace_id: "tr" });
      t.is(status, 200);
      t.deepEqual(Object.keys(json).sort(), ["event", "receipt", "workload"]);
      t.like(json.event, {
        event_type,
        outcome: "accepted",
        subject: id,
        details: { workload_id: id, transition, from_state: state, to_state: to, error_code: null, trace_id: "tr" },
      });
      t.deepEqual(json.workload, await show(id));
      t.is(json.workload.state, to);
      t.deepEqual(json.workload.events[0], json.event);
    }
  });
}

test("a workload that was never admitted: 404 with evidence, in the asking tenant's stream", async (t) => {
  for (const transition of ["create", "start", "stop", "destroy"])
    await refused(t, lifecycle("nobody", transition), 404, "workload_unknown", `workload.envelope.${transition}`);
  await refused(t, attest("nobody", report()), 404, "workload_unknown", "workload.attestation");
  await admit(admissible("ours", "another"));
  await refused(t, lifecycle("ours", "create"), 404, "workload_unknown", "workload.envelope.create");
  t.is((await eventsOf("nobody")).length, 5);
});

test("what cannot be read is the door's 422 and leaves no event", async (t) => {
  await admit(admissible("door"));
  const cases: [string, object, string][] = [
    ["door/lifecycle", { transition: "melt" }, "/transition"],
    ["door/lifecycle", {}, "/transition"],
    ["door/lifecycle", { transition: "create", colour: "red" }, "/colour"],
    ["door/lifecycle", { transition: "create", trace_id: "a b" }, "/trace_id"],
    ["do%20or/lifecycle", { transition: "create" }, "/path/id"],
    ["door/attestations", { token: 7 }, "/token"],
    ["door/attestations", { token: "a.b.c", result: "pass" }, "/result"],
    ["door/attestations", report({ measured_at: "yesterday" }), "/measured_at"],
    ["door/attestations", report({ result: "perhaps" }), "/result"],
  ];
  for (const [path, body, pointer] of cases) {
    const { status, json } = await post(`/v1/workloads/${path}?tenant_id=acme`, body);
    t.is(status, 422, JSON.stringify(body));
    t.true(
      json.errors.some((fault: any) => fault.pointer === pointer),
      JSON.stringify(json.errors),
    );
  }
  t.is((await eventsOf("door")).length, 1);
});

test("a retry of a transition is answered alike, whatever came after", async (t) => {
  await admit(admissible("retry"));
  const key = { headers: { "idempotency-key": "create-retry" } };
  const first = await lifecycle("retry", "create", {}, key);
  await lifecycle("retry", "start");
  t.is((await lifecycle("retry", "create", {}, key)).text, first.text);
  t.is((await eventsOf("retry")).length, 3);
  t.is((await lifecycle("retry", "stop", {}, key)).json.code, "idempotency_key_reused");
});

test("destroying frees the rail in the same commit; an id may be admitted anew, and its rail level stays", async (t) => {
  const rails = [
    { rail_id: "s", level: "sandbox_isolated", latency_overhead_us: 1, capacity: 1 },
    { rail_id: "h", level: "hardware_isolated", latency_overhead_us: 2, capacity: 1 },
  ];
  const policy = {
    elevation_allowed: true,
    max_target_level: "hardware_isolated",
    preserve_latency_budget: false,
    latency_budget_us: 0,
  };
  const place = (mesh: string, id: string, rail_id: string) =>
    post(`/v1/meshes/${mesh}/placements`, { tenant_id: "acme", workload_id: id, rail_id, policy });
  const mesh = async (id: string) => (await served.call("GET", `/v1/meshes/${id}?tenant_id=acme`)).json;
  await admit(admissible("leaves"));
  for (const id of ["one", "two"]) {
    await served.call("PUT", `/v1/meshes/${id}/topology`, { body: { tenant_id: "acme", rails } });
    t.is((await place(id, "leaves", "s")).status, 201);
  }
  await post("/v1/meshes/one/placements/leaves/elevation", { tenant_id: "acme", target_rail_id: "h" });
  const destroyed = await lifecycle("leaves", "destroy", { trace_id: "tr-9" });
  t.is(destroyed.status, 200);
  const removals = (await eventsOf("leaves")).slice(-2);
  t.deepEqual(
    removals.map(({ event_type, outcome, details }) => [
      event_type,
      outcome,
      details.mesh_id,
      details.mesh_event,
      details.trace_id,
    ]),
    [
      ["mesh.remove", "accepted", "one", "MESH_005", "tr-9"],
      ["mesh.remove", "accepted", "two", "MESH_005", "tr-9"],
    ],
  );
  t.deepEqual(
    removals.map(({ sequence }) => sequence),
    [1, 2].map((n) => destroyed.json.event.sequence + n),
  );
  for (const id of ["one", "two"]) t.deepEqual((await mesh(id)).placements, {});
  t.is((await place("two", "next", "s")).status, 201);
  // Admitted anew, it still may not come back lower than it was in that mesh.
  t.is((await admit(admissible("leaves"))).json.decision.outcome, "accepted");
  t.is((await show("leaves")).state, "admitted");
  t.like((await place("one", "leaves", "s")).json, { code: "ERR_MESH_DEMOTION_FORBIDDEN", mesh_event: "MESH_007" });
  t.is((await place("one", "leaves", "h")).status, 201);
});

test("a live workload that is admitted again keeps its state, and its least rail level never falls", async (t) => {
  await admit(admissible("again"));
  await lifecycle("again", "create");
  const runc = admissible("again") as any;
  runc.workload.envelope.container.runtime = "runc-hardened";
  const second = await admit(runc);
  t.is(second.json.decision.rail.least_level, "sandbox_isolated");
  t.like(await show("again"), {
    state: "created",
    least_level: "sandbox_isolated",
    admission: { event_id: second.json.event.id },
  });
  runc.workload.classification = "restricted";
  t.is((await admit(runc)).json.decision.outcome, "refused");
  t.is((await show("again")).admission.event_id, second.json.event.id);
  await lifecycle("again", "destroy");
  runc.workload.classification = "internal";
  t.is((await admit(runc)).json.decision.rail.least_level, "shared");
  t.like(await show("again"), { state: "admitted", least_level: "shared" });
});

test("placed first and admitted after: start is rail_insufficient until every rail reaches the least level", async (t) => {
  const policy = {
    elevation_allowed: true,
    max_target_level: "hardware_isolated",
    preserve_latency_budget: false,
    latency_budget_us: 0,
  };
  const rails = ["shared", "hardware_isolated"].map((level) => ({
    rail_id: level,
    level,
    latency_overhead_us: 0,
    capacity: 4,
  }));
  for (const mesh of ["first-1", "first-2"]) {
    const topology = await served.call("PUT", `/v1/meshes/${mesh}/topology`, { body: { rails, tenant_id: "acme" } });
    t.is(topology.status, 201, topology.text);
    const placement = { workload_id: "early", rail_id: "shared", policy, tenant_id: "acme" };
    t.is((await post(`/v1/meshes/${mesh}/placements`, placement)).status, 201);
  }
  const due = ["first-1", "first-2"].map((mesh_id) => ({
    obligation: "elevate",
    mesh_id,
    least_level: "sandbox_isolated",
  }));
  const { decision } = (await admit(admissible("early"))).json;
  t.is(decision.outcome, "accepted");
  t.deepEqual(decision.obligations, due);
  t.deepEqual((await post("/v1/admissions?dry_run=true", admissible("early"))).json.decision.obligations, due);
  t.deepEqual((await show("early")).obligations, due);
  await lifecycle("early", "create");
  await refused(t, lifecycle("early", "start"), 409, "rail_insufficient", "workload.envelope.start");
  const elevate = (mesh: string) =>
    post(`/v1/meshes/${mesh}/placements/early/elevation`, { target_rail_id: "hardware_isolated", tenant_id: "acme" });
  t.is((await elevate("first-1")).status, 200);
  await refused(t, lifecycle("early", "start"), 409, "rail_insufficient", "workload.envelope.start");
  t.deepEqual((await show("early")).obligations, due.slice(1));
  t.is((await elevate("first-2")).status, 200);
  t.is((await lifecycle("early", "start")).json.workload.state, "running");
});

test.serial(
  "an admission lasts no longer than the authority it rests on: create and start are refused, stop is not",
  async (t) => {
    clock.ms = T0;
    const bound = { scope: ["workload.admit"], valid_from: at(T0 - 1000), valid_to: at(T0 + 60_000) };
    const authority = await sign({ issuer: AUTHORITY, tenant_id: "acme", subject: "*", ...bound }, BINDING);
    for (const id of ["expires", "runs"])
      t.is((await admit({ ...admissible(id), authority })).json.decision.outcome, "accepted");
    for (const step of ["create", "start"]) await lifecycle("runs", step);
    clock.ms = T0 + 60_000;
    t.is((await lifecycle("expires", "create")).status, 200);
    clock.ms = T0 + 60_001;
    await refused(t, lifecycle("expires", "start"), 409, "admission_expired", "workload.envelope.start");
    t.is((await lifecycle("runs", "stop")).status, 200);
    t.is((await lifecycle("runs", "destroy")).status, 200);
  },
);

test.serial("a TEE starts with a fresh attestation only; each that passes moves the deadline", async (t) => {
  clock.ms = T0;
  const admission = await admit(enclave("tee"));
  t.is(admission.json.decision.outcome, "accepted", admission.text);
  t.deepEqual(admission.json.decision.obligations, [{ obligation: "reattest", by: "2026-11-25T08:15:00Z" }]);
  await lifecycle("tee", "create");
  clock.ms = T0 + 10 * 60_000;
  const { status, json } = await attest("tee", report({ report_ref: "r-2" }));
  t.is(status, 200);
  t.like(json.event, {
    event_type: "workload.attestation",
    outcome: "accepted",
    details: {
      standing: "passed",
      attestation: { form: "report", report_ref: "r-2", platform_type: "amd-sev-snp", result: "pass" },
      next_by: "2026-11-25T08:25:00Z",
    },
  });
  t.like(json.workload, {
    state: "created",
    attestation: { report_ref: "r-2", due_by: "2026-11-25T08:25:00Z", overdue: false },
  });
  clock.ms = T0 + 25 * 60_000;
  t.is((await lifecycle("tee", "start")).status, 200);
});

test.serial("a failed re-attestation is a 409 with evidence, and blocks start until one passes", async (t) => {
  clock.ms = T0;
  await admit(enclave("fails"));
  await lifecycle("fails", "create");
  clock.ms = T0 + 1000;
  const problem = await refused(
    t,
    attest("fails", report({ result: "fail" })),
    409,
    "attestation_failed",
    "workload.attestation",
  );
  t.is(problem.event.details.standing, "failed");
  await refused(t, lifecycle("fails", "start"), 409, "attestation_failed", "workload.envelope.start");
  await refused(
    t,
    attest("fails", report({ platform_type: undefined })),
    409,
    "attestation_incomplete",
    "workload.attestation",
  );
  await refused(
    t,
    attest("fails", report({ measured_at: at(T0 - 1) })),
    409,
    "attestation_stale",
    "workload.attestation",
  );
  t.is((await attest("fails", report())).status, 200);
  t.is((await lifecycle("fails", "start")).status, 200);
});

test.serial("a token is verified by the host, and the command's trace_id is no nonce", async (t) => {
  clock.ms = T0;
  await admit(enclave("token"));
  const token = (over: object = {}) =>
    sign({
      iss: ATTESTER,
      iat: clock.ms / 1000,
      report_ref: "t-1",
      platform_type: "amd-sev-snp",
      result: "pass",
      debuggable: false,
      ...over,
    });
  clock.ms = T0 + 1000;
  t.like((await attest("token", { token: await token() })).json.event.details, {
    standing: "passed",
    attestation: { form: "token", report_ref: "t-1" },
  });
  for (const [seconds, trace_id] of [
    [2, "n-1"],
    [3, "n-2"],
  ] as const) {
    clock.ms = T0 + seconds * 1000;
    const body = { token: await token({ nonce: "n-1" }), trace_id };
    await refused(t, attest("token", body), 409, "attestation_failed", "workload.attestation");
  }
  await refused(
    t,
    attest("token", { token: await token({ iss: "https://stranger.example" }) }),
    409,
    "attestation_failed",
    "workload.attestation",
  );
  await refused(
    t,
    attest("token", { token: await token({ debuggable: true }) }),
    409,
    "attestation_failed",
    "workload.attestation",
  );
  t.false((await eventsOf("token")).some((event) => JSON.stringify(event).includes("eyJ")));
});

test.serial("the node itself notices a missed deadline; start is refused until a re-attestation passes", async (t) => {
  clock.ms = T0;
  await admit(enclave("late"));
  await lifecycle("late", "create");
  clock.ms = T0 + 15 * 60_000;
  t.is((await lifecycle("late", "start")).status, 200, "the deadline itself is in time");
  await lifecycle("late", "stop");
  const missed = async () => (await eventsOf("late")).filter(({ details }) => details.standing === "missed");
  clock.ms = T0 + 15 * 60_000 + 1;
  for (let waited = 0; (await missed()).length === 0 && waited < 300; waited++)
    await new Promise((resolve) => setTimeout(resolve, 50));
  const [event, ...more] = await missed();
  t.like(event, {
    event_type: "workload.attestation",
    actor: "node",
    details: { attestation: null, standing: "missed", next_by: "2026-11-25T08:15:00Z" },
  });
  t.deepEqual(more, []);
  t.true((await show("late")).attestation.overdue);
  await refused(t, lifecycle("late", "start"), 409, "attestation_stale", "workload.envelope.start");
  t.is((await attest("late", report())).status, 200);
  t.is((await lifecycle("late", "start")).status, 200);
  t.is((await missed()).length, 1);
});

test("what was admitted goes on when the admission's artifact was erased", async (t) => {
  const { event } = (await admit(admissible("erased"))).json;
  await served.railgate.erase(event.id, { tenant_id: "acme", basis: "asked for by the person concerned" });
  const { status, json } = await lifecycle("erased", "create");
  t.is(status, 200);
  t.is(json.workload.admission.decision, null);
  t.like(await show("erased"), { state: "created", admission: { decision: null } });
});

test("containers are not attested", async (t) => {
  const { workload } = containerRequest();
  await admit(admissible("plain", workload.tenant_id));
  await refused(t, attest("plain", report()), 409, "attestation_failed", "workload.attestation");
});
