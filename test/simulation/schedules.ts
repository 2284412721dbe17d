// Schedules as tests: so many of each scenario hold, each kind of fault is met among them, and what is put in to break them is found.
import test, { type ExecutionContext } from "ava";
import { Met } from "./met.ts";
import type { Mutant } from "./mutants.ts";
import type { Laws } from "./node.ts";
import { run } from "./run.ts";
import type { Scenario } from "./scenarios.ts";
import type { Server } from "./server.ts";

/** Where seeds begin; each run of the tests may have others: `RAILGATE_TEST_SEED=1234 npx ava test/simulation/*.test.ts`. */
export const SEED = Number(process.env["RAILGATE_TEST_SEED"] ?? 1);
/** From its first seed, by then a mutant is found. */
const MUTANT_SEEDS_MAX = 200;
const TEST_MS_MAX = 600_000;
/** Schedules of each scenario that are run on top, at most. */
const MORE_MAX = 40;

export interface Grounds {
  readonly laws: Laws;
  readonly server?: Server;
}

export interface Tested {
  readonly scenarios: readonly Scenario[];
  /** Of each scenario, from {@link SEED} on. */
  readonly schedules: { readonly [scenario: string]: number };
  readonly mutants: readonly Mutant[];
  /** That must be met. */
  readonly faults: readonly string[];
  readonly grounds: () => Grounds;
  /** Undefined where nothing can be tested. */
  readonly declare?: typeof test.serial.skip | undefined;
}

/** Declares all of it. */
export function testSchedules(tested: Tested): void {
  const { scenarios, schedules, mutants, faults, grounds, declare = test.serial } = tested;
  const met = new Met();
  for (const scenario of scenarios)
    declare(`${scenario.name}: ${scenario.about}`, async (t) => {
      t.timeout(TEST_MS_MAX);
      await mustHold(t, scenario, SEED, schedules[scenario.name]!, grounds(), met);
    });
  declare("each kind of fault was met", async (t) => {
    t.timeout(TEST_MS_MAX);
    const missing = (): string[] => faults.filter((fault) => met.times(fault) === 0);
    // What is rare among so few is looked for in more.
    for (let more = 0; more < MORE_MAX && missing().length > 0; more++)
      for (const scenario of scenarios)
        await mustHold(t, scenario, SEED + schedules[scenario.name]! + more, 1, grounds(), met);
    t.deepEqual(missing(), [], faults.map((fault) => `${fault}: ${met.times(fault)}`).join("\n"));
  });
  declare("a seed is the same schedule each time", async (t) => {
    t.timeout(TEST_MS_MAX);
    const scenario = scenarios.at(-1)!;
    const { laws, server } = grounds();
    const [one, other] = [await run(scenario, SEED, laws, { server }), await run(scenario, SEED, laws, { server })];
    t.is(one.fingerprint, other.fingerprint);
  });
  for (const mutant of mutants)
    declare(`a node that ${mutant.name} is found out`, async (t) => {
      t.timeout(TEST_MS_MAX);
      await mustBeFound(t, mutant, scenarios.find(({ name }) => name === mutant.scenario)!, grounds());
    });
}

async function mustHold(
  t: ExecutionContext,
  scenario: Scenario,
  from: number,
  count: number,
  { laws, server }: Grounds,
  met: Met,
): Promise<void> {
  for (let seed = from; seed < from + count; seed++) {
    const ran = await run(scenario, seed, laws, { server });
    met.addAll(ran.met);
    if (ran.broken === undefined) continue;
    t.fail(`npm run simulate -- --scenario ${scenario.name} --from ${seed} --trace\n${ran.broken}`);
    return;
  }
  t.pass();
}

async function mustBeFound(
  t: ExecutionContext,
  { name, from = 1, prepare }: Mutant,
  scenario: Scenario,
  { laws, server }: Grounds,
): Promise<void> {
  for (let seed = from; seed < from + MUTANT_SEEDS_MAX; seed++) {
    const { broken } = await run(scenario, seed, laws, { prepare, server });
    if (broken === undefined) continue;
    t.log(`by seed ${seed} of ${scenario.name}`);
    t.pass();
    return;
  }
  t.fail(
    `${name}: not within ${MUTANT_SEEDS_MAX} schedules of ${scenario.name}; if the statement or message that it changes is another now, say so in mutants.ts`,
  );
}
