// Nodes that share a database, on a simulated clock, disk and network: by many seeds nothing is lost, nothing comes twice, whoever was taken over loses all of what it was at. What is put in to break that is found.
import test from "ava";
import { noPostgres } from "../postgres/server.ts";
import { SHARED_MUTANTS } from "./mutants.ts";
import { readLaws, type Laws } from "./node.ts";
import { REPLICAS } from "./replicas.ts";
import { run } from "./run.ts";
import { Server } from "./server.ts";

const SEED = Number(process.env["RAILGATE_TEST_SEED"] ?? 1);
/** Each statement is asked of a real server, so that these take longer than others; more by `npm run simulate`. */
const SCHEDULES: { readonly [scenario: string]: number } = { replicas: 6, twins: 2, promoted: 3 };
/** From its first, by then a mutant is found. */
const MUTANT_SEEDS_MAX = 100;

const missing = noPostgres();
const ifServer = missing === undefined ? test.serial : test.serial.skip;
let laws: Laws;
let server: Server | undefined;
test.before(async () => {
  if (missing !== undefined) return;
  laws = await readLaws();
  server = await Server.start();
});
test.after.always(() => server?.stop());

for (const scenario of REPLICAS)
  ifServer(`${scenario.name}: ${scenario.about}`, async (t) => {
    t.timeout(600_000);
    for (let seed = SEED; seed < SEED + SCHEDULES[scenario.name]!; seed++) {
      const { broken } = await run(scenario, seed, laws, { server });
      if (broken === undefined) continue;
      t.fail(`npm run simulate -- --scenario ${scenario.name} --from ${seed} --trace\n${broken}`);
      return;
    }
    t.pass();
  });

ifServer("a thread that takes the place of one that died finds out that the database went back", async (t) => {
  t.timeout(600_000);
  const scenario = REPLICAS.find(({ name }) => name === "promoted")!;
  // Back to where its node id had another lease; back by records alone.
  for (const seed of [9, 102]) {
    const { broken } = await run(scenario, seed, laws, { server });
    t.is(broken, undefined, `seed ${seed}`);
  }
});

ifServer("a seed is the same schedule each time", async (t) => {
  t.timeout(600_000);
  const scenario = REPLICAS[0]!;
  const [one, other] = [await run(scenario, SEED, laws, { server }), await run(scenario, SEED, laws, { server })];
  t.is(one.fingerprint, other.fingerprint);
});

for (const { name, scenario, from = 1, prepare } of SHARED_MUTANTS)
  ifServer(`a node that ${name} is found out`, async (t) => {
    t.timeout(600_000);
    const found = REPLICAS.find((each) => each.name === scenario)!;
    for (let seed = from; seed < from + MUTANT_SEEDS_MAX; seed++) {
      const { broken } = await run(found, seed, laws, { prepare, server });
      if (broken !== undefined) return t.pass();
    }
    return t.fail(
      `not within ${MUTANT_SEEDS_MAX} schedules of ${scenario}; if the statement that it changes is another now, say so there`,
    );
  });
