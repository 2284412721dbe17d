// What is simulated: a few nodes, trouble of some kinds for some seconds, and then rest, in which everything must hold.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { LogRolledBackError } from "../../src/core/errors.ts";
import { Standings, STANDING_TYPES } from "../../src/core/standing.ts";
import { openReader } from "../../src/store/open.ts";
import {
  type Act,
  admits,
  contends,
  crashOf,
  DECIDES,
  defineMesh,
  DIFFERS,
  FALLS,
  mustBeUp,
  NETWORK,
  OPERATES,
  ROTATES,
  trouble,
} from "./acts.ts";
import { brokenIn, eventIn, missingAbove } from "./invariants.ts";
import { BrokenError, rollBack, type Simulation, type Site } from "./simulation.ts";

export interface Scenario {
  readonly name: string;
  readonly about: string;
  /** Whether its nodes share a database. */
  readonly shares?: boolean;
  /** @throws BrokenError something does not hold. */
  readonly run: (simulation: Simulation) => Promise<void>;
}

/** A stream that is not taken is offered again after 30 s. */
const REST_MS_MAX = 70_000;

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

/** What must be on record above: a node of this id has signed two histories. */
async function equivocates(simulation: Simulation, above: Site, nodeId: string): Promise<boolean> {
  if (!above.life) return false;
  const found = await simulation.read(above).events({ event_type: "node.equivocation", order: "asc", limit: 10 });
  return found.some(({ record }) => eventIn(record).details?.["node_id"] === nodeId);
}

/** @param rotates the copy knows nothing of how far it had come, is cut off at first, and keys are rotated: upstream and it may have no later key in common. */
const copied =
  ({ rotates = false } = {}): Scenario["run"] =>
  async (simulation) => {
    const hub = simulation.site("hub");
    const edge = simulation.site("edge", "hub");
    await mustBeUp(simulation, hub, edge);
    await trouble(simulation, [edge], DECIDES);
    const copy = simulation.site("copy", "hub", "edge", simulation.copyOf(edge));
    if (rotates) {
      rmSync(join(copy.dir, "upstream.json"), { force: true });
      simulation.network.cut("copy", "hub");
    }
    await mustBeUp(simulation, copy);
    const acts = [...DECIDES, ...FALLS, ...NETWORK, ...(rotates ? ROTATES : [])];
    await trouble(simulation, [hub, edge, copy], acts);
    simulation.heal();
    if (!(await simulation.comesTo(() => equivocates(simulation, hub, "edge"), REST_MS_MAX)))
      throw new BrokenError("two histories are not found out");
    simulation.world.met.add("two histories");
    await mustBeUp(simulation, hub, edge, copy);
    await mustHold(simulation);
  };

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
  simulation.world.met.add("database rolled back");
  site.afterRestore = "a backup was put back";
  await mustBeUp(simulation, site);
}

async function sizesAt(dir: string) {
  await using store = await openReader(dir);
  return store.log.streams();
}

const scenario = (name: string, about: string, run: Scenario["run"]): Scenario => ({ name, about, run });

/** Of one node. */
export const ALONE: readonly Scenario[] = [
  scenario("first-start", "a node crashes while it starts for the first time", async (simulation) => {
    const node = simulation.site("new");
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
    await trouble(simulation, [node], [admits(2), admits(2), ...DECIDES.slice(1), ...OPERATES.slice(2)], { max: 2 });
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
    defineMesh(simulation, node);
    await simulation.world.pass(20);
    await trouble(simulation, [node], [...Array<Act>(4).fill(contends(2, 8)), ...FALLS]);
    await mustComeToRest(simulation);
  }),
];

/** Of nodes under others. */
export const TOGETHER: readonly Scenario[] = [
  scenario("edges-and-hub", "two nodes under a third: all that can befall nodes and network", async (simulation) => {
    const sites = [simulation.site("hub"), simulation.site("edge-1", "hub"), simulation.site("edge-2", "hub")];
    await mustBeUp(simulation, ...sites);
    await trouble(simulation, sites, [...DECIDES, ...DIFFERS, ...DIFFERS, ...FALLS, ...NETWORK, ...OPERATES]);
    await mustComeToRest(simulation);
  }),
  scenario("copied", "a data directory is copied, and both nodes go on", copied()),
  scenario(
    "rotated",
    "a data directory is copied, and both nodes go on and rotate their keys",
    copied({ rotates: true }),
  ),
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
