// A node that crashes while it starts for the first time, on a simulated clock and disk: wherever that was, it starts again, and all holds.
import test from "ava";
import { NODE_FAULTS } from "./met.ts";
import { readLaws, type Laws } from "./node.ts";
import { ALONE } from "./scenarios.ts";
import { testSchedules } from "./schedules.ts";

let laws: Laws;
test.before(async () => {
  laws = await readLaws();
});

testSchedules({
  scenarios: ALONE.filter(({ name }) => name === "first-start"),
  schedules: { "first-start": 1300 },
  mutants: [],
  faults: NODE_FAULTS.filter((fault) => /: (writes|syncs|renames|commits)$|^unsynced/.test(fault)),
  grounds: () => ({ laws }),
});
