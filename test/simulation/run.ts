// Runs a scenario by a seed.
import { Simulation } from "./simulation.ts";
import type { Laws } from "./node.ts";
import type { Scenario } from "./scenarios.ts";

export interface Ran {
  readonly scenario: string;
  readonly seed: number;
  /** What does not hold; undefined: everything does. */
  readonly broken: string | undefined;
  /** The same for every run of this seed. */
  readonly fingerprint: number;
  readonly trace: readonly string[];
}

/** @param prepare puts faults in what is to be tested. */
export async function run(
  scenario: Scenario,
  seed: number,
  laws: Laws,
  { traced = false, prepare = () => {} }: { traced?: boolean; prepare?: (simulation: Simulation) => void } = {},
): Promise<Ran> {
  const simulation = new Simulation(seed, laws, traced);
  let broken: string | undefined;
  try {
    prepare(simulation);
    await scenario.run(simulation);
  } catch (error) {
    broken =
      (error as Error).constructor.name === "BrokenError" ? (error as Error).message : String((error as Error).stack);
  } finally {
    simulation.end();
  }
  const { fingerprint, trace = [] } = simulation.world;
  return { scenario: scenario.name, seed, broken, fingerprint, trace };
}
