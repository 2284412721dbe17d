// The log in the store: whatever is appended, in whatever batches, with failures and restarts, its tiles are those of the records.
import { toHex } from "../../src/core/bytes.ts";
import { rootAt, rootOfLeaves } from "../../src/core/merkle.ts";
import { TREE_HASHER } from "../../src/core/sha256.ts";
import { nodesOfTiles, overTiles, tileWidthAt } from "../../src/core/tiles.ts";
import type { Append } from "../../src/store/store.ts";
import { overAll } from "./engines.ts";

function append(chain_id: string, sequence: number, record = `${chain_id}.${sequence}.x`): Append {
  return {
    chain_id,
    sequence,
    id: `${chain_id}-${sequence}-${record.length}`,
    event_type: "workload.admit",
    outcome: "accepted",
    tenant_id: chain_id.split("/")[0]!,
    workload_id: null,
    correlation_id: "c",
    occurred_at_ms: 0,
    event_hash: "sha256:00",
    artifact_digest: "sha256:00",
    record,
    artifact: null,
    blobs: [],
    states: [],
  };
}

const rootOfRecords = (records: readonly string[]): string =>
  toHex(
    rootOfLeaves(
      TREE_HASHER,
      records.map((record) => new TextEncoder().encode(record)),
    ),
  );

overAll("batches of any size over several streams, with restarts in between", async (t, place) => {
  const chains = ["a/n", "b/n", "c/n"];
  const sizes = new Map(chains.map((chain) => [chain, 0]));
  let writer = await place.writer();
  let turn = 1;
  while (sizes.get("a/n")! < 1100) {
    turn = (turn * 48_271) % 2_147_483_647;
    const batch = Array.from({ length: 1 + (turn % 300) }, (_, i) => {
      const chain = chains[(turn + i) % (i % 3 === 0 ? 3 : 1)]!;
      const sequence = sizes.get(chain)!;
      sizes.set(chain, sequence + 1);
      return append(chain, sequence);
    });
    await writer.append(batch);
    if (turn % 3 === 0) {
      await writer.close();
      writer = await place.writer();
    }
  }
  const reader = await place.reader();
  for (const [chain, size] of sizes) {
    const records = await reader.log.records(chain, 0, size);
    t.is(records.length, size);
    t.deepEqual(
      [(await writer.tree(chain)).size, toHex((await writer.tree(chain)).root)],
      [size, rootOfRecords(records)],
    );
    const rootOf = (at: number) =>
      overTiles(
        (level, n) => reader.log.tile(chain, level, n),
        (tile) => rootAt(TREE_HASHER, nodesOfTiles(TREE_HASHER, tile), at),
      );
    for (const at of [0, 1, 255, 256, 257, 512, 700, size])
      if (at <= size) t.is(toHex(await rootOf(at)), rootOfRecords(records.slice(0, at)));
    for (const level of [0, 1, 2])
      for (let n = 0; n < 6; n++)
        t.is((await reader.log.tile(chain, level, n)).length / 32, tileWidthAt(level, n, size));
  }
  t.deepEqual(
    await reader.log.streams(),
    chains.map((chain_id) => ({ chain_id, tenant_id: chain_id[0]!, size: sizes.get(chain_id)! })),
  );
  t.is(await reader.log.stream("d/n"), undefined);
  t.is((await reader.log.tile("d/n", 0, 0)).length, 0);
  await writer.close();
  await reader.close();
});

overAll("a batch that fails leaves no hash behind, and the next one grows from what is stored", async (t, place) => {
  await using writer = await place.writer();
  await writer.append(Array.from({ length: 250 }, (_, i) => append("a/n", i)));
  const before = await writer.tree("a/n");
  const doubled = Array.from({ length: 20 }, (_, i) => append("a/n", 250 + i, "lost"));
  // The last event has the first one's id.
  await t.throwsAsync(() => writer.append([...doubled, { ...append("a/n", 270), id: doubled[0]!.id }]), {
    message: /unique/i,
  });
  t.deepEqual(await writer.tree("a/n"), before);
  await t.throwsAsync(() => writer.append([append("a/n", 250), append("a/n", 252)]), { message: /cannot follow/ });
  await writer.append(Array.from({ length: 20 }, (_, i) => append("a/n", 250 + i)));
  await using reader = await place.reader();
  t.is(toHex((await writer.tree("a/n")).root), rootOfRecords(Array.from({ length: 270 }, (_, i) => `a/n.${i}.x`)));
  t.is((await reader.log.tile("a/n", 0, 0)).length, 8192);
});

overAll("a record that has no place in a bundle is not appended", async (t, place) => {
  await using writer = await place.writer();
  await t.throwsAsync(() => writer.append([append("a/n", 0, "x".repeat(65_536))]), { message: /no place/ });
  await writer.append([append("a/n", 0, "x".repeat(65_535))]);
  t.is((await writer.tree("a/n")).size, 1);
});

overAll("more streams than are kept in memory", async (t, place) => {
  await using writer = await place.writer();
  const chains = Array.from({ length: 3000 }, (_, i) => `t${i}/n`);
  const looked = [chains[0]!, chains[2999]!];
  await writer.append(chains.map((chain) => append(chain, 0)));
  await writer.append((place.isFar ? looked : chains).map((chain) => append(chain, 1)));
  for (const chain of looked)
    t.is(toHex((await writer.tree(chain)).root), rootOfRecords([`${chain}.0.x`, `${chain}.1.x`]));
});

overAll("checkpoints: the latest is kept, and what has grown since is known", async (t, place) => {
  await using writer = await place.writer();
  await writer.append([append("a/n", 0), append("b/n", 0)]);
  await using reader = await place.reader();
  t.deepEqual((await writer.uncheckpointed()).sort(), ["a/n", "b/n"]);
  await writer.putCheckpoints([{ chain_id: "a/n", size: 1, note: "one" }]);
  t.deepEqual(await reader.log.uncheckpointed(), ["b/n"]);
  await writer.append([append("a/n", 1)]);
  t.deepEqual(await reader.log.checkpoint("a/n"), { size: 1, note: "one" });
  await writer.putCheckpoints([
    { chain_id: "a/n", size: 2, note: "two" },
    { chain_id: "b/n", size: 1, note: "b" },
  ]);
  t.deepEqual(await reader.log.checkpoint("a/n"), { size: 2, note: "two" });
  t.deepEqual(await reader.log.uncheckpointed(), []);
  t.is(await reader.log.checkpoint("c/n"), undefined);
  t.is(await place.rows("checkpoints"), 2);
});
