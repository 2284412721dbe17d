// One simulation: nodes at their sites, killed and started again, what their callers were told, and how it all comes to rest.
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { EvidenceUnavailableError } from "../../src/core/errors.ts";
import { parseAdmissionRequest } from "../../src/core/request.ts";
import { commitEvidence } from "../../src/evidence/ledger/committing.ts";
import { answerRequests } from "../../src/threads/threads.ts";
import { recordChecker } from "../../src/evidence/upstream/record-checker.ts";
import { sendRecords } from "../../src/evidence/upstream/record-sender.ts";
import { admission } from "../../src/gate/commands/admission.ts";
import type { AnyCommand } from "../../src/gate/commands/command.ts";
import type { StoreReader } from "../../src/store/store.ts";
import { request } from "../evidence/exports.ts";
import { Database } from "./database.ts";
import { copyFiles, Disk, type Crash, type Faults } from "./disk.ts";
import { Network } from "./network.ts";
import { callerOf, SimulatedNode, type Laws } from "./node.ts";
import { enter } from "./outside.ts";
import { Random } from "./random.ts";
import { SCRATCH } from "./scratch.ts";
import type { Server } from "./server.ts";
import { simulatedThreads, type ThreadMains } from "./threads.ts";
import { Actor, World } from "./world.ts";

/** What a caller was told of what it asked for. */
export interface Told {
  readonly site: Site;
  /** Stands in the event, if there is one. */
  readonly requestId: string;
  /** The record, where it was told that it is on record. */
  readonly receipt?: string;
  /** Where it was not: whether that is certain. */
  readonly recorded?: "no" | "unknown";
}

/** Where a node lives: one life after the other. */
export interface Site {
  readonly name: string;
  readonly upstream: string | undefined;
  /** The id that it goes by in the settings; copies of one node have the same. */
  readonly nodeId: string;
  dir: string;
  disk: Disk;
  actor: Actor;
  /** Undefined while it is down, or on its way up. */
  life: SimulatedNode | undefined;
  /** Why it would not start. */
  refusal: Error | undefined;
  afterRestore: string | undefined;
  /** Its machine, and how often that was started. */
  host: string;
  boots: number;
  /** Whether it waits for the lease of a node id that another process holds. */
  waits: boolean;
}

/** Requests of one moment, as far as they come apart. */
const APART_MS_MAX = 4;
const FIRST_PID = 1000;

/** It was seen that something does not hold. */
export class BrokenError extends Error {}

export class Simulation {
  readonly world: World;
  readonly network: Network;
  /** Which all nodes share; undefined: each has its own. */
  readonly database: Database | undefined;
  readonly server: Server | undefined;
  readonly sites: Site[] = [];
  readonly told: Told[] = [];
  /** Errors that nobody foresaw. */
  readonly surprises: string[] = [];
  /** What is wrong with each disk of a node that is started. */
  everyDisk: Partial<Faults> = {};
  readonly #laws: Laws;
  readonly #scratch: string;
  readonly #atEnd: (() => void)[] = [];
  #over = false;
  #dirs = 0;
  #requests = 0;

  constructor(seed: number, laws: Laws, traced = false, server?: Server) {
    this.world = new World(seed, new Random(seed), traced);
    this.network = new Network(this.world);
    this.server = server;
    this.database = server && new Database(server, this.world);
    this.#laws = laws;
    this.#scratch = mkdtempSync(join(SCRATCH, "railgate-simulated-"));
    this.atEnd(enter(this.world, this.#threads(), this.database));
  }

  get random(): Random {
    return this.world.random;
  }

  /** A place for a node, which is not started yet. @param from a directory that it begins with. */
  site(name: string, upstream?: string, nodeId = name, from?: string): Site {
    const dir = from ?? this.#newDir();
    const actor = new Actor(name);
    const disk = new Disk(dir, this.random, this.#newDir);
    const site: Site = {
      name,
      upstream,
      nodeId,
      dir,
      disk,
      actor,
      life: undefined,
      refusal: undefined,
      afterRestore: undefined,
      host: name,
      boots: 0,
      waits: false,
    };
    actor.end();
    this.sites.push(site);
    this.database?.nodeIds.set(name, nodeId);
    return site;
  }

  /** Starts a node from what its disk holds, unless it is up. */
  start(site: Site, faults: Partial<Faults> = {}): void {
    if (site.actor.alive) return;
    const { world } = this;
    this.#begin(site);
    const disk = new Disk(site.dir, this.random, this.#newDir, { ...this.everyDisk, ...faults });
    const actor = new Actor(site.name, undefined, disk);
    Object.assign(site, { disk, actor, life: undefined, refusal: undefined });
    Object.assign(actor, { pid: FIRST_PID + world.processes.length, host: `${site.host}-${site.boots}` });
    world.processes.push(actor);
    disk.onOperation = (what) => world.tell(what);
    disk.onFault = (what) => world.met.add(what);
    disk.onCrash = (left) => this.#crashed(site, actor, disk, left);
    world.after(0, actor, () => {
      world.tell("starts");
      const { nodeId, upstream, dir: dataDir, afterRestore } = site;
      const store = this.database && { url: `postgres://railgate@${site.name}/railgate`, wait: site.waits };
      SimulatedNode.start({ nodeId, dataDir, upstream, afterRestore, store }, this.#laws).then(
        (life) => this.#started(site, actor, life),
        (error: Error) => this.#refused(site, actor, error),
      );
    });
  }

  /** What its disk holds before its first start. */
  #begin({ dir, nodeId }: Site): void {
    if (existsSync(dir)) return;
    const begun = this.server ? undefined : this.#laws.begun.get(nodeId);
    if (begun === undefined) mkdirSync(dir);
    else copyFiles(begun, dir);
  }

  /** It ends now, whatever it is at. */
  kill(site: Site, crash: Crash): void {
    if (!site.actor.alive) return;
    Object.assign(site.disk.faults, { crash });
    this.world.tell(`${crash}: ${site.name}`);
    site.disk.crashNow();
  }

  /** One of its threads ends. */
  killThread(site: Site): void {
    const threads = simulatedThreads(site.actor);
    if (threads.length > 0) this.random.pick(threads).die();
  }

  /** A workload is to be admitted. @returns what `told` has it by; undefined: nobody could be asked. */
  admit(site: Site, workloadId: string, classification = "internal", tenantId = "acme"): string | undefined {
    const asked = parseAdmissionRequest(request(workloadId, tenantId, classification));
    const command = () => admission(asked, callerOf(tenantId));
    return this.ask(site, `to admit ${workloadId} (${classification})`, command, tenantId);
  }

  /** One of those that decide there is asked something; what comes of it is kept in `told`. */
  ask(site: Site, what: string, command: () => AnyCommand, tenantId = "acme"): string | undefined {
    const { actor, life } = site;
    if (!life || !actor.alive) return undefined;
    const requestId = `r${++this.#requests}`;
    const gate = this.random.pick(life.gates);
    this.world.after(this.random.next() * APART_MS_MAX, actor, () => {
      this.world.tell(`is asked ${what} as ${requestId}`);
      gate.run([command()], { caller: callerOf(tenantId), trace: { requestId } }).then(
        ([done]) => this.#answered(actor, { site, requestId, receipt: done!.receipt }),
        (error: Error) => this.#failed(actor, site, requestId, error),
      );
    });
    return requestId;
  }

  /** Something is done at a node that is up, and may be refused for lack of evidence. */
  at(site: Site, what: string, work: (life: SimulatedNode) => Promise<unknown>): void {
    const { actor, life } = site;
    if (!life || !actor.alive) return;
    this.world.after(0, actor, () => {
      this.world.tell(what);
      work(life).catch((error: Error) => {
        if (!(error instanceof EvidenceUnavailableError) && actor.alive) this.surprises.push(`${what}: ${error.stack}`);
      });
    });
  }

  /** What lies at a site where a node is up. */
  read({ life }: Site): StoreReader {
    return life!.store;
  }

  /** A copy of what a site's disk holds now, in a directory of its own. */
  copyOf(site: Site): string {
    return site.disk.copy();
  }

  /** No fault any more: all nodes are up and reach each other, once those that pause go on. */
  heal(): void {
    this.network.heal();
    this.database?.heal();
    for (const site of this.sites) {
      Object.assign(site.disk.faults, { crashIn: undefined, lies: false, commits: [] });
      this.start(site);
    }
  }

  /** @returns whether this came to hold, looked at now and then, before so much time had passed. */
  async comesTo(holds: () => boolean | Promise<boolean>, withinMs: number): Promise<boolean> {
    const endMs = this.world.nowMs + withinMs;
    while (!(await holds())) {
      if (this.world.nowMs >= endMs) return false;
      await this.world.pass(250);
    }
    return true;
  }

  /** Does this when it is over. */
  atEnd(undo: () => void): void {
    this.#atEnd.push(undo);
  }

  /** Nothing is simulated any more. To end it again does nothing. */
  async end(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    for (const { actor, disk } of this.sites) {
      actor.end();
      disk.giveUp();
    }
    await this.database?.end();
    for (const undo of this.#atEnd.toReversed()) undo();
    rmSync(this.#scratch, { recursive: true, force: true });
  }

  readonly #newDir = (): string => join(this.#scratch, String(this.#dirs++));

  #threads(): ThreadMains {
    return {
      committer: (port, data) => commitEvidence(data, port),
      "intake-worker": (port, data) => answerRequests(recordChecker(data), undefined, port),
      "forward-worker": (port, data: Parameters<typeof sendRecords>[0]) => {
        const site = this.sites.find(({ actor }) => actor === this.world.current.parent)!;
        const service = this.network.service(site.name, new URL(data.access.url).hostname);
        void sendRecords(data, service, port);
      },
    };
  }

  #started(site: Site, actor: Actor, life: SimulatedNode): void {
    if (!actor.alive) return;
    this.world.tell("is up");
    site.life = life;
    this.network.up(site.name, { actor, intake: life.intake });
  }

  #refused(site: Site, actor: Actor, error: Error): void {
    if (!actor.alive) return;
    this.world.tell(`does not start: ${(error as { code?: string }).code}: ${error.message.slice(0, 80)}`);
    site.refusal = error;
    actor.end();
    this.world.after(0, this.world.root, () => site.disk.crashNow());
  }

  #crashed(site: Site, actor: Actor, disk: Disk, left: string): void {
    this.world.tell(`crashed (${disk.faults.crash})`);
    site.dir = left;
    site.life = undefined;
    if (disk.faults.crash === "lost_power") site.boots++;
    actor.end();
    this.world.after(0, this.world.root, () => disk.giveUp());
  }

  #answered(actor: Actor, told: Told): void {
    if (!actor.alive) return;
    if (told.recorded === "unknown") this.world.met.add("told unknown");
    this.world.tell(`answers ${told.requestId}: ${told.receipt === undefined ? told.recorded : "recorded"}`);
    this.told.push(told);
  }

  #failed(actor: Actor, site: Site, requestId: string, error: Error): void {
    if (!(error instanceof EvidenceUnavailableError)) {
      if (actor.alive) this.surprises.push(String(error.stack));
      return;
    }
    this.#answered(actor, { site, requestId, recorded: error.recorded });
  }
}

/** Puts an older database in the place of a newer one, with what is remembered of upstream; keys and signed checkpoints stay. */
export function rollBack(from: string, dir: string): void {
  for (const name of ["railgate.db", "railgate.db-wal", "railgate.db-shm", "upstream.json"]) {
    rmSync(join(dir, name), { force: true });
    if (existsSync(join(from, name))) cpSync(join(from, name), join(dir, name));
  }
}
