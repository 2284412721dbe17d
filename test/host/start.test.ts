// Starting again: what is put on record at a start, and what is not put on record twice.
import test from "ava";
import { join } from "node:path";
import { RailgateNode } from "../../src/node/open.ts";
import { emptyDir, verifiedEvents } from "../http/support.ts";

test("each start is on record, and the policy's activation once", async (t) => {
  const dir = emptyDir();
  for (let n = 0; n < 3; n++) await (await RailgateNode.open({ dataDir: join(dir, "data") })).close();
  const types = (await verifiedEvents(dir)).map(({ event_type }) => event_type);
  t.deepEqual(types, ["node.start", "policy.activate", "node.start", "node.start"]);
});
