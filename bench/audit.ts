// What an audit of many decisions costs: exporting, verifying and replaying them, each by the real command in a process of its own.
// `node bench/audit.ts [decisions]`, default 100,000. Nothing is skipped: every signature, hash, proof and decision is checked. Beside the
// time is what all cores together worked for it, and that as a multiple of what OpenSSL takes for one signature, measured just before.
import { admission } from "../src/gate/commands/admission.ts";
import { hostCaller } from "../src/core/caller.ts";
import { spawn } from "node:child_process";
import { generateKeyPairSync, sign, verify } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseAdmissionRequest } from "../src/core/request.ts";
import { RailgateNode } from "../src/node/open.ts";

const AT_ONCE = 256;
const SAMPLE_MS = 100;
const TICKS_A_SECOND = 100;
const [ROUNDS, A_ROUND, RECORD_BYTES] = [15, 200, 1800];
/** Decided after the audit, which is then gone on with. */
const MORE = 10_000;
/** As it is installed: built, so that no memory goes into reading the sources. */
const MAIN = new URL("../scripts/railgate.js", import.meta.url).pathname;

const decisions = Number(process.argv[2] ?? 100_000);
const scratch = mkdtempSync(join(tmpdir(), "railgate-audit-"));
const dataDir = join(scratch, "data");

/** Different workloads, accepted and refused, all of one tenant. */
async function decide(decisions: number): Promise<void> {
  const examples = ["container-low-risk.json", "several-refusals.json", "vm-confidential.json"].map((name) =>
    JSON.parse(readFileSync(new URL(`../examples/requests/${name}`, import.meta.url), "utf8")),
  );
  await using node = await RailgateNode.open({ dataDir });
  for (let made = 0; made < decisions; made += AT_ONCE) {
    const requests = Array.from({ length: Math.min(AT_ONCE, decisions - made) }, (_, i) => {
      const example = examples[(made + i) % 10 === 0 ? 1 : (made + i) % 10 === 1 ? 2 : 0];
      return parseAdmissionRequest({
        ...example,
        workload: { ...example.workload, tenant_id: "acme", workload_id: `workload-${(made + i) % 50_000}` },
      });
    });
    const caller = hostCaller("bench");
    await node.gate.run(
      requests.map((request) => admission(request, caller)),
      { caller },
    );
  }
}

/** What a command took. */
interface Used {
  readonly peakMiB: number;
  readonly processorS: number;
}

/** What OpenSSL takes to verify one signature over a record's bytes now, in µs of processor: the least of several rounds. */
function verificationUs(): number {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const record = Buffer.alloc(RECORD_BYTES, "x");
  const signature = sign(null, record, privateKey);
  const rounds = Array.from({ length: ROUNDS }, () => {
    const before = process.cpuUsage();
    for (let i = 0; i < A_ROUND; i++) verify(null, record, publicKey, signature);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / A_ROUND;
  });
  return Math.min(...rounds);
}

async function measured(what: string, of: number, work: () => Promise<void | Used>): Promise<void> {
  const oneUs = verificationUs();
  const started = performance.now();
  const used = await work();
  const seconds = (performance.now() - started) / 1000;
  const perCore = of / seconds / availableParallelism();
  console.log(
    `${what.padEnd(16)} ${seconds.toFixed(1).padStart(8)} s  ${perCore.toFixed(0).padStart(7)} a second and core${
      used
        ? `  ${used.processorS.toFixed(1).padStart(7)} s of processor, ${costOf(used, of, oneUs)}  ${used.peakMiB.toFixed(0).padStart(5)} MiB at most`
        : ""
    }`,
  );
}

function costOf({ processorS }: Used, of: number, oneUs: number): string {
  const us = (processorS * 1e6) / of;
  return `${us.toFixed(0).padStart(4)} µs each, ${(us / oneUs).toFixed(2)} of ${oneUs.toFixed(0)} µs`;
}

/** Runs a command of ours. */
async function railgate(...args: string[]): Promise<Used> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...process.env, RAILGATE_DATA_DIR: dataDir },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let used: Used = { peakMiB: 0, processorS: 0 };
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-2000)));
  const sampling = setInterval(() => (used = usedBy(child.pid!) ?? used), SAMPLE_MS);
  const [code] = (await once(child, "exit")) as [number];
  clearInterval(sampling);
  if (code !== 0) throw new Error(`railgate ${args.join(" ")} ended with ${code}: ${said}`);
  return used;
}

/** All threads of it. Undefined where it has ended. */
function usedBy(pid: number): Used | undefined {
  try {
    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    // proc_pid_stat(5): utime and stime are the 14th and 15th, the name in brackets being the second.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    return peak === undefined
      ? undefined
      : { peakMiB: Number(peak) / 1024, processorS: (Number(stat[11]) + Number(stat[12])) / TICKS_A_SECOND };
  } catch {
    return undefined;
  }
}

try {
  const archive = join(scratch, "export.tar.gz");
  console.log(`${decisions} decisions, ${availableParallelism()} cores`);
  await measured("decide", decisions, () => decide(decisions));
  await measured("export", decisions, () => railgate("export", "--tenant", "acme", "--out", archive));
  console.log(
    `${"".padEnd(16)} ${(statSync(archive).size / decisions).toFixed(0).padStart(8)} bytes a decision, packed`,
  );
  const kept = join(scratch, "audited.checkpoint");
  await measured("verify", decisions, () => railgate("verify", archive, "--trust-embedded-keys", "--keep", kept));
  await measured("replay", decisions, () => railgate("replay", archive));
  await decide(MORE);
  const next = join(scratch, "next.tar.gz");
  await measured("export since", MORE, () => railgate("export", "--tenant", "acme", "--since", kept, "--out", next));
  await measured("verify since", MORE, () => railgate("verify", next, "--trust-embedded-keys", "--since", kept));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
