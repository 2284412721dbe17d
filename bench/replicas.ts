// What sharing a database costs: one node on SQLite beside one and three replicas on one PostgreSQL, and a store copied from the one into the other.
// `node bench/replicas.ts [seconds] [connections]`, default 10 and 32, shared among the replicas, says decisions a second; `node bench/replicas.ts copy [decisions]`, default 100,000, says how long a
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

const CONNECTIONS = Number(process.argv[3] ?? 32);
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
const scratch = mkdtempSync(join(tmpdir(), "railgate-replicas-"));
const database = await ownServer();
try {
  if (process.argv[2] === "copy") await copying(process.argv[3] ?? "100000");
  else await throughput(Number(process.argv[2] ?? 10));
} finally {
  database.stop();
  rmSync(scratch, { recursive: true, force: true });
}

async function throughput(seconds: number): Promise<void> {
  const alone = await decisionsPerS("one node on SQLite", seconds, [{}]);
  for (const replicas of [1, 3]) {
    const url = await database.url();
    const each = Array.from({ length: replicas }, () => ({ RAILGATE_STORE_URL: url }));
    const perS = await decisionsPerS(`${replicas} on PostgreSQL`, seconds, each);
    console.log(`  ${(perS / alone).toFixed(2)} of one node on SQLite`);
  }
}

/** All of them at once; the load is shared among them. */
async function decisionsPerS(what: string, seconds: number, nodes: readonly NodeJS.ProcessEnv[]): Promise<number> {
  const servers = await Promise.all(
    nodes.map((env, i) => spawnServer(mkdtempSync(join(scratch, "node-")), { RAILGATE_NODE_ID: `r${i}`, ...env })),
  );
  const press = (forS: number) =>
    Promise.all(
      servers.map(({ url }, i) =>
        pressed(`${url}/v1/admissions`, Math.ceil(CONNECTIONS / servers.length), forS, `w-${i}`),
      ),
    );
  await press(WARM_S);
  const before = processorMs(servers);
  const measured = await press(seconds);
  const after = processorMs(servers);
  const batches = await Promise.all(servers.map(({ url }) => batchesOf(url)));
  await Promise.all(servers.map((server) => server.stop()));
  const decisions = measured.reduce((sum, { requests }) => sum + requests.total, 0);
  const perS = measured.reduce((sum, { requests }) => sum + requests.average, 0);
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

/** Each connection is about a workload of its own: what many command at once is decided again and again. */
function pressed(url: string, connections: number, duration: number, name: string): Promise<autocannon.Result> {
  let n = 0;
  const setupClient = (client: autocannon.Client): void =>
    client.setBody(JSON.stringify({ ...example, workload: { ...example.workload, workload_id: `${name}-${n++}` } }));
  const headers = { "content-type": "application/json" };
  return autocannon({ url, method: "POST", headers, connections, duration, setupClient });
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
