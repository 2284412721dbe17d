// The pages of a range that is exported: what is taken from each, here and in threads, is the same.
import test from "ava";
import { digestText, pointerTo } from "../../src/core/digest.ts";
import { digestOf } from "../../src/core/event.ts";
import { recordLeaf, sha256 } from "../../src/core/sha256.ts";
import { RangePool } from "../../src/evidence/export/range-pool.ts";
import { ABSENT, DAMAGED, linesBytes, type RangePage, readRange, SOUND } from "../../src/evidence/export/range-rows.ts";

const MANY = 1_000_000;
const [ONE, OTHER] = [digestOf("one policy"), digestOf("another")];
const artifacts = ["the first", "", "the third: ä"].map((text) => Buffer.from(text));

const eventOf = (sequence: number, policy: string, artifact: string, more = {}) => ({
  authority_snapshot_id: ONE,
  event_hash: digestOf(`event ${sequence}`),
  evidence_pointer: pointerTo(digestOf(artifact)),
  id: `id-${sequence}-ä`,
  occurred_at: `2026-01-01T00:00:0${sequence}.000Z`,
  policy_snapshot_id: policy,
  prev_hash: sequence === 7 ? null : digestOf(`event ${sequence - 1}`),
  ...more,
});
const events = [
  eventOf(7, ONE, "the first"),
  eventOf(8, ONE, "elsewhere", { outcome: "refused", refusal_reason: "why" }),
  eventOf(9, OTHER, "is another", { outcome: "refused" }),
];
const records = events.map((event) => `e30.${Buffer.from(JSON.stringify(event)).toString("base64url")}.c2ln`);

const pageOf = (room: number): RangePage => ({
  records,
  from: 7,
  profile: '"a-profile"',
  artifacts: new Uint8Array(Buffer.concat(artifacts)),
  lengths: [artifacts[0]!.length, undefined, artifacts[2]!.length],
  room: new ArrayBuffer(room),
});
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");

test("a page gives its lines, its hashes, and what its events differ in", (t) => {
  for (const room of [0, linesBytes(records), 100_000]) {
    const rows = readRange(pageOf(room));
    t.is(textOf(rows.events), events.map((event) => `${JSON.stringify(event)}\n`).join(""));
    t.is(textOf(rows.records), records.map((record) => `${record}\n`).join(""));
    t.deepEqual(
      JSON.parse(`[${textOf(rows.segment)}]`),
      events.map(({ id, prev_hash, event_hash, evidence_pointer: event_ref }, row) => ({
        event_hash,
        event_ref,
        evidence_profile_id: "a-profile",
        id,
        prev_hash,
        sequence: 7 + row,
      })),
    );
    t.deepEqual(Buffer.from(rows.leaves), Buffer.concat(records.map(recordLeaf)));
    t.deepEqual(
      Buffer.from(rows.hashLeaves),
      Buffer.concat(
        events.map((_, row) => sha256(Buffer.concat([Buffer.of(0), sha256(Buffer.from(`event ${7 + row}`))]))),
      ),
    );
    t.is(pointerTo(digestText(rows.pointers.subarray(32, 64))), events[1]!.evidence_pointer);
    t.deepEqual([...rows.artifacts], [SOUND, ABSENT, DAMAGED]);
    t.deepEqual(rows.snapshots, [
      { row: 0, of: { policy: ONE, authority: ONE, settings: null } },
      { row: 2, of: { policy: OTHER, authority: ONE, settings: null } },
    ]);
    t.is(rows.occurredAt, events[2]!.occurred_at);
    t.true(rows.hasBareRefusal);
  }
});

test("threads read a page as this one does, and what cannot be read fails", async (t) => {
  const pool = new RangePool(MANY);
  try {
    t.deepEqual(await pool.read(pageOf(0)), readRange(pageOf(0)));
    await t.throwsAsync(pool.read({ ...pageOf(0), records: ["no record", ...records.slice(1)] }));
    t.deepEqual(await pool.read(pageOf(100_000)), readRange(pageOf(100_000)));
  } finally {
    await pool.close();
  }
});
