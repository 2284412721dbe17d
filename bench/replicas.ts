// What sharing a database costs: one node on SQLite beside one and three replicas on one PostgreSQL, and a store copied from the one into the other.
// `node bench/replicas.ts [seconds] [connections]`, default 10 and 32, shared among the replicas, says decisions a second; `node bench/replicas.ts hot [seconds] [connections]` the same of one replica and
// three, where all command one workload, or move workloads in one mesh; `node bench/replicas.ts copy [decisions]`, default 100,000, says how long a
// copy of so many takes, every record verified, in how much memory and processor time; in place of a number, a data directory that nobody uses may be named. PostgreSQL is started here, with fsync and synchronous_commit on.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import autocannon from "autocannon";
import { hostCaller } from "../src/core/caller.ts";
import { parseAdmissionRequest } from "../src/core/request.ts";
import { admission } from "../src/gate/commands/admission.ts";
import { openReader } from "../src/store/open.ts";
import { RailgateNode } from "../src/node/open.ts";
import { spawnServer, type Server } from "../test/host/process.ts";
import { ownServer } from "../test/postgres/server.ts";

/** What is measured; how that is given. */
const [WHAT, ...GIVEN] = /^[a-z]+$/.test(process.argv[2] ?? "")
  ? process.argv.slice(2)
  : ["many", ...process.argv.slice(2)];
const SECONDS = Number(GIVEN[0] ?? 10);
const CONNECTIONS = Number(GIVEN[1] ?? 32);
const AT_ONCE = 256;
const SAMPLE_MS = 100;
/** Before what is measured, so that what runs often is compiled and planned. */
const WARM_S = 5;
/** Of the processor, as Linux counts: a hundredth of a second. */
const TICK_MS = 10;
/** As it is installed: built, so that no memory goes into reading the sources. */
const MAIN = new URL("../scripts/railgate.js", import.meta.url).pathname;

const example = JSON.parse(
  readFileSync(new URL("../examples/requests/container-low-risk.json", import.meta.url), "utf8"),
);
/** @param name of its own for each replica and time. @returns what makes a connection. */
type Load = (name: string) => (client: autocannon.Client) => void;

const ADMITTING = { method: "POST", path: "/v1/admissions", headers: { "content-type": "application/json" } } as const;

const admitting = (workload_id: string): autocannon.Request => ({
  ...ADMITTING,
  body: JSON.stringify({ ...example, workload: { ...example.workload, workload_id } }),
});

/** Each connection is about a workload of its own. */
const onItsOwn: Load = (name) => {
  let n = 0;
  return (client) => client.setRequests([admitting(`${name}-${n++}`)]);
};

const onOneWorkload: Load = () => (client) => client.setRequests([admitting("hot")]);

/** Each moves a workload of its own on and off one rail. */
const inOneMesh: Load = (name) => {
  let n = 0;
  return (client) => {
    const workload_id = `${name}-${n++}`;
    const body = JSON.stringify({ tenant_id: "acme", workload_id, rail_id: "a", policy: STAYING });
    client.setRequests([
      { ...ADMITTING, path: "/v1/meshes/m/placements", body },
      { method: "DELETE", path: `/v1/meshes/m/placements/${workload_id}?tenant_id=acme` },
    ]);
  };
};

const STAYING = {
  elevation_allowed: false,
  max_target_level: "shared",
  preserve_latency_budget: false,
  latency_budget_us: 0,
};

const scratch = mkdtempSync(join(tmpdir(), "railgate-replicas-"));
const database = await ownServer();
try {
  if (WHAT === "copy") await copying(GIVEN[0] ?? "100000");
  else if (WHAT === "hot") await contention();
  else await throughput();
} finally {
  database.stop();
  rmSync(scratch, { recursive: true, force: true });
}

async function throughput(): Promise<void> {
  const alone = await decisionsPerS("one node on SQLite", [{}], onItsOwn);
  for (const replicas of [1, 3]) {
    const perS = await decisionsPerS(`${replicas} on PostgreSQL`, await sharing(replicas), onItsOwn);
    console.log(`  ${(perS / alone).toFixed(2)} of one node on SQLite`);
  }
}

async function contention(): Promise<void> {
  for (const [what, load] of [
    ["one workload", onOneWorkload],
    ["one mesh", inOneMesh],
  ] as const) {
    const alone = await decisionsPerS(`${what}, 1`, await sharing(1), load);
    const perS = await decisionsPerS(`${what}, 3`, await sharing(3), load);
    console.log(`  ${(perS / alone).toFixed(2)} of one replica`);
  }
}

async function sharing(replicas: number): Promise<NodeJS.ProcessEnv[]> {
  const url = await database.url();
  return Array.from({ length: replicas }, () => ({ RAILGATE_STORE_URL: url }));
}

/** All of them at once; the load is shared among them. */
async function decisionsPerS(what: string, nodes: readonly NodeJS.ProcessEnv[], load: Load): Promise<number> {
  const servers = await Promise.all(
    nodes.map((env, i) => spawnServer(mkdtempSync(join(scratch, "node-")), { RAILGATE_NODE_ID: `r${i}`, ...env })),
  );
  await defineMesh(servers[0]!);
  const press = (phase: "warm" | "measured", duration: number) =>
    Promise.all(
      servers.map(({ url }, i) =>
        autocannon({
          url,
          connections: Math.ceil(CONNECTIONS / servers.length),
          duration,
          setupClient: load(`${phase}-${i}`),
        }),
      ),
    );
  await press("warm", WARM_S);
  const before = processorMs(servers);
  const measured = await press("measured", SECONDS);
  const after = processorMs(servers);
  const batches = await Promise.all(servers.map(({ url }) => batchesOf(url)));
  await Promise.all(servers.map((server) => server.stop()));
  const decisions = measured.reduce((sum, each) => sum + each["2xx"], 0);
  const perS = measured.reduce((sum, each) => sum + each["2xx"] / each.duration, 0);
  const p99 = Math.max(...measured.map(({ latency }) => latency.p99));
  const failed = measured.reduce((sum, { non2xx, errors }) => sum + non2xx + errors, 0);
  const us = (which: "nodes" | "database") => ((1000 * (after[which] - before[which])) / decisions).toFixed(0);
  const size =
    batches.reduce((sum, { events }) => sum + events, 0) / batches.reduce((sum, { commits }) => sum + commits, 0);
  console.log(
    `${what.padEnd(20)} ${perS.toFixed(0).padStart(6)}/s  p99 ${p99.toFixed(0)} ms  ${failed} failed; ` +
      `a decision: ${us("nodes")} µs of the nodes' processor, ${us("database")} of the database's; ${size.toFixed(1)} events a commit`,
  );
  return perS;
}

/** What all threads of the nodes, and all processes of the database, have taken so far. */
function processorMs(servers: readonly Server[]): { nodes: number; database: number } {
  return { nodes: servers.reduce((sum, { pid }) => sum + own(ticksOf(pid)!), 0), database: databaseMs() };
}

function own({ user, system }: Ticks): number {
  return (user + system) * TICK_MS;
}

function databaseMs(): number {
  const first = Number(readFileSync(join(database.socketDir, "data", "postmaster.pid"), "utf8").split("\n")[0]);
  const all = readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? (ticksOf(Number(name)) ?? []) : []));
  const children = all.filter(({ parent }) => parent === first);
  return ticksOf(first)!.ended * TICK_MS + children.reduce((sum, each) => sum + own(each), 0);
}

interface Ticks {
  readonly parent: number;
  readonly user: number;
  readonly system: number;
  /** Of children that have ended. */
  readonly ended: number;
}

/** proc_pid_stat(5). */
function ticksOf(pid: number): Ticks | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number);
    return { parent: fields[1]!, user: fields[11]!, system: fields[12]!, ended: fields[13]! + fields[14]! };
  } catch {
    return undefined;
  }
}

async function batchesOf(url: string): Promise<{ commits: number; events: number }> {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const value = (name: string): number => Number(new RegExp(`^${name} (\\S+)`, "m").exec(metrics)?.[1] ?? 0);
  return { commits: value("railgate_batch_events_count"), events: value("railgate_batch_events_sum") };
}

async function defineMesh({ url }: Server): Promise<void> {
  const rails = [{ rail_id: "a", level: "shared", latency_overhead_us: 1, capacity: 1_000_000 }];
  const body = JSON.stringify({ tenant_id: "acme", rails });
  const { status } = await fetch(`${url}/v1/meshes/m/topology`, { method: "PUT", headers: ADMITTING.headers, body });
  if (status !== 201) throw new Error(`the mesh was not defined: ${status}`);
}

/** @param what how many decisions, or where they are. */
async function copying(what: string): Promise<void> {
  const from = Number.isNaN(Number(what)) ? what : join(scratch, "data");
  if (from !== what) await decide(from, Number(what));
  const records = await countIn(from);
  const url = await database.url();
  for (const [what, args] of [
    ["SQLite to PostgreSQL", ["--from", from, "--to", url]],
    ["back to SQLite", ["--from", url, "--to", join(scratch, "back"), "--data-dir", from]],
  ] as const) {
    const started = performance.now();
    const before = databaseMs();
    const { peakMiB, processorMs } = await ran(["store", "copy", ...args]);
    const seconds = (performance.now() - started) / 1000;
    console.log(
      `${what.padEnd(22)} ${records} records: ${seconds.toFixed(1)} s, ${(records / seconds).toFixed(0)} a second, ${peakMiB.toFixed(0)} MiB at most; ` +
        `a record: ${((1000 * processorMs) / records).toFixed(0)} µs of processor, and ${((1000 * (databaseMs() - before)) / records).toFixed(0)} of the database's`,
    );
  }
}

async function decide(dataDir: string, decisions: number): Promise<void> {
  const caller = hostCaller("bench");
  await using node = await RailgateNode.open({ dataDir, nodeId: "n1" });
  for (let made = 0; made < decisions; made += AT_ONCE) {
    const requests = Array.from({ length: Math.min(AT_ONCE, decisions - made) }, (_, i) =>
      parseAdmissionRequest({
        ...example,
        workload: { ...example.workload, tenant_id: "acme", workload_id: `w-${(made + i) % 50_000}` },
      }),
    );
    await node.gate.run(
      requests.map((request) => admission(request, caller)),
      { caller },
    );
  }
}

async function countIn(dataDir: string): Promise<number> {
  await using store = await openReader(dataDir);
  return (await store.log.streams()).reduce((sum, { size }) => sum + size, 0);
}

/** @returns what memory a command took at most, in MiB, and what processor time. */
async function ran(args: readonly string[]): Promise<{ peakMiB: number; processorMs: number }> {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: scratch, stdio: ["ignore", "ignore", "inherit"] });
  let [peak, taken] = [0, 0];
  const sample = setInterval(() => {
    try {
      peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1] ?? 0));
    } catch {
      // It has just ended.
    }
    const { user = 0, system = 0 } = ticksOf(child.pid!) ?? {};
    taken = Math.max(taken, (user + system) * TICK_MS);
  }, SAMPLE_MS);
  const [code] = (await once(child, "exit")) as [number | null];
  clearInterval(sample);
  if (code !== 0) throw new Error(`railgate ${args.join(" ")} ended with ${code}`);
  return { peakMiB: peak / 1024, processorMs: taken };
}
