// What runs in the background: never twice at once, and stopped when what is under way is done.
import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { every } from "../../src/node/services.ts";
import { until } from "../until.ts";

test("a service never runs twice at once, and stopping waits for what is under way", async (t) => {
  let [running, most, runs] = [0, 0, 0];
  const service = every(5, async () => {
    most = Math.max(most, ++running);
    await sleep(30);
    running--;
    runs++;
  });
  await service.start();
  await until(() => runs >= 3);
  await service.stop();
  t.is(running, 0);
  t.is(most, 1);
  const done = runs;
  await sleep(30);
  t.is(runs, done);
});

test("a service that never ran stops at once", async (t) => {
  await every(1000, () => t.fail()).stop();
  t.pass();
});
