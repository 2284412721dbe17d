// A node on a simulated clock and disk: by many seeds nothing is lost and nothing comes twice, whatever crashes, fails or dies, and wherever. What is put in to break that is found.
import test from "ava";
import { NODE_FAULTS } from "./met.ts";
import { MUTANTS } from "./mutants.ts";
import { readLaws, type Laws } from "./node.ts";
import { ALONE } from "./scenarios.ts";
import { Random } from "./random.ts";
import { testSchedules } from "./schedules.ts";
import { Actor, World } from "./world.ts";

let laws: Laws;
test.before(async () => {
  laws = await readLaws();
});

const scenarios = ALONE.filter(({ name }) => name !== "first-start");

testSchedules({
  scenarios,
  // By what they cost; more by `npm run simulate`.
  schedules: { crash: 500, "one-node": 300, sides: 70 },
  mutants: MUTANTS.filter(({ scenario }) => scenarios.some(({ name }) => name === scenario)),
  faults: NODE_FAULTS,
  grounds: () => ({ laws }),
});

test.serial("who is paused again before it goes on loses nothing of what waits for it, nor its order", async (t) => {
  const world = new World(1, new Random(1));
  const actor = new Actor("n");
  const done: string[] = [];
  actor.pause(8000);
  world.after(10, actor, () => done.push("due first"));
  await world.pass(20);
  actor.pause(1000);
  world.after(10, actor, () => done.push("due later"));
  await world.pass(7900);
  t.deepEqual(done, []);
  await world.pass(100);
  t.deepEqual(done, ["due first", "due later"]);
});
