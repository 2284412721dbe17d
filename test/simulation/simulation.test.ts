// Nodes on a simulated clock, disk and network: by many seeds nothing is lost, nothing comes twice, and all nodes agree in the end. What is put in to break that is found.
import test from "ava";
import { readLaws, type Laws } from "./node.ts";
import { MUTANTS } from "./mutants.ts";
import { run } from "./run.ts";
import { SCENARIOS } from "./scenarios.ts";

/** Where seeds begin; each run of the tests may have others: `RAILGATE_TEST_SEED=1234 npx ava test/simulation/*.test.ts`. */
const SEED = Number(process.env["RAILGATE_TEST_SEED"] ?? 1);
/** Schedules of each scenario, by what they cost; more by `npm run simulate`. */
const SCHEDULES: { readonly [scenario: string]: number } = {
  "first-start": 400,
  crash: 400,
  "one-node": 150,
  sides: 60,
  "edges-and-hub": 30,
  copied: 6,
  "restored-hub": 6,
  "restored-edge": 6,
  chain: 12,
};
/** By then a mutant is found. */
const MUTANT_SEEDS_MAX = 200;

let laws: Laws;
test.before(async () => {
  laws = await readLaws();
});

for (const scenario of SCENARIOS)
  test.serial(`${scenario.name}: ${scenario.about}`, async (t) => {
    t.timeout(600_000);
    for (let seed = SEED; seed < SEED + SCHEDULES[scenario.name]!; seed++) {
      const { broken } = await run(scenario, seed, laws);
      if (broken === undefined) continue;
      t.fail(`npm run simulate -- --scenario ${scenario.name} --from ${seed} --trace\n${broken}`);
      return;
    }
    t.pass();
  });

test.serial("a seed is the same schedule each time", async (t) => {
  const scenario = SCENARIOS.find(({ name }) => name === "edges-and-hub")!;
  for (const seed of [SEED, SEED + 1]) {
    const [one, other] = [await run(scenario, seed, laws), await run(scenario, seed, laws)];
    t.is(one.fingerprint, other.fingerprint);
  }
});

for (const { name, scenario, from = 1, prepare } of MUTANTS)
  test.serial(`a node that ${name} is found out`, async (t) => {
    t.timeout(600_000);
    const found = SCENARIOS.find((each) => each.name === scenario)!;
    for (let seed = from; seed < from + MUTANT_SEEDS_MAX; seed++) {
      const { broken } = await run(found, seed, laws, { prepare });
      if (broken !== undefined) return t.pass();
    }
    return t.fail(`not within ${MUTANT_SEEDS_MAX} schedules of ${scenario}`);
  });
