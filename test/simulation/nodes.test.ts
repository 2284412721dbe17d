// Nodes under others, on a simulated network as well: what a node has recorded arrives once and in order, all agree in the end, and a second history is found out.
import test from "ava";
import { NETWORK_FAULTS } from "./met.ts";
import { MUTANTS } from "./mutants.ts";
import { readLaws, type Laws } from "./node.ts";
import { run } from "./run.ts";
import { TOGETHER } from "./scenarios.ts";
import { testSchedules } from "./schedules.ts";

let laws: Laws;
test.before(async () => {
  laws = await readLaws();
});

testSchedules({
  scenarios: TOGETHER,
  schedules: { "edges-and-hub": 32, copied: 6, rotated: 4, "restored-hub": 6, "restored-edge": 6, chain: 12 },
  mutants: MUTANTS.filter(({ scenario }) => TOGETHER.some(({ name }) => name === scenario)),
  faults: NETWORK_FAULTS,
  grounds: () => ({ laws }),
});

test.serial("seeds that once found a fault hold", async (t) => {
  t.timeout(600_000);
  for (const [name, seed] of [
    // Killed between what it reconciled and the end of its partition; upstream lost what was reconciled.
    ["restored-hub", 38_164],
    ["restored-hub", 38_192],
    // A copy that stayed behind the other never showed upstream its own history.
    ["copied", 44_105],
    // A copy that had rotated its key was refused, and its second history stayed hidden.
    ["rotated", 9],
  ] as const) {
    const { broken } = await run(TOGETHER.find((each) => each.name === name)!, seed, laws);
    t.is(broken, undefined, `${name}, seed ${seed}`);
  }
});
