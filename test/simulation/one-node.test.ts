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

testSchedules({
  scenarios: ALONE,
  // By what they cost; more by `npm run simulate`.
  schedules: { "first-start": 1800, crash: 700, "one-node": 350, sides: 90 },
  mutants: MUTANTS.filter(({ scenario }) => ALONE.some(({ name }) => name === scenario)),
  faults: NODE_FAULTS,
  grounds: () => ({ laws }),
});
