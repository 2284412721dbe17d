// A node on a simulated clock and disk: by many seeds nothing is lost and nothing comes twice, whatever crashes, fails or dies, and wherever. What is put in to break that is found.
import test from "ava";
import { NODE_FAULTS } from "./met.ts";
import { MUTANTS } from "./mutants.ts";
import { readLaws, type Laws } from "./node.ts";
import { ALONE } from "./scenarios.ts";
import { testSchedules } from "./schedules.ts";

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
