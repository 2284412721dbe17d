// Three replicas on one PostgreSQL under mixed load, while they are killed, paused over their lease, restarted and cut off, their database ends without notice and its
// standby is promoted: nothing acknowledged is lost, nothing told unrecorded is on record, and the evidence is one history in which no rail was over its capacity.
import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { eventTextOf } from "../../src/core/event.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { verifyStore } from "../../src/evidence/fsck/streams.ts";
import { openReader } from "../../src/store/open.ts";
import { storeAt } from "../../src/store/shared.ts";
import { admissible, emptyDir } from "../http/support.ts";
import { noPostgres, ownServer, type OwnServer } from "../postgres/server.ts";
import { Way } from "../postgres/way.ts";
import { spawnServer, type Server } from "./process.ts";

process.setMaxListeners(100);
const ROUNDS = Number(process.env["RAILGATE_TEST_ROUNDS"] ?? 4);
const SEED = Number(process.env["RAILGATE_TEST_SEED"] ?? 1 + Math.floor(Math.random() * 2 ** 31));
const CLIENTS = 6;
const LOAD_MS = 1500;
/** More than a lease. */
const PAUSE_MS = 11_000;
const ANSWER_MS_MAX = 40_000;
const MESH = "/v1/meshes/narrow";
const RAILS = [
  { rail_id: "a", level: "shared", latency_overhead_us: 0, capacity: 3 },
  { rail_id: "b", level: "sandbox_isolated", latency_overhead_us: 5, capacity: 2 },
  { rail_id: "c", level: "hardware_isolated", latency_overhead_us: 9, capacity: 2 },
];
const POLICY = {
  elevation_allowed: true,
  max_target_level: "hardware_isolated",
  preserve_latency_budget: false,
  latency_budget_us: 0,
};

/** Numbers that a seed gives again. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => Math.floor(((state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32) * below);
}

interface Replica {
  readonly dir: string;
  readonly way: Way;
  readonly env: NodeJS.ProcessEnv;
  server: Server;
}

/** What callers were told. */
class Answers {
  readonly acknowledged = new Set<string>();
  /** Traces of what was told not to be on record. */
  readonly unrecorded = new Set<string>();
  readonly statuses = new Map<number, number>();

  take(traceId: string, status: number, text: string): void {
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
    const answer = JSON.parse(text) as { event?: { id: string }; recorded?: string };
    if (answer.event) this.acknowledged.add(answer.event.id);
    else if (answer.recorded === "no") this.unrecorded.add(traceId);
  }
}

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: object;
}

function command(next: (below: number) => number, trace_id: string): Asked {
  const workload = `w-${next(12)}`;
  const rail_id = RAILS[next(RAILS.length)]!.rail_id;
  const names = { tenant_id: "acme", trace_id };
  switch (next(6)) {
    case 0:
      return { method: "POST", path: `/v1/admissions?trace_id=${trace_id}`, body: admissible(workload) };
    case 1:
      return {
        method: "POST",
        path: `/v1/workloads/${workload}/lifecycle`,
        body: { ...names, transition: ["create", "start", "stop", "destroy"][next(4)] },
      };
    case 2:
      return {
        method: "POST",
        path: `${MESH}/placements/${workload}/elevation`,
        body: { ...names, target_rail_id: rail_id },
      };
    case 3:
      return { method: "DELETE", path: `${MESH}/placements/${workload}?tenant_id=acme&trace_id=${trace_id}`, body: {} };
    default:
      return {
        method: "POST",
        path: `${MESH}/placements`,
        body: { ...names, workload_id: workload, rail_id, policy: POLICY },
      };
  }
}

async function client(
  replicas: readonly Replica[],
  answers: Answers,
  seed: number,
  until: () => boolean,
): Promise<void> {
  const next = numbers(seed);
  for (let n = 0; !until(); n++) {
    const traceId = `${seed}-${n}`;
    const { method, path, body } = command(next, traceId);
    try {
      const response = await fetch(`${replicas[next(replicas.length)]!.server.url}${path}`, {
        method,
        signal: AbortSignal.timeout(ANSWER_MS_MAX),
        headers: { "content-type": "application/json", "idempotency-key": traceId },
        ...(method !== "DELETE" && { body: JSON.stringify(body) }),
      });
      answers.take(traceId, response.status, await response.text());
    } catch {
      // Whoever got no answer knows nothing.
      await sleep(50);
    }
  }
}

/** The database: a primary, and a standby that its commits wait for. */
class Database {
  primary!: OwnServer;
  #standby!: OwnServer;

  static async start(): Promise<Database> {
    const database = new Database();
    database.primary = await ownServer();
    await database.#followed();
    return database;
  }

  /** The primary is gone for good, and its standby takes its place. */
  async promote(): Promise<void> {
    const gone = this.primary;
    gone.kill();
    this.#standby.promote();
    this.primary = this.#standby;
    gone.stop();
    await this.#followed();
  }

  stop(): void {
    this.primary.stop();
    this.#standby.stop();
  }

  async #followed(): Promise<void> {
    this.#standby = await this.primary.standby();
    await this.primary.waitsForStandby(true);
  }
}

type Fault = (replica: Replica, database: Database) => Promise<void>;
const during = (begin: () => void, end: () => void, ms = LOAD_MS): Promise<void> => {
  begin();
  return sleep(ms).then(end);
};
/** Those that a short run has come first. */
const FAULTS: readonly (readonly [name: string, fault: Fault])[] = [
  [
    "killed",
    async (replica) => {
      await replica.server.kill();
      replica.server = await spawnServer(replica.dir, replica.env);
    },
  ],
  ["promoted", (_, database) => database.promote()],
  [
    "paused",
    ({ server }) => during(server.signal.bind(null, "SIGSTOP"), server.signal.bind(null, "SIGCONT"), PAUSE_MS),
  ],
  ["cut off", ({ way }) => during(way.cut.bind(way, true), way.cut.bind(way, false))],
  [
    "restarted",
    async (replica) => {
      await replica.server.stop();
      replica.server = await spawnServer(replica.dir, replica.env);
    },
  ],
  ["not heard", ({ way }) => during(way.silence.bind(way, true), way.silence.bind(way, false), PAUSE_MS)],
  [
    "database killed",
    async (_, { primary }) => {
      primary.kill();
      await primary.start();
    },
  ],
  [
    "database paused",
    (_, { primary }) => during(primary.signal.bind(null, "SIGSTOP"), primary.signal.bind(null, "SIGCONT"), PAUSE_MS),
  ],
];

const missing = noPostgres();
(missing === undefined ? test.serial : test.serial.skip)(
  "three replicas, whatever happens to them: one history, nothing lost, no rail over its capacity, no demotion",
  async (t) => {
    t.timeout(300_000 + ROUNDS * 60_000);
    const database = await Database.start();
    t.teardown(() => database.stop());
    const name = new URL(await database.primary.url()).pathname.slice(1);
    const replicas = await Promise.all(
      ["r1", "r2", "r3"].map(async (node_id): Promise<Replica> => {
        const [dir, way] = [emptyDir(), await Way.to(() => database.primary.socketDir)];
        const env = { RAILGATE_NODE_ID: node_id, RAILGATE_STORE_URL: way.url(name) };
        return { dir, way, env, server: await spawnServer(dir, env) };
      }),
    );
    t.teardown(async () => {
      for (const { server, way } of replicas) {
        server.signal("SIGCONT");
        await server.kill();
        way.close();
      }
    });
    const defined = await fetch(`${replicas[0]!.server.url}${MESH}/topology?tenant_id=acme`, {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ rails: RAILS }),
    });
    t.is(defined.status, 201, await defined.text());
    const [next, answers] = [numbers(SEED), new Answers()];
    for (let round = 0; round < ROUNDS; round++) {
      let over = false;
      const load = Array.from({ length: CLIENTS }, (_, i) =>
        client(replicas, answers, SEED + round * 1000 + i, () => over),
      );
      const [what, fault] = FAULTS[round % FAULTS.length]!;
      try {
        await sleep(LOAD_MS / 3);
        if (ROUNDS > FAULTS.length) console.log(`round ${round}: ${what}, ${answers.acknowledged.size} acknowledged`);
        await fault(replicas[next(replicas.length)]!, database);
        await sleep(LOAD_MS);
      } finally {
        over = true;
      }
      await Promise.all(load);
    }
    for (const { server } of replicas) await server.stop();
    await using store = await openReader(storeAt(emptyDir(), { url: await database.primary.url(name) }));
    const { streams, states, order, events } = await verifyStore(store, () => {});
    t.log(`seed ${SEED}, ${ROUNDS} rounds, ${events} events, answers ${JSON.stringify([...answers.statuses])}`);
    t.deepEqual(
      streams.flatMap(({ chain_id, fault }) => (fault ? [`${chain_id} ${fault.sequence}: ${fault.message}`] : [])),
      [],
      `seed ${SEED}`,
    );
    t.deepEqual([states, order], [[], []], `seed ${SEED}`);
    const recorded = (await store.events({ tenant_id: "acme", order: "asc", limit: 1_000_000 })).map(
      ({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent,
    );
    const ids = new Set(recorded.map(({ id }) => id));
    t.deepEqual(
      [...answers.acknowledged].filter((id) => !ids.has(id)),
      [],
      "acknowledged, and lost",
    );
    t.true(answers.acknowledged.size > 10);
    const denied = recorded.filter(({ details }) => answers.unrecorded.has(String(details?.["trace_id"])));
    t.deepEqual(denied, [], "told not to be on record, and on record");
  },
);
