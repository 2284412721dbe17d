// A clock that was set back is noticed, at start and while the node runs, and said where an operator and an auditor look.
import test from "ava";
import { admissible, Clock, start, verifiedEvents } from "../http/support.ts";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { RailgateNode } from "../../src/node/open.ts";

const DAYS = 400 * 24 * 3600 * 1000;
const T0 = Date.UTC(2026, 10, 25, 8);

test("set back by 400 days: log and metric while it runs, node.start when it starts, and decisions go on", async (t) => {
  const clock = new Clock(T0);
  const node = await start({}, { clock: clock.shared });
  const metric = async () =>
    Number(/^railgate_clock_behind_seconds (\S+)$/m.exec((await node.call("GET", "/metrics")).text)![1]);
  t.is((await node.call("POST", "/v1/admissions", { body: admissible("a") })).status, 200);
  t.is(await metric(), 0);
  clock.ms = T0 - DAYS;
  for (let tries = 0; tries < 600 && (await metric()) === 0; tries++) await sleep(100);
  t.is(await metric(), DAYS / 1000);
  t.is((await node.call("POST", "/v1/admissions", { body: admissible("b") })).status, 200);
  await sleep(1200);
  t.is(node.logs.filter(({ msg }) => /clock was set back/.test(msg)).length, 1, "said once");
  await node.close();

  const told: number[] = [];
  const observe = { clockSetBack: (behindMs: number) => void told.push(behindMs) };
  for (const [ms, behind] of [
    [T0 - DAYS - 5000, 5],
    [T0 - DAYS - 5500, undefined],
    [T0, undefined],
  ] as const) {
    const again = await RailgateNode.open({ dataDir: join(node.dir, "data"), now: () => ms, observe });
    await again.close();
    const starts = (await verifiedEvents(node.dir)).filter(({ event_type }) => event_type === "node.start");
    t.is((starts.at(-1)!.details!["clock"] as { behind_s: number } | undefined)?.behind_s, behind);
  }
  t.deepEqual(told, [5000]);
});
