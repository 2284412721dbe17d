// What it costs to reconcile: an edge decides while it is cut off, then all of it goes to a hub in a process of its own, verified record by record.
// `node bench/upstream.ts [decisions]`, default 100,000. Says records a second, and what memory both took at most.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostCaller } from "../src/core/caller.ts";
import { parseAdmissionRequest } from "../src/core/request.ts";
import { admission } from "../src/gate/commands/admission.ts";
import { RailgateNode } from "../src/node/open.ts";

const AT_ONCE = 256;
const LOOK_MS = 200;
const MAIN = new URL("../src/cli/main.ts", import.meta.url).pathname;

const decisions = Number(process.argv[2] ?? 100_000);
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

async function decide(node: RailgateNode): Promise<void> {
  const example = JSON.parse(
    readFileSync(new URL("../examples/requests/container-low-risk.json", import.meta.url), "utf8"),
  );
  const caller = hostCaller("bench");
  for (let made = 0; made < decisions; made += AT_ONCE) {
    const commands = Array.from({ length: Math.min(AT_ONCE, decisions - made) }, (_, i) =>
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
  });
  await node.isolate("a measurement", "bench");
  await decide(node);
  const peak = { hub: 0, edge: 0 };
  const started = performance.now();
  await node.rejoin("bench");
  while (node.partition.context().state !== "reconciled") {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    peak.hub = Math.max(peak.hub, rssMiB(hub.pid!));
    peak.edge = Math.max(peak.edge, rssMiB(process.pid));
  }
  const seconds = (performance.now() - started) / 1000;
  console.log(
    `${decisions} records in ${seconds.toFixed(1)} s: ${(decisions / seconds).toFixed(0)} a second; at most ${peak.hub.toFixed(0)} MiB at the hub, ${peak.edge.toFixed(0)} MiB at the edge`,
  );
} finally {
  hub.kill();
  rmSync(scratch, { recursive: true, force: true });
}
