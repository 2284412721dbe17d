// What is simulated of nodes that share a database: leases, commits whose end nobody saw, takeovers, and a database that goes back.
import { LogRolledBackError, StoreLockedError } from "../../src/core/errors.ts";
import { type Act, contends, crashOf, DECIDES, defineMesh, FALLS, mustBeUp, skew, trouble } from "./acts.ts";
import { HELD_MS } from "./database.ts";
import { brokenInShared, eventIn } from "./invariants.ts";
import type { Scenario } from "./scenarios.ts";
import { BrokenError, type Simulation, type Site } from "./simulation.ts";

/** Longer than a lease is left to whoever is gone, and than a session is waited for. */
const REST_MS_MAX = 90_000;
const PROBED_MS = 2000;
const LEASE_WAITED_MS_MAX = 20_000;
const CHECKPOINTED_MS = 2500;
const LONG_MS_MAX = 14_000;
/** How long the commits of a moment take. */
const COMMITS_MS_MAX = 100;
const SKEW_MS_MAX = 600_000;
/** Said of a node whose id another process has taken. */
const DISPLACED = "restart this one";
/** How often somebody looks for what is new. */
const FOLLOWED_MS_MAX = 400;

const COMMITS = ["lost", "done", "late", "held"] as const;

const ASKED: readonly Act[] = [contends(1, 2), contends(1, 2), DECIDES[1]!];

const DATABASE: readonly Act[] = [
  ({ database, random }, { name }) => database!.cut(name, random.chance(0.5)),
  ({ database, random }, { name }) => void database!.way(name).commits.push(random.pick(COMMITS)),
  ({ database, random }, { name }) => void database!.way(name).commits.push(random.pick(COMMITS)),
  ({ database, random }, { name }) => database!.leads(name, random.pick(["cut", "silent"]), random.below(LONG_MS_MAX)),
  ({ database, random }, { name }) =>
    void Object.assign(database!.way(name), { delayMsMax: random.within(1, 60), breaks: random.next() / 50 }),
  ({ database, random }, { name }) => database!.leads(name, "silent", random.within(...HELD_MS)),
  ({ world, random }, { actor }) => actor.pause(world.nowMs + random.within(...HELD_MS)),
  ({ database, random }) => database!.fails(random.below(3000)),
  ({ world, random }, { actor }) => actor.pause(world.nowMs + random.within(5000, LONG_MS_MAX)),
  (simulation, site) => skew(simulation, site, SKEW_MS_MAX),
];

/** What lets a lease end, whatever its holder is at. */
const OVERTAKEN: readonly Act[] = [
  ({ world, random }, { actor }) => actor.pause(world.nowMs + random.within(10_000, 30_000)),
  ({ world, random }, { actor }) => actor.pause(world.nowMs + random.within(10_000, 30_000)),
  ({ database, random }, { name }) => database!.leads(name, "silent", random.within(10_000, 30_000)),
  ({ database, random }, { name }) => database!.leads(name, "cut", random.within(10_000, 30_000)),
  (simulation, site) => simulation.kill(site, crashOf(simulation)),
];

/** While all are at it, at whatever step of a commit. */
const underLoad = (faults: readonly Act[]): readonly Act[] =>
  faults.map((fault) => (simulation, site) => {
    const { world, random, sites } = simulation;
    for (const each of sites) random.pick(ASKED)(simulation, each);
    world.after(random.below(COMMITS_MS_MAX), world.root, () => fault(simulation, site));
  });

const betweenMs = ({ random }: Simulation): number => random.below(random.chance(0.2) ? LONG_MS_MAX : 150);

/** Somebody who reads what is new, again and again, behind the last that was read. */
class Follower {
  readonly site: Site;
  #seen = new Set<string>();
  #after = 0;
  #asked: object | undefined;

  constructor(simulation: Simulation, site: Site) {
    this.site = site;
    const { world, random } = simulation;
    const again = (): void => {
      world.after(random.below(FOLLOWED_MS_MAX), world.root, () => {
        this.#look(simulation);
        again();
      });
    };
    again();
  }

  /** The database is another. */
  forget(): void {
    this.#seen = new Set();
    this.#after = 0;
    this.#asked = undefined;
  }

  /** @returns in words, what it was not shown. */
  missed(records: readonly { readonly position: number; readonly record: string }[]): string[] {
    const missed = records.filter(({ position, record }) => position <= this.#after && !this.#seen.has(record));
    return missed.map(({ position }) => `who follows ${this.site.name} to ${this.#after} has missed ${position}`);
  }

  #look({ world }: Simulation): void {
    const { life, actor } = this.site;
    if (!life || !actor.alive || this.#asked === life) return;
    this.#asked = life;
    const after = this.#after;
    world.after(0, actor, () =>
      life.store
        .events({ order: "asc", limit: 1000, after })
        .then((events) => {
          if (this.#asked !== life) return;
          for (const { position, record } of events) {
            this.#seen.add(record);
            this.#after = position;
          }
        })
        .catch(() => {})
        .finally(() => {
          if (this.#asked === life) this.#asked = undefined;
        }),
    );
  }
}

/** Every node records again, and everything holds. */
async function mustComeToRest(simulation: Simulation, followers: readonly Follower[]): Promise<void> {
  const rest = await mustRecord(simulation).then(
    () => [],
    (error: Error) => [error.message],
  );
  await simulation.end();
  const store = await simulation.server!.reader();
  const records = await store.events({ order: "asc", limit: 100_000 });
  const missed = followers.flatMap((follower) => follower.missed(records));
  const broken = [...rest, ...(await brokenInShared(simulation, store)), ...missed];
  if (broken.length > 0) throw new BrokenError(broken.join("; "));
}

/** What each was asked last. */
type Asked = Map<Site, { readonly atMs: number; readonly requestId: string }>;

/** Asks it to record something, until it has. */
function whyRestless(simulation: Simulation, site: Site, asked: Asked): string | undefined {
  const { name, actor, life } = site;
  if (!actor.alive) {
    simulation.start(site);
    return `${name} is down: ${site.refusal?.message}`;
  }
  if (!life) return `${name} is not up`;
  const { failure } = life.ledger;
  // As whoever watches over it does.
  if (failure?.includes(DISPLACED)) simulation.kill(site, "killed");
  const last = asked.get(site);
  if (last && simulation.told.some(({ requestId, receipt }) => requestId === last.requestId && receipt !== undefined))
    return undefined;
  if (!last || simulation.world.nowMs > last.atMs + PROBED_MS) {
    const requestId = simulation.admit(site, `at-rest-${name}`);
    if (requestId !== undefined) asked.set(site, { atMs: simulation.world.nowMs, requestId });
  }
  return `${name} records nothing: ${failure}`;
}

/** As long as another process holds the node id. */
async function mustBeRefused(simulation: Simulation, site: Site): Promise<void> {
  for (const waits of [false, true]) {
    site.waits = waits;
    simulation.start(site);
    if (!(await simulation.comesTo(() => site.refusal !== undefined, LEASE_WAITED_MS_MAX)))
      throw new BrokenError("a second process starts under an id that is held");
    if (!(site.refusal instanceof StoreLockedError)) throw new BrokenError(`it does not start: ${site.refusal}`);
  }
}

/** The one that holds the node id is gone for a while, and the other waits for it. */
async function overtake(simulation: Simulation, twins: readonly Site[]): Promise<void> {
  const { world, random } = simulation;
  for (const site of twins) {
    site.waits = true;
    simulation.start(site);
  }
  await world.pass(random.below(1000));
  const holder = twins.find(({ life, actor }) => life && actor.alive) ?? twins[0]!;
  for (const site of simulation.sites) random.pick(ASKED)(simulation, site);
  await world.pass(random.below(60));
  random.pick(OVERTAKEN)(simulation, holder);
  await world.pass(random.within(9000, 16_000));
  if (random.chance(0.5)) return;
  // Who was away comes back, and the other has recorded nothing yet beside what it goes on with.
  await world.pass(Math.max(0, holder.actor.pausedUntilMs - world.nowMs));
  random.pick(ASKED)(simulation, holder);
  await world.pass(COMMITS_MS_MAX);
}

/** All faults are over, and each node has recorded something since. */
async function mustRecord(simulation: Simulation): Promise<void> {
  await simulation.world.pass(COMMITS_MS_MAX);
  simulation.heal();
  const asked: Asked = new Map();
  let restless: string[] = [];
  const rests = await simulation.comesTo(() => {
    restless = simulation.sites.flatMap((site) => whyRestless(simulation, site, asked) ?? []);
    return restless.length === 0;
  }, REST_MS_MAX);
  if (!rests) throw new BrokenError(`no rest: ${restless.join("; ")}`);
}

/**
 * A standby takes over that lacks what was recorded last: whoever lacks something of its own signs nothing, until told that it was restored.
 * @param atOnce before it has a checkpoint: only what was acknowledged must be found out, by a process that has not ended.
 */
async function goBack(simulation: Simulation, sites: readonly Site[], { atOnce = false } = {}): Promise<void> {
  const { world, random, database, told } = simulation;
  let lost: readonly string[] | undefined;
  const acknowledged = told.flatMap(({ receipt }) => (receipt === undefined ? [] : [eventIn(receipt)]));
  // At once, or so that nodes see that it is away.
  const awayMs = random.chance(0.3) ? 0 : random.below(3000);
  void database!.standbyTakesOver(awayMs).then((chains) => {
    const sizes = simulation.server!.standbySizes;
    const gone = acknowledged.filter(({ chain_id, sequence }) => sequence >= (sizes.get(chain_id) ?? 0));
    lost = atOnce ? [...new Set(gone.map(({ chain_id }) => chain_id))] : chains;
  });
  for (const site of sites)
    if (!atOnce && random.chance(0.3)) simulation.kill(site, crashOf(simulation));
    else if (random.chance(0.35)) simulation.killThread(site);
  const isBack = (site: Site): boolean => lost!.some((chain) => chain.endsWith(`/${site.nodeId}`));
  const foundOut = (site: Site): boolean =>
    site.refusal instanceof LogRolledBackError ||
    site.life?.ledger.failure?.startsWith(LogRolledBackError.code) === true;
  const found = await simulation.comesTo(() => {
    for (const site of sites) {
      if (!site.actor.alive && !(site.refusal instanceof LogRolledBackError)) simulation.start(site);
      simulation.admit(site, `after-${random.below(1000)}`);
    }
    return lost !== undefined && sites.every((site) => !isBack(site) || foundOut(site));
  }, REST_MS_MAX);
  const saying = sites
    .map(({ name, refusal, life }) => `${name}: ${refusal?.message ?? life?.ledger.failure}`)
    .join("; ");
  if (!found) throw new BrokenError(`it is not found out that the database went back: ${saying}`);
  if (lost!.length > 0) world.met.add("standby takes over");
  const sizes = await simulation.server!.sizes();
  for (const chain of lost!)
    if ((sizes.get(chain) ?? 0) > (simulation.server!.standbySizes.get(chain) ?? 0))
      throw new BrokenError(`${chain} goes on, and lacks what was recorded`);
  const kept = await simulation.server!.records();
  const still = told.filter(({ receipt }) => receipt === undefined || kept.has(receipt));
  told.splice(0, told.length, ...still);
  for (const site of sites.filter((each) => isBack(each) || foundOut(each))) {
    site.afterRestore = "a standby took over";
    simulation.kill(site, "killed");
  }
  await world.pass(1);
}

/** @param atOnce see {@link goBack}. */
const promoted =
  ({ atOnce = false } = {}): Scenario["run"] =>
  async (simulation) => {
    const { world, random, database } = simulation;
    const sites = [simulation.site("r1"), simulation.site("r2")];
    await mustBeUp(simulation, ...sites);
    defineMesh(simulation, sites[0]!);
    await world.pass(random.below(2000));
    await trouble(simulation, sites, ASKED, { max: 4 });
    database!.standbyStops();
    await trouble(simulation, sites, underLoad([...FALLS, ...DATABASE]), { max: 4 });
    await mustRecord(simulation);
    // Checkpoints are a second late at most (spec evidence §4).
    await world.pass(atOnce ? random.below(COMMITS_MS_MAX) : CHECKPOINTED_MS);
    await goBack(simulation, sites, { atOnce });
    const followers = sites.map((site) => new Follower(simulation, site));
    await trouble(simulation, sites, underLoad([...FALLS, ...DATABASE]), { max: 4, betweenMs });
    await mustComeToRest(simulation, followers);
  };

const scenario = (name: string, about: string, run: Scenario["run"]): Scenario => ({ name, about, shares: true, run });

export const REPLICAS: readonly Scenario[] = [
  scenario("replicas", "nodes that share a database command the same workloads and one mesh", async (simulation) => {
    const sites = Array.from({ length: simulation.random.within(2, 3) }, (_, i) => simulation.site(`r${i + 1}`));
    await mustBeUp(simulation, ...sites);
    defineMesh(simulation, sites[0]!);
    await simulation.world.pass(200);
    const followers = sites.map((site) => new Follower(simulation, site));
    await trouble(simulation, sites, underLoad([...FALLS, ...DATABASE]), { max: 8, betweenMs });
    await mustComeToRest(simulation, followers);
  }),
  scenario("twins", "two processes under one node id, and a node beside them", async (simulation) => {
    const [first, beside] = [simulation.site("r1"), simulation.site("r2")];
    await mustBeUp(simulation, first, beside);
    defineMesh(simulation, first);
    // With a checkpoint: without one the copy would not start.
    await simulation.world.pass(CHECKPOINTED_MS);
    const twin = simulation.site("r1-twin", undefined, "r1", simulation.copyOf(first));
    await mustBeRefused(simulation, twin);
    const sites = [first, twin, beside];
    const followers = sites.map((site) => new Follower(simulation, site));
    for (let rounds = simulation.random.within(1, 3); rounds > 0; rounds--) {
      await overtake(simulation, [first, twin]);
      await trouble(simulation, sites, underLoad([...FALLS, ...DATABASE]), { max: 3 });
    }
    simulation.kill(twin, "killed");
    simulation.sites.splice(simulation.sites.indexOf(twin), 1);
    await mustComeToRest(simulation, followers);
  }),
  scenario(
    "promoted-at-once",
    "a standby takes over that lacks the last moment, and threads die",
    promoted({ atOnce: true }),
  ),
  scenario("promoted", "a standby takes over that lacks what was recorded last", promoted()),
];
