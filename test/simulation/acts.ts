// What can befall nodes, and what they are asked, in schedules.
import type { MeshCommand } from "../../src/core/mesh.ts";
import { lifecycleCommand } from "../../src/gate/commands/lifecycle.ts";
import { meshCommand } from "../../src/gate/commands/mesh.ts";
import { POLICIES, TOPOLOGIES } from "../mesh/worlds.ts";
import type { Crash } from "./disk.ts";
import { BrokenError, type Simulation, type Site } from "./simulation.ts";

/** Something that befalls a node, or is done by it. */
export type Act = (simulation: Simulation, site: Site) => void;

const ACTS = { min: 3, max: 12 };
const BETWEEN_MS_MAX = 200;
const DOWN_MS_MAX = 400;
const CLASSIFICATIONS = ["internal", "secret"] as const;

export const crashOf = ({ random }: Simulation): Crash => random.pick(["killed", "lost_power"]);

/** Workloads are to be admitted, so many at most at once. */
export const admits =
  (most: number): Act =>
  (simulation, site) => {
    for (let left = simulation.random.within(1, most); left > 0; left--)
      simulation.admit(site, `w${simulation.random.below(1000)}`);
  };

/** Weighted by how often they stand here. */
export const DECIDES: readonly Act[] = [
  admits(6),
  (simulation, site) => void simulation.admit(site, `w${simulation.random.below(1000)}`, "internal", "other"),
];

/** The same workloads everywhere, and not the same decisions. */
export const DIFFERS: readonly Act[] = [
  (simulation, site) =>
    void simulation.admit(site, `c${simulation.random.below(3)}`, simulation.random.pick(CLASSIFICATIONS)),
];

const MESH_ID = "m";
const RAILS = TOPOLOGIES[0]!;
const TRANSITIONS = ["create", "start", "stop", "destroy"] as const;

/** Few workloads, and a mesh with little room, commanded so many times at once. */
export const contends =
  (least: number, most: number): Act =>
  (simulation, site) => {
    const { random } = simulation;
    const askMesh = (command: MeshCommand): unknown =>
      simulation.ask(site, `to ${command.command} in the mesh`, () => meshCommand(command, "acme"));
    for (let left = random.within(least, most); left > 0; left--) {
      const workload_id = `m${random.below(4)}`;
      const rail_id = random.pick(RAILS).rail_id;
      const transition = random.pick(TRANSITIONS);
      random.pick([
        () => simulation.admit(site, workload_id),
        () =>
          simulation.ask(site, `to ${transition} ${workload_id}`, () =>
            lifecycleCommand({ command: "transition", workload_id, transition }, "acme"),
          ),
        () => askMesh({ command: "reload", mesh_id: MESH_ID, rails: RAILS }),
        () => askMesh({ command: "place", mesh_id: MESH_ID, workload_id, rail_id, policy: POLICIES[0]! }),
        () => askMesh({ command: "place", mesh_id: MESH_ID, workload_id, rail_id, policy: POLICIES[0]! }),
        () => askMesh({ command: "elevate", mesh_id: MESH_ID, workload_id, target_rail_id: rail_id }),
        () => askMesh({ command: "remove", mesh_id: MESH_ID, workload_id }),
      ])();
    }
  };

/** Its clock is wrong by so much, from now on. */
export function skew({ random, world }: Simulation, { actor }: Site, mostMs: number): void {
  actor.skewMs = random.within(-mostMs, mostMs);
  if (actor.alive) world.met.add("clock is wrong");
}

export const FALLS: readonly Act[] = [
  (simulation, site) => simulation.kill(site, crashOf(simulation)),
  (simulation, { disk }) =>
    void Object.assign(disk.faults, { crashIn: simulation.random.below(30), crash: crashOf(simulation) }),
  (simulation, site) => simulation.killThread(site),
  (simulation, { disk }) => void disk.faults.commits.push(simulation.random.pick(["full", "fails", "fails_written"])),
  ({ world, random }, { actor }) => actor.pause(world.nowMs + random.within(100, 2000)),
  (simulation, site) => skew(simulation, site, 5000),
];

export const NETWORK: readonly Act[] = [
  ({ network }, { name, upstream }) => upstream !== undefined && network.cut(name, upstream),
  ({ network }) => network.heal(),
  ({ network, random }) =>
    void (network.weather = {
      cut: random.next() / 2,
      halfDone: random.next() / 2,
      twice: random.next() / 3,
      delayMsMax: random.within(1, 400),
    }),
];

const rotates: Act = (simulation, site) =>
  simulation.at(site, "rotates its key", async ({ eventKey }) => {
    await eventKey.rotate({});
    simulation.world.met.add("keys rotated");
  });

/** As often as all that can befall a node. */
export const ROTATES: readonly Act[] = Array<Act>(8).fill(rotates);

export const OPERATES: readonly Act[] = [
  (simulation, site) =>
    simulation.at(site, "is told that it is cut off", async (life) => {
      await life.isolate(true);
      simulation.world.met.add("told that it is cut off");
    }),
  (simulation, site) => simulation.at(site, "is told that it no longer is", (life) => life.isolate(false)),
  rotates,
];

/** Lets things befall nodes for a while. */
export async function trouble(
  simulation: Simulation,
  sites: readonly Site[],
  acts: readonly Act[],
  { max = ACTS.max, betweenMs = ({ random }: Simulation): number => random.below(BETWEEN_MS_MAX) } = {},
): Promise<void> {
  const { world, random } = simulation;
  const downSince = new Map<Site, number>();
  for (let left = random.within(Math.min(ACTS.min, max), max); left > 0; left--) {
    random.pick(acts)(simulation, random.pick(sites));
    await world.pass(betweenMs(simulation));
    for (const site of sites) {
      if (site.actor.alive) downSince.delete(site);
      else if (!downSince.has(site)) downSince.set(site, world.nowMs + random.below(DOWN_MS_MAX));
      else if (downSince.get(site)! <= world.nowMs) simulation.start(site);
    }
  }
}

/** What is contended for. */
export function defineMesh(simulation: Simulation, site: Site): void {
  for (let i = 0; i < 4; i++) simulation.admit(site, `m${i}`);
  simulation.ask(site, "to define the mesh", () =>
    meshCommand({ command: "reload", mesh_id: MESH_ID, rails: RAILS }, "acme"),
  );
}

export async function mustBeUp(simulation: Simulation, ...sites: Site[]): Promise<void> {
  for (const site of sites) simulation.start(site);
  const up = ({ life, actor }: Site): boolean => life !== undefined && actor.pausedUntilMs <= simulation.world.nowMs;
  if (!(await simulation.comesTo(() => sites.every(up), 10_000)))
    throw new BrokenError(`not up: ${sites.map(({ refusal }) => refusal?.message).join()}`);
}
