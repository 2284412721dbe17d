// The partition's state machine: what sources report is damped, an operator's word counts at once, and only reconciliation ends it.
import test from "ava";
import { Partition, type PartitionMemory, type PartitionParts } from "../../src/node/partition.ts";

const TIMES = { lostAfterMs: 10_000, settledAfterMs: 5000, reconciledForMs: 60_000 };
const START_MS = Date.parse("2026-01-01T00:00:00Z");

function setUp(given: Partial<PartitionParts> = {}) {
  let elapsed = 0;
  const recorded: PartitionMemory[] = [];
  const partition = new Partition({
    times: TIMES,
    before: undefined,
    record: async (change) => void recorded.push(change),
    reconciled: async () => true,
    now: () => START_MS + elapsed,
    monotonic: () => elapsed,
    ...given,
  });
  const after = async (seconds: number): Promise<string> => {
    elapsed += seconds * 1000;
    await partition.look();
    await partition.look();
    return partition.context().state;
  };
  return { partition, recorded, after, states: () => recorded.map(({ from, state }) => `${from} → ${state}`) };
}

test("a source that fails is degradation at first, a partition once it lasts, and over only after it has settled", async (t) => {
  const { partition, after, states, recorded } = setUp();
  t.deepEqual(partition.context(), { state: "connected", since: null });
  partition.report("upstream", undefined);
  t.is(await after(1), "connected");
  partition.report("upstream", "connection refused");
  t.is(await after(0), "degraded");
  t.is(await after(9), "degraded");
  t.is(await after(1), "partitioned");
  t.deepEqual(partition.context().since, "2026-01-01T00:00:11.000Z");
  t.deepEqual(partition.status.reasons, [
    { reason: "upstream", since: "2026-01-01T00:00:01.000Z", problem: "connection refused" },
  ]);
  partition.report("upstream", undefined);
  t.is(await after(4), "partitioned");
  partition.report("upstream", "reset");
  partition.report("upstream", undefined);
  t.is(await after(4), "partitioned", "one failure starts the count again");
  t.is(await after(1), "reconciled");
  t.is(await after(59), "reconciled");
  t.is(await after(1), "connected");
  t.deepEqual(states(), [
    "connected → degraded",
    "degraded → partitioned",
    "partitioned → reconciled",
    "reconciled → connected",
  ]);
  t.deepEqual(
    recorded[1]?.reasons.map(({ reason }) => reason),
    ["upstream"],
  );
});

test("a short failure is over without reconciliation", async (t) => {
  const { partition, after, states } = setUp({ reconciled: () => Promise.reject(new Error("not asked")) });
  partition.report("upstream", "timeout");
  t.is(await after(5), "degraded");
  partition.report("upstream", undefined);
  t.is(await after(60), "connected");
  t.deepEqual(states(), ["connected → degraded", "degraded → connected"]);
});

test("a node in touch with its upstream is not cut off by a silent bundle service; one without upstream is", async (t) => {
  const both = setUp();
  both.partition.report("upstream", undefined);
  both.partition.report("bundles", "503");
  t.is(await both.after(60), "degraded");
  const alone = setUp();
  alone.partition.report("bundles", "503");
  t.is(await alone.after(60), "partitioned");
});

test("an operator's word counts at once, and its end waits for reconciliation", async (t) => {
  let drained = false;
  const { partition, after } = setUp({ reconciled: async () => drained });
  await partition.isolate("drill");
  t.is(partition.context().state, "partitioned");
  t.true(partition.isolated);
  t.deepEqual(
    partition.status.reasons.map(({ reason, problem }) => [reason, problem]),
    [["operator", "drill"]],
  );
  await partition.rejoin();
  t.is(await after(600), "partitioned");
  drained = true;
  t.is(await after(0), "reconciled");
});

test("a restart forgets nothing: neither the state nor the operator's word", async (t) => {
  const first = setUp();
  first.partition.report("upstream", "gone");
  await first.after(10);
  await first.partition.isolate("planned");
  const before = first.recorded.at(-1)!;
  t.is(before.state, "partitioned");
  const second = setUp({ before });
  second.partition.expect("upstream");
  t.is(await second.after(60), "partitioned");
  second.partition.report("upstream", undefined);
  t.is(await second.after(5), "partitioned");
  await second.partition.rejoin();
  t.is(await second.after(0), "reconciled");
});

test("what could not be recorded is recorded later, as one change", async (t) => {
  let works = false;
  const recorded: string[] = [];
  const { partition, after } = setUp({
    record: async ({ from, state }) => {
      if (!works) throw new Error("disk full");
      recorded.push(`${from} → ${state}`);
    },
  });
  partition.report("upstream", "gone");
  await after(0);
  t.is(await after(10), "partitioned");
  works = true;
  await after(1);
  t.deepEqual(recorded, ["connected → partitioned"]);
});
