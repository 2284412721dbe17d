// What it costs to reconcile: an edge decides while it is cut off, then all of it goes to a hub in a process of its own, verified record by record.
// `node bench/upstream.ts [decisions]`, default 100,000. Says records a second, processor time a record on both sides by thread, what memory both
// took, early and at most, and whether the hub then holds each record once, verified and in order (`--unchecked` leaves that out).
import { spawn } from "node:child_process";
import { generateKeyPairSync, sign, verify } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { hostCaller } from "../src/core/caller.ts";
import { parseAdmissionRequest } from "../src/core/request.ts";
import { verifyStore } from "../src/evidence/fsck/streams.ts";
import { admission } from "../src/gate/commands/admission.ts";
import { RailgateNode } from "../src/node/open.ts";
import { openReader } from "../src/store/open.ts";

const AT_ONCE = 256;
/** Decisions before anything is measured: several requests. */
const WARMING = 4096;
const RECORD_BYTES = 1700;
const VERIFIED_A_ROUND = 300;
const LOOK_MS = 100;
const COMPARED_AT_ONCE = 1000;
/** Of the kernel's clock in /proc, in milliseconds (USER_HZ is 100). */
const TICK_MS = 10;
const MAIN = new URL("../src/cli/main.ts", import.meta.url).pathname;
const CHAIN = "acme/edge";

const [given] = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
const decisions = Number(given ?? 100_000);
const checked = !process.argv.includes("--unchecked");
const scratch = mkdtempSync(join(tmpdir(), "railgate-upstream-"));
const hub = spawn(process.execPath, [MAIN, "serve", "--node-id", "hub", "--listen", "127.0.0.1:0"], {
  cwd: scratch,
  env: { ...process.env, RAILGATE_DATA_DIR: join(scratch, "hub") },
  stdio: ["ignore", "pipe", "inherit"],
});

/** Where the hub listens, by its log. */
async function listening(): Promise<string> {
  for await (const line of createInterface({ input: hub.stdout })) {
    const { url } = JSON.parse(line) as { url?: string };
    if (url !== undefined) return url;
  }
  throw new Error("the hub ended");
}

const rssMiB = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;

/** Processor time of each of a process's threads, by name; those of one name together. */
function threadsMs(pid: number): Map<string, number> {
  const spent = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
    // Behind the name the first field is the third; user and system time are the 14th and 15th (proc(5)).
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    spent.set(name, (spent.get(name) ?? 0) + (Number(fields[11]) + Number(fields[12])) * TICK_MS);
  }
  return spent;
}

/** What was spent between two looks, in microseconds a record, the dearest thread first. */
function costOf(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): string {
  const threads = [...after].map(([name, ms]) => [name, ((ms - (before.get(name) ?? 0)) * 1000) / decisions] as const);
  const all = threads.reduce((sum, [, us]) => sum + us, 0);
  const dear = threads.filter(([, us]) => us >= 1).toSorted(([, a], [, b]) => b - a);
  return `${all.toFixed(0)} µs a record (${dear.map(([name, us]) => `${name} ${us.toFixed(0)}`).join(", ")})`;
}

/** One signature of a record, verified: the least of several rounds, in microseconds of this machine's processor. */
function verificationUs(): number {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const record = Buffer.alloc(RECORD_BYTES, "r");
  const signature = sign(null, record, privateKey);
  const rounds = Array.from({ length: 10 }, () => {
    const before = process.cpuUsage();
    for (let made = 0; made < VERIFIED_A_ROUND; made++) verify(null, record, publicKey, signature);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / VERIFIED_A_ROUND;
  });
  return Math.min(...rounds);
}

async function decide(node: RailgateNode, from: number, to: number): Promise<void> {
  const example = JSON.parse(
    readFileSync(new URL("../examples/requests/container-low-risk.json", import.meta.url), "utf8"),
  );
  const caller = hostCaller("bench");
  for (let made = from; made < to; made += AT_ONCE) {
    const commands = Array.from({ length: Math.min(AT_ONCE, to - made) }, (_, i) =>
      admission(
        parseAdmissionRequest({
          ...example,
          workload: { ...example.workload, tenant_id: "acme", workload_id: `workload-${made + i}` },
        }),
        caller,
      ),
    );
    await node.gate.run(commands, { caller });
  }
}

/** That the hub holds the edge's stream record by record, and that all of it verifies. @throws Error it does not. */
async function check(node: RailgateNode): Promise<string> {
  await using store = await openReader(join(scratch, "hub"));
  const size = (await node.store.log.stream(CHAIN))!.size;
  for (let at = 0; at < size; at += COMPARED_AT_ONCE) {
    const [sent, held] = await Promise.all(
      [node.store, store].map((each) => each.log.records(CHAIN, at, at + COMPARED_AT_ONCE)),
    );
    if (sent!.join("\n") !== held!.slice(0, sent!.length).join("\n")) throw new Error(`the hub differs behind ${at}`);
  }
  const { streams, states, events } = await verifyStore(store, () => {});
  const fault = streams.find((stream) => stream.fault !== undefined);
  if (fault || states === null || states.length > 0)
    throw new Error(`the hub does not verify: ${JSON.stringify({ fault, states })}`);
  return `the hub holds ${size} records of ${CHAIN}, each once, in order, and ${events} events verify`;
}

try {
  const url = await listening();
  hub.stdout.resume();
  await using node = await RailgateNode.open({
    dataDir: join(scratch, "edge"),
    nodeId: "edge",
    upstream: {
      access: {
        name: "upstream",
        url,
        headers: {},
        allowInsecureTls: false,
        responseHeaderTimeoutS: 60,
        tls: { systemCaRequired: false },
      },
    },
    partitionTimes: { lostAfterMs: 10_000, settledAfterMs: LOOK_MS, reconciledForMs: 60_000 },
  });
  // So that all threads of both run, and what is measured is no start.
  await decide(node, 0, WARMING);
  while ((await node.forwarding())!.backlog > 0) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  await node.isolate("a measurement", "bench");
  await decide(node, WARMING, WARMING + decisions);
  const alone = verificationUs();
  const pids = { edge: process.pid, hub: hub.pid! };
  const before = { edge: threadsMs(pids.edge), hub: threadsMs(pids.hub) };
  const memory: { readonly edge: number; readonly hub: number }[] = [];
  const started = performance.now();
  await node.rejoin("bench");
  while (node.partition.context().state !== "reconciled") {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    memory.push({ edge: rssMiB(pids.edge), hub: rssMiB(pids.hub) });
  }
  const seconds = (performance.now() - started) / 1000;
  console.log(`${decisions} records in ${seconds.toFixed(1)} s: ${(decisions / seconds).toFixed(0)} a second`);
  console.log(
    `one signature verified: ${alone.toFixed(0)} µs of processor here, so two cores that did nothing else would take ${(2e6 / alone).toFixed(0)} a second`,
  );
  for (const side of ["edge", "hub"] as const) {
    const taken = memory.map((at) => at[side]);
    const quarters = [0.25, 0.5, 0.75, 1].map((part) => taken[Math.ceil(part * taken.length) - 1]!.toFixed(0));
    console.log(`${side}: ${costOf(before[side], threadsMs(pids[side]))}`);
    console.log(`${side}: at most ${Math.max(...taken).toFixed(0)} MiB; by quarters ${quarters.join(", ")}`);
  }
  if (checked) {
    hub.kill();
    await once(hub, "exit");
    console.log(await check(node));
  }
} finally {
  hub.kill();
  rmSync(scratch, { recursive: true, force: true });
}
