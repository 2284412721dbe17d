// Has a running node and a witness audited by other people's implementations (test/interop, in Go): `npm run -s interop`.
// Apart from `npm test`, since it needs Go ≥ 1.26 and, the first time, its module proxy.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../src/node/config/config.ts";
import { serve, type Served } from "../src/http/server.ts";

/** Sizes at which trees have other shapes: one tile that is not full, a full one, three levels of subtrees in the last. */
const GROWTH = [5, 251, 300, 1];
const TENANTS = ["acme", "other/tenant"];
const BATCH_MAX = 500;

const scratch = mkdtempSync(join(tmpdir(), "railgate-interop-"));
const open: Served[] = [];
try {
  const auditor = join(scratch, "audit");
  await run("go", ["build", "-o", auditor, "."], "test/interop");
  const node = await start("node", {});
  await grow(node, 1, 1);
  const witness = await start("witness", {
    logs: (await streams(node)).map(({ vkey }) => ({ origin: vkey.slice(0, vkey.indexOf("+")), vkey })),
  });
  let made = 1;
  for (const count of GROWTH) {
    await grow(node, count, (made += count));
    await run(auditor, ["-node", node.url, "-witness", witness.url, "-state", scratch]);
  }
  console.log("other implementations agree");
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
} finally {
  for (const served of open.reverse()) await served.close();
  rmSync(scratch, { recursive: true });
}

async function start(name: string, witness: object): Promise<Served> {
  const cwd = join(scratch, name);
  const file = join(scratch, `${name}.yaml`);
  const settings = { data_dir: cwd, listen: "127.0.0.1:0", log_level: "error", node_id: name, witness };
  writeFileSync(file, JSON.stringify({ railgate: settings }));
  const served = await serve(loadConfig({ env: {}, cwd: scratch, flags: { configFile: file } }), { signals: false });
  open.push(served);
  return served;
}

/** Decides so many admissions for each tenant, and waits for a checkpoint over all that the first one then has. */
async function grow({ url, railgate }: Served, count: number, size: number): Promise<void> {
  const example = JSON.parse(
    readFileSync(new URL("../examples/requests/container-low-risk.json", import.meta.url), "utf8"),
  ) as { workload: object };
  for (const tenant_id of TENANTS) {
    const items = Array.from({ length: count }, (_, i) => ({
      ...example,
      workload: { ...example.workload, tenant_id, workload_id: `w${size}-${i}` },
    }));
    let last = "";
    for (let at = 0; at < count; at += BATCH_MAX) {
      const body = JSON.stringify({ items: items.slice(at, at + BATCH_MAX) });
      const answer = await fetch(`${url}/v1/admissions/batch`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
      });
      if (answer.status !== 200) throw new Error(`admissions: ${answer.status} ${await answer.text()}`);
      last = ((await answer.json()) as { items: { event: { id: string } }[] }).items.at(-1)!.event.id;
    }
    const { inclusion } = await railgate.event(last);
    if (inclusion === null || inclusion.size < size)
      throw new Error(`no checkpoint over ${size} events of ${tenant_id}`);
  }
}

async function streams({ url }: Served): Promise<{ vkey: string }[]> {
  const answer = await fetch(`${url}/v1/streams`);
  return ((await answer.json()) as { items: { vkey: string }[] }).items;
}

/** Not synchronous, since what it asks is this process. */
async function run(command: string, args: string[], cwd = "."): Promise<void> {
  const child = spawn(command, args, {
    cwd: join(import.meta.dirname, "..", cwd),
    stdio: ["ignore", "inherit", "inherit"],
  });
  const status = await new Promise<number | string | null>((resolve, reject) => {
    child.on("error", (error: NodeJS.ErrnoException) =>
      reject(new Error(`${command} cannot be run (${error.code}); this check needs Go ≥ 1.26: https://go.dev/dl`)),
    );
    child.on("close", (code, signal) => resolve(code ?? signal));
  });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}`);
}
