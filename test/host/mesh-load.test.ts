// Many clients on one mesh with little room, and a machine that dies under them: never over capacity, never a demotion, nothing half done.
import { Agent } from "node:http";
import test from "ava";
import { wireMesh } from "../../src/core/mesh.ts";
import { canonicalJson } from "../../src/core/json.ts";
import { admissible, emptyDir, send, verifiedEvents, type Answered } from "../http/support.ts";
import { differingStates, foldHistory } from "./history.ts";
import { spawnServer, type Server } from "./process.ts";

const CLIENTS = 32;
const SEED = Number(process.env["RAILGATE_TEST_SEED"] ?? 1 + Math.floor(Math.random() * 2 ** 31));
const MESH = "/v1/meshes/narrow";
const RAILS = [
  { rail_id: "a", level: "shared", latency_overhead_us: 0, capacity: 3 },
  { rail_id: "b", level: "sandbox_isolated", latency_overhead_us: 5, capacity: 2 },
  { rail_id: "c", level: "sandbox_isolated", latency_overhead_us: 5, capacity: 1 },
  { rail_id: "d", level: "hardware_isolated", latency_overhead_us: 9, capacity: 2 },
];
/** Workloads that clients are about at one time; later ones follow, since in the end each is as high as it can be. */
const AT_A_TIME = [0, 1, 2, 3, 4, 5];
const COMMANDS_EACH = 4;
const POLICY = {
  elevation_allowed: true,
  max_target_level: "hardware_isolated",
  preserve_latency_budget: true,
  latency_budget_us: 9,
};

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
}

/** One client's own sequence of commands. */
function* commands(seed: number): Generator<Asked, never, undefined> {
  let state = seed;
  const one = <T>(of: readonly T[]): T =>
    of[Math.floor(((state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32) * of.length)]!;
  for (let n = 0; ; n++) {
    const workload = `w-${Math.floor(n / COMMANDS_EACH) + one(AT_A_TIME)}`;
    const [rail_id, trace_id] = [one(RAILS).rail_id, `${seed}-${n}`];
    const placement = `${MESH}/placements/${workload}`;
    const names = { tenant_id: "acme", trace_id };
    switch (one(["place", "place", "place", "elevate", "elevate", "remove", "remove", "destroy"])) {
      case "place":
        yield {
          method: "POST",
          path: `${MESH}/placements`,
          body: { ...names, workload_id: workload, rail_id, policy: POLICY },
        };
        break;
      case "elevate":
        yield { method: "POST", path: `${placement}/elevation`, body: { ...names, target_rail_id: rail_id } };
        break;
      case "remove":
        yield { method: "DELETE", path: `${placement}?tenant_id=acme&trace_id=${trace_id}` };
        break;
      default:
        yield {
          method: "POST",
          path: `/v1/workloads/${workload}/lifecycle`,
          body: { ...names, transition: "destroy" },
        };
    }
  }
}

/** What all clients asked and were answered, over all servers. */
class Traffic {
  readonly answered: Answered[] = [];
  readonly #clients = Array.from({ length: CLIENTS }, (_, client) => commands((SEED + client * 7_919) >>> 0));
  readonly #traces = new Map<string, Answered>();

  /** Runs until so many more are answered, then has `end` done, which may take the server away. */
  async run(server: Server, more: number, end: () => Promise<void>): Promise<Asked[]> {
    const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
    const [unanswered, target]: [Asked[], number] = [[], this.answered.length + more];
    let ending: Promise<void> | undefined;
    await Promise.all(
      this.#clients.map(async (client) => {
        while (ending === undefined) {
          const asked = client.next().value;
          const answer = await keyed(server, asked, agent).catch(() => undefined);
          if (answer === undefined) unanswered.push(asked);
          else this.#take(answer);
          if (this.answered.length >= target) ending ??= end();
        }
      }),
    );
    await ending;
    agent.destroy();
    return unanswered;
  }

  async retry(server: Server, unanswered: readonly Asked[]): Promise<void> {
    for (const asked of unanswered) this.#take(await keyed(server, asked));
  }

  #take(answer: Answered): void {
    const { event } = answer.json;
    if (event === undefined || this.#traces.has(event.details.trace_id))
      throw new Error(`${answer.status} ${answer.text}`);
    this.#traces.set(event.details.trace_id, answer);
    this.answered.push(answer);
  }
}

const keyed = ({ url }: Server, { method, path, body }: Asked, agent?: Agent): Promise<Answered> => {
  const key = body ? (body as { trace_id: string }).trace_id : /trace_id=(.*)$/.exec(path)![1]!;
  return send(url, method, path, {
    headers: { "idempotency-key": key },
    ...(body && { body }),
    ...(agent && { agent }),
  });
};

async function begin(dir: string): Promise<Server> {
  const server = await spawnServer(dir);
  await send(server.url, "PUT", `${MESH}/topology`, { body: { tenant_id: "acme", rails: RAILS } });
  // Half of them are admitted, and may be destroyed.
  for (let n = 0; n < 40; n += 2) await send(server.url, "POST", "/v1/admissions", { body: admissible(`w-${n}`) });
  return server;
}

const ROUNDS = [
  { kill: false, answers: 500 },
  ...Array.from({ length: 5 }, (_, n) => ({ kill: true, answers: 40 + n * 67 })),
];

test.serial(`${CLIENTS} clients, and kill -9 under them again and again`, async (t) => {
  t.timeout(120_000);
  t.log(`seed ${SEED} (RAILGATE_TEST_SEED)`);
  const dir = emptyDir();
  const traffic = new Traffic();
  let server = await begin(dir);
  t.teardown(() => server.kill());
  let retried = 0;
  for (const { kill, answers } of ROUNDS) {
    const unanswered = await traffic.run(server, answers, kill ? () => server.kill() : async () => {});
    if (kill) server = await spawnServer(dir);
    t.deepEqual(await differingStates(dir), [], "the state is the fold of the events");
    const events = (await verifiedEvents(dir)).filter(({ tenant_id }) => tenant_id === "acme");
    const mesh = foldHistory(events, "narrow")!;
    t.is((await send(server.url, "GET", `${MESH}?tenant_id=acme`)).text, canonicalJson(wireMesh(mesh)));
    retried += unanswered.length;
    await traffic.retry(server, unanswered);
  }
  await server.stop();
  const events = await verifiedEvents(dir);
  const own = Map.groupBy(
    events.filter(
      ({ actor, details, event_type, subject }) =>
        actor === "loopback" && details?.["trace_id"] && !isFollowUp(event_type, subject, details, events),
    ),
    ({ details }) => details!["trace_id"] as string,
  );
  for (const {
    json: { event },
  } of traffic.answered)
    t.deepEqual(own.get(event.details.trace_id), [event]);
  t.is(own.size, traffic.answered.length);
  const refusals = Map.groupBy(
    traffic.answered.map(({ json }) => (json.code as string | undefined) ?? "done"),
    (code) => code,
  );
  t.log(
    `${traffic.answered.length} answered, ${retried} of them after a kill: ${[...refusals].map(([code, of]) => `${of.length} ${code}`).join(", ")}`,
  );
  t.true(refusals.has("ERR_MESH_RAIL_AT_CAPACITY"));
});

/** The removal that comes with a destruction bears the same trace. */
function isFollowUp(
  event_type: string,
  subject: string | undefined,
  details: object | undefined,
  events: readonly { event_type: string; subject?: string; details?: { [name: string]: unknown } }[],
): boolean {
  const { trace_id } = details as { trace_id: string };
  return (
    event_type === "mesh.remove" &&
    events.some(
      (other) =>
        other.event_type === "workload.envelope.destroy" &&
        other.subject === subject &&
        other.details?.["trace_id"] === trace_id,
    )
  );
}
