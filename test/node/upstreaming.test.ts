// What is reconciled, by the records alone: once, whatever came between that and the end of the partition.
import test from "ava";
import { Upstreaming } from "../../src/node/upstreaming.ts";
import { edgeWith, eventIn } from "../evidence/edges.ts";
import { admit } from "../evidence/exports.ts";
import { until } from "../until.ts";

test("a node that ended after it had reconciled, and before its partition had, goes on behind that", async (t) => {
  const { dir, node } = await edgeWith(2, "edge");
  await node.isolate("a drill", "test");
  await admit(node, 3, "acme", 10);
  const checkpoint = async (): Promise<void> => {
    const { size } = (await node.store.log.stream("acme/edge"))!;
    await until(async () => (await node.store.log.checkpoint("acme/edge"))?.size === size, "a checkpoint");
  };
  // As each start makes it: what is known of the partition is on record.
  const reconciles = (): Promise<boolean> =>
    new Upstreaming({
      upstream: undefined,
      dataDir: dir,
      storePath: dir,
      nodeId: "edge",
      ownIds: ["edge"],
      store: node.store,
      gate: () => node.gate,
      partition: () => node.partition,
      checkpoint,
    }).reconciled();
  t.true(await reconciles());
  await admit(node, 1, "acme", 20);
  t.true(await reconciles());
  const query = { tenant_id: "acme", event_type: "chain.reconciliation", order: "asc", limit: 10 } as const;
  const ranges = (await node.store.events(query)).map(({ record }) => {
    const { from_sequence, to_sequence } = eventIn(record).details!;
    return [from_sequence, to_sequence];
  });
  t.deepEqual(ranges, [
    [2, 4],
    [5, 6],
  ]);
  await node.close();
});
