// `railgate-consistency`: an answer waits for the record that its caller was handed, and says so where that does not come.
import test from "ava";
import { tenantCaller } from "../../src/core/caller.ts";
import { admissible, start } from "./support.ts";

const node = await start({ node_id: "n1" });
test.after.always(() => node.close());

const READS = [
  "/v1/workloads",
  "/v1/workloads/w-0",
  "/v1/meshes",
  "/v1/events",
  "/v1/streams",
  "/v1/node",
  "/v1/policies",
];
const read = (token: string, path = "/v1/events?tenant_id=acme") =>
  node.call("GET", path, { headers: { "railgate-consistency": token } });
const admit = async (workload_id: string) => {
  const { json } = await node.call("POST", "/v1/admissions", { body: admissible(workload_id) });
  return json.event as { chain_id: string; sequence: number };
};

test.serial("a record that can be seen is not waited for, on any route that reads", async (t) => {
  const { chain_id, sequence } = await admit("w-0");
  t.deepEqual([chain_id, sequence], ["acme/n1", 0]);
  for (const path of READS)
    t.is((await read("acme/n1@0", path.replace("w-0", "w-0?tenant_id=acme"))).status, 200, path);
  const exported = await node.call("POST", "/v1/exports", {
    headers: { "railgate-consistency": "acme/n1@0" },
    body: { tenant_id: "acme", evidence_profile_id: "ecs-evidence-admissible" },
  });
  t.is(exported.status, 200);
});

test.serial("one that comes is waited for", async (t) => {
  const { sequence } = await admit("w-1");
  const waiting = read(`acme/n1@${sequence + 1}`, "/v1/events?tenant_id=acme&limit=1");
  await admit("w-2");
  const { status, json } = await waiting;
  t.is(status, 200);
  t.is(json.items[0].sequence, sequence + 1);
});

test.serial("one that does not come, or of a stream that nobody knows, is a 425 after the wait", async (t) => {
  for (const token of ["acme/n1@999", "acme/nowhere@0"]) {
    const asked = performance.now();
    const { status, json, headers } = await read(token);
    t.deepEqual([status, json.code, headers["retry-after"]], [425, "record_not_visible", "1"], token);
    t.true(performance.now() - asked > 1500, token);
  }
  t.false(await node.railgate.as(tenantCaller("other", "x")).sees("acme/n1", 0), "another tenant's is nobody's");
});

test.serial("what is no such token is a 400", async (t) => {
  for (const token of ["", "acme/n1", "acme/n1@", "acme/n1@x", "acme@1", "acme/n1@-1", "a b/n1@1", "acme%2Fn1@1"])
    t.like((await read(token)).json, { status: 400, code: "request_malformed" }, JSON.stringify(token));
});

test.serial("the description tells of it", async (t) => {
  const { paths } = (await node.call("GET", "/openapi.json")).json;
  const { parameters, responses } = paths["/v1/events"].get;
  t.true(parameters.some(({ name }: { name: string }) => name === "Railgate-Consistency"));
  t.true("425" in responses);
});
