// Runs a scenario by a seed.
import { Simulation } from "./simulation.ts";
import type { Met } from "./met.ts";
import type { Laws } from "./node.ts";
import type { Server } from "./server.ts";
import type { Scenario } from "./scenarios.ts";

export interface Ran {
  readonly scenario: string;
  readonly seed: number;
  /** What does not hold; undefined: everything does. */
  readonly broken: string | undefined;
  /** The same for every run of this seed. */
  readonly fingerprint: number;
  readonly trace: readonly string[];
  readonly met: Met;
}

export interface RunOptions {
  readonly traced?: boolean;
  /** Puts faults in what is to be tested. */
  readonly prepare?: (simulation: Simulation) => void;
  /** For those that share a database. */
  readonly server?: Server | undefined;
}

export async function run(
  scenario: Scenario,
  seed: number,
  laws: Laws,
  { traced = false, prepare = () => {}, server }: RunOptions = {},
): Promise<Ran> {
  await server?.reset();
  const simulation = new Simulation(seed, laws, traced, scenario.shares ? server : undefined);
  let broken: string | undefined;
  try {
    prepare(simulation);
    await scenario.run(simulation);
  } catch (error) {
    broken =
      (error as Error).constructor.name === "BrokenError" ? (error as Error).message : String((error as Error).stack);
  } finally {
    await simulation.end();
  }
  const { fingerprint, trace = [], met } = simulation.world;
  return { scenario: scenario.name, seed, broken, fingerprint, trace, met };
}
