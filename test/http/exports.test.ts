// `POST /v1/exports` and `POST /v1/verify`: an archive that verifies, a report that says what does not, and who may have whose.
import test from "ava";
import type { VerifyReport } from "../../src/evidence/verify/index.ts";
import { verifyExport } from "../../src/evidence/verify/node.ts";
import { containerRequest } from "../core/requests.ts";
import { start, type Started } from "./support.ts";

async function started(settings: object = {}): Promise<Started> {
  const served = await start(settings);
  for (const tenant of ["acme", "acme", "globex"]) {
    const request = containerRequest();
    (request.workload as { tenant_id: string }).tenant_id = tenant;
    await served.call("POST", "/v1/admissions", { body: request });
  }
  return served;
}

test("an export is one archive that verifies, here and by the node itself, and it is on record", async (t) => {
  await using served = disposable(await started());
  const exported = await served.call("POST", "/v1/exports", {
    body: { tenant_id: "acme", evidence_profile_id: "ecs-evidence-admissible" },
  });
  t.is(exported.status, 200);
  t.is(exported.headers["content-type"], "application/gzip");
  t.regex(exported.headers["content-disposition"]!, /^attachment; filename="export-[0-9a-f]{32}\.tar\.gz"$/);
  const jwks = (await served.call("GET", "/.well-known/jwks.json")).json;
  t.true((await verifyExport(exported.bytes, { jwks })).ok);
  const verified = await served.call("POST", "/v1/verify", {
    body: exported.bytes,
    headers: { "content-type": "application/gzip" },
  });
  t.is(verified.status, 200);
  t.like(verified.json, { ok: true, first_bad: null, export: { tenant_id: "acme", events: 2 } });
  const [event] = (await served.call("GET", "/v1/events?event_type=evidence.export")).json.items;
  t.like(event, { tenant_id: "acme", details: { from_sequence: 0, to_sequence: 1 } });
});

test("an archive that does not verify is answered with its report, and one that is hostile as well", async (t) => {
  await using served = disposable(await started());
  const { bytes } = await served.call("POST", "/v1/exports", { body: { tenant_id: "globex" } });
  const headers = { "content-type": "application/gzip" };
  for (const body of [bytes.subarray(0, -20), Buffer.from("nothing of the kind"), Buffer.alloc(2000)]) {
    const { status, json } = await served.call("POST", "/v1/verify", { body, headers });
    t.is(status, 200);
    t.false((json as VerifyReport).ok);
    t.true(
      (json as VerifyReport).checks.some(
        ({ name, status }) => (name === "archive" || name === "manifest") && status === "failed",
      ),
    );
  }
  t.like((await served.call("POST", "/v1/verify", { body: {} })).json, {
    status: 415,
    code: "content_type_unsupported",
  });
});

test("what cannot be exported is a problem, and leaves no event", async (t) => {
  await using served = disposable(await started());
  const ask = async (body: object) => (await served.call("POST", "/v1/exports", { body })).json;
  t.like(await ask({ tenant_id: "nobody" }), { status: 404, code: "stream_unknown" });
  t.like(await ask({ tenant_id: "globex", chain_id: "acme/x" }), { status: 404, code: "stream_unknown" });
  t.like(await ask({ tenant_id: "acme", to_sequence: 99 }), { status: 404, code: "stream_unknown" });
  t.like(await ask({ tenant_id: "acme", evidence_profile_id: "ecs-evidence-ncp" }), {
    status: 409,
    code: "export_incomplete",
  });
  t.like(await ask({ tenant_id: "acme", evidence_profile_id: "best" }), {
    status: 422,
    errors: [{ pointer: "/evidence_profile_id" }],
  });
  t.like(await ask({ tenant_id: "acme", from: 0 }), { status: 422, errors: [{ pointer: "/from" }] });
  t.like(await ask({ tenant_id: "acme", from_sequence: -1 }), { status: 422 });
  t.deepEqual((await served.call("GET", "/v1/events?event_type=evidence.export")).json.items, []);
});

function disposable(served: Started): Started & AsyncDisposable {
  return Object.assign(served, { [Symbol.asyncDispose]: () => served.close() });
}
