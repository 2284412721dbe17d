// What somebody changed in the store is not shown as if it had been recorded.
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import test from "ava";
import { admissible, start } from "./support.ts";
import { until } from "../until.ts";

test("an altered artifact is 503 artifact_altered wherever it is read, and its event stands", async (t) => {
  const node = await start();
  t.teardown(() => node.close());
  const { event } = (await node.call("POST", "/v1/admissions", { body: admissible("w") })).json;
  const other = (await node.call("POST", "/v1/admissions", { body: admissible("v") })).json.event;
  t.is((await node.call("GET", `/v1/events/${event.id}/artifact?tenant_id=acme`)).status, 200);
  {
    using db = new DatabaseSync(join(node.dir, "data", "railgate.db"));
    db.exec(
      `UPDATE artifacts SET bytes = replace(bytes, '"accepted"', '"refused"') WHERE position = (SELECT position FROM events WHERE id = '${event.id}')`,
    );
  }
  for (const path of [`/v1/events/${event.id}/artifact`, "/v1/workloads/w"]) {
    const { status, json } = await node.call("GET", `${path}?tenant_id=acme`);
    t.is(status, 503, path);
    t.is(json.code, "artifact_altered", path);
  }
  t.is((await node.call("GET", `/v1/events/${other.id}/artifact?tenant_id=acme`)).status, 200);
  t.is((await node.call("GET", "/v1/workloads/v?tenant_id=acme")).status, 200);
  t.is((await node.call("GET", `/v1/events?tenant_id=acme`)).json.items.length, 2);
  const body = { tenant_id: "acme", evidence_profile_id: "ecs-evidence-baseline" };
  // That something else has written to the database is noticed, too, until it is made sure that no event is another.
  const exported = await until(async () => {
    const answer = await node.call("POST", "/v1/exports", { body });
    return answer.json.code !== "evidence_unavailable" && answer;
  });
  t.is(exported.json.code, "export_incomplete");
});
