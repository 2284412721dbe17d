// `npm run bench -- threads`: what a decision costs each kind of thread, by the node's own metric, and what machines of more cores could do by that: reckoned, and said so.
// Workloads are many: of one, threads decide in turns.
import { generateKeyPairSync, sign } from "node:crypto";
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { load, type Measured } from "./load.ts";
import { freePort, start, type Server } from "./server.ts";

/** Processor time a decision, in µs. */
interface Cost {
  readonly threads: number;
  readonly main: number;
  readonly committing: number;
  readonly deciding: number;
  /** Of all threads, those that sign and collect garbage included. */
  readonly all: number;
  readonly measured: Measured;
}

interface Asked {
  readonly body: string;
  readonly scratch: string;
  readonly connections: number;
  readonly seconds: number;
}

const CORES = [2, 4, 8, 16];
const US_PER_S = 1_000_000;
/** Of one connection. */
const WORKLOADS = 32;
/** Where there are more cores, records are signed on the thread pool, which leaves the thread that commits a sixth (decision 330). */
const CORES_SIGNING_HERE = 2;
const SIGNING_LEFT = 1 / 6;

/** One row a figure, as the other parts have them. */
export async function threadsBench(asked: Asked): Promise<{ what: string; unit: string; railgate: number }[]> {
  const rows: { what: string; unit: string; railgate: number }[] = [];
  const row = (what: string, unit: string, railgate: number) => void rows.push({ what, unit, railgate });
  const signature = signatureUs();
  row("one Ed25519 signature", "µs", signature);
  for (const threads of [1, 2]) {
    const { main, committing, deciding, all, measured } = await costOf(threads, asked);
    const name = threads === 1 ? "1 thread" : `${threads} threads`;
    row(`${name}: requests (${measured.tool})`, "1/s", measured.requestsPerS);
    row(`${name}: p99`, "ms", measured.p99Ms);
    row(`${name}: ${threads === 1 ? "deciding (main)" : "deciding"}`, "µs", threads === 1 ? main : deciding);
    if (threads > 1) row(`${name}: handing over (main)`, "µs", main);
    row(`${name}: committing, the serial part`, "µs", committing);
    row(`${name}: all of the process`, "µs", all);
    for (const cores of threads === 1 ? [4] : CORES)
      row(`${name}, reckoned for ${cores} cores`, "1/s", reckoned(cores, { main, committing, all }, signature));
  }
  return rows;
}

/** Nobody is faster than the busiest of what cannot be parted, nor than all processors together. */
function reckoned(
  cores: number,
  { main, committing, all }: Pick<Cost, "main" | "committing" | "all">,
  signature: number,
): number {
  const apart = availableParallelism() <= CORES_SIGNING_HERE && cores > CORES_SIGNING_HERE;
  const serial = Math.max(main, committing - (apart ? signature * (1 - SIGNING_LEFT) : 0));
  return Math.min(US_PER_S / serial, (cores * US_PER_S) / all);
}

/** Processor time. */
function signatureUs(): number {
  const { privateKey } = generateKeyPairSync("ed25519");
  const record = Buffer.alloc(1700, "e");
  const [rounds, before] = [2000, process.cpuUsage()];
  for (let round = 0; round < rounds; round++) sign(null, record, privateKey);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / rounds;
}

async function costOf(threads: number, { body, scratch, connections, seconds }: Asked): Promise<Cost> {
  const server = await railgate(threads, scratch, body);
  try {
    const url = `${server.url}/v1/admissions`;
    // What is compiled while it runs is not measured.
    const bodies = manyOf(body, connections * WORKLOADS);
    await load({ url, body, bodies, connections, seconds: Math.max(1, seconds / 3) });
    const before = await figures(server);
    const measured = await load({ url, body, bodies, connections, seconds });
    const after = await figures(server);
    if (measured.failed > 0) throw new Error(`${measured.failed} requests failed`);
    const decisions = after.decisions - before.decisions;
    const us = (of: "main" | "committing" | "deciding" | "all") => ((after[of] - before[of]) * US_PER_S) / decisions;
    return {
      threads,
      main: us("main"),
      committing: us("committing"),
      deciding: us("deciding"),
      all: us("all"),
      measured,
    };
  } finally {
    await server.stop();
  }
}

/** The same request of as many workloads. */
function manyOf(body: string, count: number): string[] {
  const request = JSON.parse(body);
  return Array.from({ length: count }, (_, i) =>
    JSON.stringify({ ...request, workload: { ...request.workload, workload_id: `workload-${i}` } }),
  );
}

async function railgate(threads: number, scratch: string, body: string): Promise<Server> {
  const port = await freePort();
  const config = join(scratch, `threads-${threads}.yaml`);
  writeFileSync(
    config,
    JSON.stringify({ railgate: { threads, data_dir: join(scratch, `threads-${threads}`), log_level: "error" } }),
  );
  const env = { RAILGATE_CONFIG: config, RAILGATE_LISTEN: `127.0.0.1:${port}` };
  return start(process.execPath, ["bin/cli/main.js", "serve"], env, `http://127.0.0.1:${port}`, {
    path: "/v1/admissions",
    body,
  });
}

async function figures(
  server: Server,
): Promise<Record<"main" | "committing" | "deciding" | "all" | "decisions", number>> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1] ?? 0);
  const thread = (name: string) => value(`railgate_thread_cpu_seconds\\{thread="${name}"\\}`);
  return {
    main: thread("main"),
    committing: thread("committing"),
    deciding: thread("deciding"),
    all: server.cpuMs() / 1000,
    decisions: value('railgate_decisions_total\\{outcome="accepted"\\}'),
  };
}
