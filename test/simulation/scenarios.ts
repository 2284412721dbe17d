// What is simulated: a few nodes, trouble of some kinds for some seconds, and then rest, in which everything must hold.
import { isDeepStrictEqual } from "node:util";
import { LogRolledBackError } from "../../src/core/errors.ts";
import type { MeshCommand } from "../../src/core/mesh.ts";
import { Standings, STANDING_TYPES } from "../../src/core/standing.ts";
import { lifecycleCommand } from "../../src/gate/commands/lifecycle.ts";
import { meshCommand } from "../../src/gate/commands/mesh.ts";
import { openReader } from "../../src/store/open.ts";
import { POLICIES, TOPOLOGIES } from "../mesh/worlds.ts";
import type { Crash } from "./disk.ts";
import { brokenIn, eventIn, missingAbove } from "./invariants.ts";
import { BrokenError, rollBack, type Simulation, type Site } from "./simulation.ts";

export interface Scenario {
  readonly name: string;
  readonly about: string;
  /** @throws BrokenError something does not hold. */
  readonly run: (simulation: Simulation) => Promise<void>;
}

/** Something that befalls a node, or is done by it. */
type Act = (simulation: Simulation, site: Site) => void;

const ACTS = { min: 3, max: 12 };
const BETWEEN_MS_MAX = 200;
const DOWN_MS_MAX = 400;
/** A stream that is not taken is offered again after 30 s. */
const REST_MS_MAX = 70_000;
const CLASSIFICATIONS = ["internal", "secret"] as const;

const crashOf = ({ random }: Simulation): Crash => random.pick(["killed", "lost_power"]);

/** Weighted by how often they stand here. */
const DECIDES: readonly Act[] = [
  (simulation, site) => {
    for (let left = simulation.random.within(1, 6); left > 0; left--)
      simulation.admit(site, `w${simulation.random.below(1000)}`);
  },
  (simulation, site) => simulation.admit(site, `w${simulation.random.below(1000)}`, "internal", "other"),
];

/** The same workloads everywhere, and not the same decisions. */
const DIFFERS: readonly Act[] = [
  (simulation, site) =>
    simulation.admit(site, `c${simulation.random.below(3)}`, simulation.random.pick(CLASSIFICATIONS)),
];

const MESH_ID = "m";
const RAILS = TOPOLOGIES[0]!;
const TRANSITIONS = ["create", "start", "stop", "destroy"] as const;

/** Few workloads, and a mesh with little room, commanded from all sides at once. */
const CONTENDS: readonly Act[] = [
  (simulation, site) => {
    const { random } = simulation;
    const askMesh = (command: MeshCommand): void =>
      simulation.ask(site, `to ${command.command} in the mesh`, () => meshCommand(command, "acme"));
    for (let left = random.within(2, 8); left > 0; left--) {
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
  },
];

const FALLS: readonly Act[] = [
  (simulation, site) => simulation.kill(site, crashOf(simulation)),
  (simulation, { disk }) =>
    void Object.assign(disk.faults, { crashIn: simulation.random.below(30), crash: crashOf(simulation) }),
  (simulation, site) => simulation.killThread(site),
  (simulation, { disk }) => void disk.faults.commits.push(simulation.random.pick(["full", "fails", "fails_written"])),
  ({ world, random }, { actor }) => actor.pause(world.nowMs + random.within(100, 2000)),
  ({ random }, { actor }) => void (actor.skewMs = random.within(-5000, 5000)),
];

const NETWORK: readonly Act[] = [
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

const OPERATES: readonly Act[] = [
  (simulation, site) => simulation.at(site, "is told that it is cut off", (life) => life.isolate(true)),
  (simulation, site) => simulation.at(site, "is told that it no longer is", (life) => life.isolate(false)),
  (simulation, site) => simulation.at(site, "rotates its key", ({ eventKey }) => eventKey.rotate({})),
];

/** Lets things befall nodes for a while. */
async function trouble(simulation: Simulation, sites: readonly Site[], acts: readonly Act[], max = ACTS.max) {
  const { world, random } = simulation;
  const downSince = new Map<Site, number>();
  for (let left = random.within(Math.min(ACTS.min, max), max); left > 0; left--) {
    random.pick(acts)(simulation, random.pick(sites));
    await world.pass(random.below(BETWEEN_MS_MAX));
    for (const site of sites) {
      if (site.actor.alive) downSince.delete(site);
      else if (!downSince.has(site)) downSince.set(site, world.nowMs + random.below(DOWN_MS_MAX));
      else if (downSince.get(site)! <= world.nowMs) simulation.start(site);
    }
  }
}

/** All faults are over; everything arrives, and everything holds. */
async function mustComeToRest(simulation: Simulation): Promise<void> {
  simulation.heal();
  let restless: readonly string[] = [];
  const atRest = async (): Promise<boolean> => {
    restless = await whyRestless(simulation);
    return restless.length === 0;
  };
  const rests = await simulation.comesTo(atRest, REST_MS_MAX).catch(() => false);
  if (!rests) throw new BrokenError(`no rest: ${restless.join("; ")}`);
  await mustHold(simulation);
}

async function mustHold(simulation: Simulation): Promise<void> {
  const broken = await brokenIn(simulation);
  if (broken.length > 0) throw new BrokenError(broken.join("; "));
}

async function whyRestless(simulation: Simulation): Promise<string[]> {
  const why: string[] = [];
  for (const site of simulation.sites) {
    const { name, actor, life, refusal } = site;
    if (!actor.alive) {
      if (refusal) why.push(`${name} does not start: ${refusal.message}`);
      else simulation.start(site);
    }
    if (!life) why.push(`${name} is not up`);
    else if (life.partition.isolated) {
      why.push(`${name} is told that it is cut off`);
      simulation.at(site, "is told that it no longer is", () => life.isolate(false));
    } else if (!["connected", "reconciled"].includes(life.partition.context().state)) why.push(`${name} is cut off`);
  }
  if (why.length > 0) return why;
  for (const { name, life } of simulation.sites)
    if ((await life!.backlog()) > 0) return [`not all of ${name} has arrived`];
  for (const site of simulation.sites) why.push(...(await missingAbove(simulation, site)));
  return why.length > 0 ? why : differences(simulation);
}

/** Workloads on which nodes still differ, by the evidence of all that lies at the top. */
async function differences(simulation: Simulation): Promise<string[]> {
  const top = simulation.sites.find(({ upstream }) => upstream === undefined)!;
  const store = simulation.read(top);
  const standings = new Map<string, Standings>();
  const types: readonly string[] = STANDING_TYPES;
  for (const { record } of await store.events({ order: "asc", limit: 100_000 })) {
    const event = eventIn(record);
    if (!types.includes(event.event_type) || event.chain_id.endsWith(`/${top.nodeId}`)) continue;
    const workload = `${event.tenant_id} ${event.subject}`;
    const folded = standings.get(workload) ?? new Standings("");
    standings.set(workload, folded);
    folded.fold(event);
  }
  return [...standings].flatMap(([workload, folded]) =>
    folded.conflict().length > 0 ? [`nodes differ on ${workload}`] : [],
  );
}

async function mustBeUp(simulation: Simulation, ...sites: Site[]): Promise<void> {
  for (const site of sites) simulation.start(site);
  const up = ({ life, actor }: Site): boolean => life !== undefined && actor.pausedUntilMs <= simulation.world.nowMs;
  if (!(await simulation.comesTo(() => sites.every(up), 10_000)))
    throw new BrokenError(`not up: ${sites.map(({ refusal }) => refusal?.message).join()}`);
}

/** What must be on record above: a node of this id has signed two histories. */
async function equivocates(simulation: Simulation, above: Site, nodeId: string): Promise<boolean> {
  if (!above.life) return false;
  const found = await simulation.read(above).events({ event_type: "node.equivocation", order: "asc", limit: 10 });
  return found.some(({ record }) => eventIn(record).details?.["node_id"] === nodeId);
}

/** A backup of a site's database is put back after more was recorded and signed: it must not start, until told that it was restored. */
async function restore(simulation: Simulation, site: Site, meanwhile: () => Promise<void>): Promise<void> {
  const backup = simulation.copyOf(site);
  const told = simulation.told.length;
  await meanwhile();
  simulation.heal();
  await mustBeUp(simulation, site);
  // Checkpoints are a second late at most (spec evidence §4); more was recorded since the backup for certain.
  simulation.at(site, "records something", ({ recorder }) => recorder.record("node.start", { node_id: site.nodeId }));
  await simulation.world.pass(2000);
  simulation.kill(site, "killed");
  await simulation.world.pass(1);
  rollBack(backup, site.dir);
  const streams = await sizesAt(site.dir);
  simulation.start(site);
  await simulation.world.pass(500);
  if (!(site.refusal instanceof LogRolledBackError))
    throw new BrokenError("it starts, and its database was rolled back");
  if (!isDeepStrictEqual(await sizesAt(site.dir), streams))
    throw new BrokenError("it has signed before it was found out");
  // What was acknowledged since the backup is lost with the disk, and nobody is told otherwise.
  const kept = simulation.told.filter((each, i) => i < told || each.site !== site);
  simulation.told.splice(0, simulation.told.length, ...kept);
  site.afterRestore = "a backup was put back";
  await mustBeUp(simulation, site);
}

async function sizesAt(dir: string) {
  await using store = await openReader(dir);
  return store.log.streams();
}

const scenario = (name: string, about: string, run: Scenario["run"]): Scenario => ({ name, about, run });

export const SCENARIOS: readonly Scenario[] = [
  scenario("first-start", "a node crashes while it starts for the first time", async (simulation) => {
    const node = simulation.site("node");
    simulation.start(node, { crashIn: simulation.random.below(40), crash: crashOf(simulation) });
    await simulation.world.pass(50);
    await mustBeUp(simulation, node);
    simulation.admit(node, "w");
    await mustComeToRest(simulation);
  }),
  scenario("crash", "a node crashes while it commits, signs checkpoints or rotates its key", async (simulation) => {
    const node = simulation.site("node");
    await mustBeUp(simulation, node);
    Object.assign(node.disk.faults, { crashIn: simulation.random.below(12), crash: crashOf(simulation) });
    await trouble(simulation, [node], [...DECIDES, ...DECIDES, ...OPERATES.slice(2)], 2);
    await simulation.world.pass(600);
    await mustComeToRest(simulation);
  }),
  scenario("one-node", "one node: crashes, failing commits, dying threads, rotation of keys", async (simulation) => {
    const node = simulation.site("node");
    await mustBeUp(simulation, node);
    await trouble(simulation, [node], [...DECIDES, ...DECIDES, ...FALLS, ...OPERATES.slice(2)]);
    await mustComeToRest(simulation);
  }),
  scenario("sides", "two that decide command the same workloads and a mesh with little room", async (simulation) => {
    const node = simulation.site("node");
    await mustBeUp(simulation, node);
    for (let i = 0; i < 4; i++) simulation.admit(node, `m${i}`);
    simulation.ask(node, "to define the mesh", () =>
      meshCommand({ command: "reload", mesh_id: MESH_ID, rails: RAILS }, "acme"),
    );
    await simulation.world.pass(20);
    await trouble(simulation, [node], [...CONTENDS, ...CONTENDS, ...CONTENDS, ...CONTENDS, ...FALLS]);
    await mustComeToRest(simulation);
  }),
  scenario("edges-and-hub", "two nodes under a third: all that can befall nodes and network", async (simulation) => {
    const sites = [simulation.site("hub"), simulation.site("edge-1", "hub"), simulation.site("edge-2", "hub")];
    await mustBeUp(simulation, ...sites);
    await trouble(simulation, sites, [...DECIDES, ...DIFFERS, ...DIFFERS, ...FALLS, ...NETWORK, ...OPERATES]);
    await mustComeToRest(simulation);
  }),
  scenario("copied", "a data directory is copied, and both nodes go on", async (simulation) => {
    const hub = simulation.site("hub");
    const edge = simulation.site("edge", "hub");
    await mustBeUp(simulation, hub, edge);
    await trouble(simulation, [edge], DECIDES);
    const copy = simulation.site("copy", "hub", "edge", simulation.copyOf(edge));
    await mustBeUp(simulation, copy);
    await trouble(simulation, [hub, edge, copy], [...DECIDES, ...FALLS, ...NETWORK]);
    simulation.heal();
    if (!(await simulation.comesTo(() => equivocates(simulation, hub, "edge"), REST_MS_MAX)))
      throw new BrokenError("two histories are not found out");
    await mustBeUp(simulation, hub, edge, copy);
    await mustHold(simulation);
  }),
  scenario("restored-hub", "the database of the node above is an old one", async (simulation) => {
    const hub = simulation.site("hub");
    const edges = [simulation.site("edge-1", "hub"), simulation.site("edge-2", "hub")];
    await mustBeUp(simulation, hub, ...edges);
    await trouble(simulation, edges, [...DECIDES, ...DIFFERS, ...NETWORK]);
    await restore(simulation, hub, () => trouble(simulation, edges, [...DECIDES, ...DIFFERS, ...FALLS, ...NETWORK]));
    await trouble(simulation, [hub, ...edges], [...DECIDES, ...FALLS, ...NETWORK]);
    await mustComeToRest(simulation);
  }),
  scenario("restored-edge", "the database of a node under another is an old one", async (simulation) => {
    const hub = simulation.site("hub");
    const edge = simulation.site("edge", "hub");
    await mustBeUp(simulation, hub, edge);
    await trouble(simulation, [edge], [...DECIDES, ...OPERATES]);
    await restore(simulation, edge, () => trouble(simulation, [hub, edge], [...DECIDES, ...FALLS, ...NETWORK]));
    await trouble(simulation, [hub, edge], [...DECIDES, ...FALLS, ...NETWORK]);
    await mustComeToRest(simulation);
  }),
  scenario("chain", "three nodes, one above the other", async (simulation) => {
    const sites = [simulation.site("top"), simulation.site("hub", "top"), simulation.site("edge", "hub")];
    await mustBeUp(simulation, ...sites);
    await trouble(simulation, sites, [...DECIDES, ...DIFFERS, ...FALLS, ...NETWORK, ...OPERATES]);
    await mustComeToRest(simulation);
  }),
];
