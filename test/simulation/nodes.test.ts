// Nodes under others, on a simulated network as well: what a node has recorded arrives once and in order, all agree in the end, and a second history is found out.
import test from "ava";
import { NETWORK_FAULTS } from "./met.ts";
import { MUTANTS } from "./mutants.ts";
import { readLaws, type Laws } from "./node.ts";
import { TOGETHER } from "./scenarios.ts";
import { testSchedules } from "./schedules.ts";

let laws: Laws;
test.before(async () => {
  laws = await readLaws();
});

testSchedules({
  scenarios: TOGETHER,
  schedules: { "edges-and-hub": 32, copied: 6, "restored-hub": 6, "restored-edge": 6, chain: 12 },
  mutants: MUTANTS.filter(({ scenario }) => TOGETHER.some(({ name }) => name === scenario)),
  faults: NETWORK_FAULTS,
  grounds: () => ({ laws }),
});
