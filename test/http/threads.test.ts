// Several threads listen and decide: alike, in one order, never over a capacity, once per key; one of them may die, and all stop together.
import { Agent, get } from "node:http";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import type { Worker } from "node:worker_threads";
import test from "ava";
import type { Decision } from "../../src/core/schema/decision.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { until } from "../until.ts";
import { admissible, start, verifiedEvents, type Answered, type Call, type Started } from "./support.ts";

const THREADS = 3;
const REQUESTS = new URL("../../examples/requests/", import.meta.url);

/** Threads of this process that decide. */
const deciding = new Set<Worker>();
process.on("worker", (worker: Worker) => {
  if (worker.threadName !== "deciding") return;
  deciding.add(worker);
  worker.on("exit", () => deciding.delete(worker));
});

/** One node for all that follows; the last of them stops it. */
let shared: Started;
test.before(async () => {
  shared = await start({ threads: THREADS });
});
test.after.always(() => shared.close());
/** Admissions that were answered while a thread died, or all of them stopped. */
const answered: string[] = [];

/** Without the time by which to attest again, which moves with the clock. */
const bare = (decision: Decision) => ({
  ...decision,
  obligations: decision.obligations.map(({ obligation }) => obligation),
});

const commanding =
  (node: Started) =>
  (method: string, path: string, body?: object, call: Call = {}) =>
    node.call(method, path, { ...call, ...(body && { body: { tenant_id: "mesh", ...body } }) });

test.serial("whatever the thread, what is asked is decided and answered as by one alone", async (t) => {
  const node = shared;
  const alone = await start({ threads: 1 });
  t.teardown(() => alone.close());
  for (const name of readdirSync(REQUESTS).filter((each) => each.endsWith(".json"))) {
    const body = JSON.parse(readFileSync(new URL(name, REQUESTS), "utf8"));
    const [a, b] = [
      await node.call("POST", "/v1/admissions", { body }),
      await alone.call("POST", "/v1/admissions", { body }),
    ];
    t.is(a.status, b.status, name);
    t.deepEqual(bare(a.json.decision), bare(b.json.decision), name);
    t.deepEqual(Object.keys(a.headers).sort(), Object.keys(b.headers).sort());
  }
  const others: [string, string, Call?][] = [
    ["GET", "/v1/workloads"],
    ["GET", "/v1/meshes/none?tenant_id=acme"],
    ["GET", "/v1/nowhere"],
    ["PATCH", "/v1/admissions"],
    ["POST", "/v1/admissions", { body: "{" }],
    ["POST", "/v1/admissions", { body: "{}", headers: { "content-type": "text/plain" } }],
    ["POST", "/v1/admissions?dry_run=true", { body: admissible("dry") }],
    ["POST", "/v1/workloads/none/lifecycle", { body: { transition: "start" } }],
    ["POST", "/v1/data/railgate/admission/decision", { body: { input: {} } }],
    ["GET", "/v1/data/nothing"],
    ["GET", "/v1/%zz"],
    ["GET", "/readyz"],
    ["GET", "/health"],
    ["GET", "/v1/workloads", { headers: { host: "example.org" } }],
    ["POST", "/v1/exports", { body: { tenant_id: "nobody" } }],
  ];
  for (const [method, path, call] of others) {
    const [a, b] = [await node.call(method, path, call), await alone.call(method, path, call)];
    t.is(a.status, b.status, `${method} ${path}`);
    t.is(codeIn(a), codeIn(b), `${method} ${path}`);
    t.deepEqual(Object.keys(a.headers).sort(), Object.keys(b.headers).sort(), `${method} ${path}`);
  }
  const spied = await node.call("GET", "/v1/workloads", {
    headers: { "railgate-inner-proven": "e30", "railgate-inner-secret": "x" },
  });
  t.is(spied.status, 200, "what threads say to each other nobody else can say");
});

/** Admissions that were accepted, and answers to them, over all threads. */
async function figuresOf(node: Started): Promise<number[]> {
  const { text } = await node.call("GET", "/metrics");
  const answers = 'railgate_http_request_duration_seconds_count{method="POST",route="/v1/admissions",status="200"} ';
  return ['railgate_decisions_total{outcome="accepted"} ', answers].map((begin) =>
    Number(
      text
        .split("\n")
        .find((line) => line.startsWith(begin))
        ?.slice(begin.length) ?? 0,
    ),
  );
}

function codeIn({ text }: Answered): unknown {
  try {
    return (JSON.parse(text) as { code?: unknown }).code;
  } catch {
    return undefined;
  }
}

test.serial(
  "a mesh that all threads command: no rail over its capacity, no demotion, revisions in order",
  async (t) => {
    const node = shared;
    const send = commanding(node);
    const RAILS = [
      { rail_id: "own", level: "process_isolated", latency_overhead_us: 5, capacity: 6 },
      { rail_id: "hw", level: "hardware_isolated", latency_overhead_us: 9, capacity: 4 },
    ];
    t.is((await send("PUT", "/v1/meshes/m/topology", { rails: RAILS })).status, 201);
    const policy = {
      elevation_allowed: true,
      max_target_level: "hardware_isolated",
      preserve_latency_budget: false,
      latency_budget_us: 0,
    };
    const workloads = Array.from({ length: 18 }, (_, i) => `w-${i}`);
    const placed = await Promise.all(
      workloads.map(async (workload_id) => {
        const { status } = await send("POST", "/v1/meshes/m/placements", { workload_id, rail_id: "own", policy });
        const elevated =
          status === 201
            ? await send("POST", `/v1/meshes/m/placements/${workload_id}/elevation`, { target_rail_id: "hw" })
            : undefined;
        return [status, elevated?.status];
      }),
    );
    t.true(
      placed.every(([status]) => status === 201 || status === 409),
      JSON.stringify(placed),
    );
    t.is(placed.filter(([, elevated]) => elevated === 200).length, 4);
    const mesh = (await send("GET", "/v1/meshes/m?tenant_id=mesh")).json;
    const on = (rail: string) =>
      Object.values(mesh.placements).filter((each) => (each as { rail_id: string }).rail_id === rail).length;
    t.is(on("hw"), 4);
    t.true(on("own") <= 6);
    t.is(mesh.revision, placed.filter(([status]) => status === 201).length + 5);
    const listed = (await node.call("GET", "/v1/events?tenant_id=mesh&order=asc&limit=1000")).json.items;
    const revisions = (listed as EvidenceEvent[]).flatMap(({ event_type, outcome, details }) =>
      event_type.startsWith("mesh.") && outcome === "accepted" ? [details!["revision"]] : [],
    );
    t.deepEqual(
      revisions,
      revisions.map((_, i) => i + 1),
    );
  },
);

test.serial(
  "one workload that all threads decide on again and again: each is decided, on what the one before left",
  async (t) => {
    const node = shared;
    const answers = await Promise.all(
      Array.from({ length: 90 }, () => node.call("POST", "/v1/admissions", { body: admissible("hot", "hot") })),
    );
    t.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    const events = (await node.call("GET", "/v1/events?tenant_id=hot&order=asc&limit=1000")).json.items;
    t.deepEqual(
      events.map(({ details }: { details: { state_revision: number } }) => details.state_revision),
      events.map((_: unknown, i: number) => i + 1),
    );
  },
);

test.serial("a key is carried out once, whichever threads are asked at once", async (t) => {
  const node = shared;
  const once = (key: string, body: object) =>
    node.call("POST", "/v1/admissions", { body, headers: { "idempotency-key": key } });
  const answers = await Promise.all(Array.from({ length: 12 }, () => once("k", admissible("w", "key"))));
  t.deepEqual([...new Set(answers.map(({ status, json }) => `${status} ${json.event.id}`))].length, 1);
  t.is((await once("k", admissible("other", "key"))).status, 422);
  t.is((await node.call("GET", "/v1/events?tenant_id=key")).json.items.length, 1);
});

test.serial("measured on each thread, told as one; followed live, all that any of them decided", async (t) => {
  const node = shared;
  const before = await figuresOf(node);
  const seen: string[] = [];
  const follower = get(`${node.url}/v1/events?tenant_id=live`, {
    agent: false,
    headers: { accept: "text/event-stream" },
  });
  const following = new Promise<void>((resolve) => {
    follower.on("response", (answer) => {
      resolve();
      answer
        .setEncoding("utf8")
        .on("data", (text: string) => seen.push(...[...text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id!)));
      answer.on("error", () => {});
    });
  });
  follower.on("error", () => {});
  await following;
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, i) => node.call("POST", "/v1/admissions", { body: admissible(`w-${i}`, "live") })),
  );
  t.true(answers.every(({ status }) => status === 200));
  await until(() => seen.length >= 30);
  const listed = (await node.call("GET", "/v1/events?tenant_id=live&order=asc")).json.items;
  t.deepEqual(
    seen,
    listed.map(({ id }: { id: string }) => id),
  );
  follower.destroy();
  const { text, headers } = await node.call("GET", "/metrics");
  t.regex(headers["content-type"]!, /^text\/plain/);
  const after = await figuresOf(node);
  t.deepEqual(
    after.map((value, i) => value - before[i]!),
    [30, 30],
  );
  t.regex(text, /^process_cpu_seconds_total /m);
  t.is(text.match(/^# TYPE railgate_ready /gm)!.length, 1);
  const lines = () => node.logs.filter(({ route, tenant_id }) => route === "/v1/admissions" && tenant_id === "live");
  // Threads hand their lines over behind the answers.
  await until(() => lines().length >= 30, "a line for each");
  t.is(lines().length, 30);
});

test.serial("an address that another one has is not shared with it", async (t) => {
  const other = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => other.once("listening", resolve));
  const { port } = other.address() as { port: number };
  await t.throwsAsync(start({ threads: 2, listen: `127.0.0.1:${port}` }), { code: "listen_failed" });
  other.close();
});

test.serial("a thread that dies is replaced", async (t) => {
  const node = shared;
  const agent = new Agent({ keepAlive: true });
  let done = false;
  const load = Array.from({ length: 6 }, async (_, client) => {
    for (let i = 0; !done; i++) {
      // Its connections break with the thread; a client asks again.
      const answer = await node
        .call("POST", "/v1/admissions", { body: admissible(`d-${client}-${i}`, "acme"), agent })
        .catch(() => undefined);
      if (answer?.status === 200) answered.push(answer.json.event.id as string);
    }
  });
  await until(() => answered.length > 20);
  const [victim] = deciding;
  await victim!.terminate();
  await until(() => node.logs.some(({ msg }) => msg === "a thread that decides has died; another one takes its place"));
  await until(() => deciding.size === THREADS);
  const before = answered.length;
  await until(() => answered.length > before + 20);
  done = true;
  await Promise.all(load);
  agent.destroy();
  t.regex((await node.call("GET", "/metrics")).text, /^railgate_thread_deaths_total 1$/m);
});

test.serial(
  "stopped under load: all threads answer what is under way, and all that was answered is on record",
  async (t) => {
    const node = shared;
    const before = answered.length;
    let closed = false;
    const load = Array.from({ length: 8 }, async (_, client) => {
      for (let i = 0; !closed; i++) {
        const answer = await node
          .call("POST", "/v1/admissions", { body: admissible(`s-${client}-${i}`, "acme") })
          .catch(() => undefined);
        if (answer === undefined) return;
        t.is(answer.status, 200);
        answered.push(answer.json.event.id as string);
      }
    });
    await until(() => answered.length > before + 30);
    await node.close();
    closed = true;
    await Promise.all(load);
    t.is(deciding.size, 0);
    const recorded = new Set((await verifiedEvents(node.dir)).map(({ id }) => id));
    t.deepEqual(
      answered.filter((id) => !recorded.has(id)),
      [],
    );
  },
);
