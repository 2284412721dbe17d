// AuthZEN's Authorization API 1.0 over one entrypoint: single and many, what ends a row, and what is no request.
import test from "ava";
import { opaBundle, startOver } from "./opa.ts";
import { start } from "./support.ts";

const bundle = await opaBundle();
const served = await startOver(bundle, {
  authzen: { entrypoint: "app/authzen/decision" },
  limits: { batch_items_max: 4 },
});
test.after.always(() => served.close());

const asks = (id: string, name = "read", properties?: object) => ({
  subject: { type: "user", id },
  action: { name },
  resource: { type: "doc", id: "1", ...(properties && { properties }) },
});
const evaluation = (body: unknown) => served.call("POST", "/access/v1/evaluation", { body: body as object });
const evaluations = (body: unknown) => served.call("POST", "/access/v1/evaluations", { body: body as object });

test("yes, no, and a decision with its context; undefined is no", async (t) => {
  t.deepEqual((await evaluation(asks("root"))).json, { decision: true });
  t.deepEqual((await evaluation(asks("bob"))).json, { decision: false });
  t.deepEqual((await evaluation(asks("bob", "read", { owner: "bob" }))).json, {
    decision: true,
    context: { reason: "owner" },
  });
  const undefinedOne = await startOver(bundle, { authzen: { entrypoint: "app/authz/undef" } });
  t.deepEqual((await undefinedOne.call("POST", "/access/v1/evaluation", { body: asks("x") })).json, {
    decision: false,
  });
  await undefinedOne.close();
});

test("the request id is echoed, and with the input on record; what the standard does not name is not the policy's to see", async (t) => {
  const body = { ...asks("root"), context: { time: 1 }, extra: 2 };
  const headers = { "x-request-id": "req-authzen-1" };
  const answer = await served.call("POST", "/access/v1/evaluation?tenant_id=acme", { headers, body });
  t.is(answer.headers["x-request-id"], "req-authzen-1");
  const { items } = (await served.call("GET", "/v1/events?tenant_id=acme&event_type=policy.evaluate")).json;
  const event = items.find(
    ({ details }: { details: { request_id?: string } }) => details.request_id === "req-authzen-1",
  );
  t.is(event.tenant_id, "acme");
  const artifact = (await served.call("GET", `/v1/events/${event.id}/artifact?tenant_id=acme`)).json;
  t.deepEqual(artifact.input, { ...asks("root"), context: { time: 1 } });
});

test("a missing or mistyped member is a 400 that says which", async (t) => {
  const { subject, action, resource } = asks("root");
  for (const [body, pointer] of [
    [{ action, resource }, "/subject"],
    [{ subject, resource }, "/action"],
    [{ subject, action }, "/resource"],
    [{ subject: { type: "user" }, action, resource }, "/subject/id"],
    [{ subject, action: {}, resource }, "/action/name"],
    [{ subject, action, resource: { id: "1" } }, "/resource/type"],
    [{ subject: "root", action, resource }, "/subject"],
    [{ subject, action, resource, context: 1 }, "/context"],
    [{ subject, action, resource: { ...resource, properties: [] } }, "/resource/properties"],
  ] as const) {
    const { status, json } = await evaluation(body);
    t.is(status, 400, pointer);
    t.true(
      json.errors.some((fault: { pointer: string }) => fault.pointer === pointer),
      JSON.stringify(json.errors),
    );
  }
  for (const body of ["", "[]", "null", "{"]) t.is((await evaluation(body)).status, 400, body);
});

test("a policy that comes to no decision is a 500 with its event, and a no among many", async (t) => {
  for (const name of ["odd", "clash"]) {
    const { status, json } = await evaluation(asks("x", name));
    t.is(status, 500);
    t.is(json.code, "evaluation_failed");
    const id = /event (\S+) has/.exec(json.detail)![1];
    t.is((await served.call("GET", `/v1/events/${id}`)).json.event.event_type, "policy.evaluate");
    const many = await evaluations({ evaluations: [asks("root"), asks("x", name)] });
    t.is(many.status, 200);
    t.like(many.json.evaluations[1], { decision: false, context: { error: { status: 500 } } });
  }
});

test("many: defaults, order, and what ends the row", async (t) => {
  const { action, resource } = asks("x");
  const subjects = ["root", "bob", "root", "bob"].map((id) => ({ subject: { type: "user", id } }));
  const row = async (evaluations_semantic?: string) => {
    const options = evaluations_semantic === undefined ? {} : { options: { evaluations_semantic } };
    const { status, json } = await evaluations({ action, resource, evaluations: subjects, ...options });
    t.is(status, 200);
    return json.evaluations.map(({ decision }: { decision: boolean }) => decision);
  };
  t.deepEqual(await row(), [true, false, true, false]);
  t.deepEqual(await row("execute_all"), [true, false, true, false]);
  t.deepEqual(await row("deny_on_first_deny"), [true, false]);
  t.deepEqual(await row("permit_on_first_permit"), [true]);
  const own = await evaluations({ ...asks("bob"), evaluations: [{}, { subject: { type: "user", id: "root" } }] });
  t.deepEqual(own.json, { evaluations: [{ decision: false }, { decision: true }] });
});

test("what was not evaluated is not on record, and what was is", async (t) => {
  const options = { evaluations_semantic: "deny_on_first_deny" };
  const body = { ...asks("bob"), evaluations: [{}, {}, {}], options };
  await served.call("POST", "/access/v1/evaluations?tenant_id=rows", { body });
  t.is((await served.call("GET", "/v1/events?tenant_id=rows")).json.items.length, 1);
  const all = { ...asks("root"), evaluations: [{}, {}, {}], options };
  await served.call("POST", "/access/v1/evaluations?tenant_id=rows", { body: all });
  t.is((await served.call("GET", "/v1/events?tenant_id=rows")).json.items.length, 4);
});

test("without evaluations it is a single one", async (t) => {
  t.deepEqual((await evaluations(asks("root"))).json, { decision: true });
  t.deepEqual((await evaluations({ ...asks("root"), evaluations: [] })).json, { decision: true });
});

test("many: faults are told by item; too many are a 413", async (t) => {
  const { subject, ...rest } = asks("root");
  const { status, json } = await evaluations({ ...rest, evaluations: [{ subject }, {}] });
  t.is(status, 400);
  t.is(json.errors[0].pointer, "/evaluations/1/subject");
  t.is((await evaluations({ ...asks("root"), options: { evaluations_semantic: "x" }, evaluations: [{}] })).status, 400);
  t.is((await evaluations({ ...asks("root"), evaluations: [{}, {}, {}, {}, {}] })).status, 413);
});

test("it says where it is asked; where no entrypoint is named, there is nothing of it", async (t) => {
  t.deepEqual((await served.call("GET", "/.well-known/authzen-configuration")).json, {
    policy_decision_point: served.url,
    access_evaluation_endpoint: `${served.url}/access/v1/evaluation`,
    access_evaluations_endpoint: `${served.url}/access/v1/evaluations`,
  });
  const none = await start();
  for (const [method, path] of [
    ["GET", "/.well-known/authzen-configuration"],
    ["POST", "/access/v1/evaluation"],
    ["POST", "/access/v1/evaluations"],
  ] as const) {
    const { status, json } = await none.call(method, path, method === "POST" ? { body: asks("root") } : {});
    t.is(status, 404);
    t.is(json.code, "not_found");
  }
  await none.close();
});

test("an entrypoint that no active policy has is a 501", async (t) => {
  const other = await startOver(bundle, { authzen: { entrypoint: "app/nope" } });
  const { status, json } = await other.call("POST", "/access/v1/evaluation", { body: asks("root") });
  t.is(status, 501);
  t.is(json.code, "entrypoint_unknown");
  await other.close();
});
