// What was answered is on the disk: under load, after kill -9, and around a disk that is full.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { openSync, readFileSync, rmSync, statSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { readHolder } from "../../src/store/lock.ts";
import { MAIN } from "../cli/railgate.ts";
import { admissible, emptyDir, insufficient, send, start, verifiedEvents, type Answered } from "./support.ts";
import { spawn } from "../spawn.ts";
import { comes, until } from "../until.ts";

const CLIENTS = 32;

test.serial("many clients at once: each decision has exactly one event, and every chain holds", async (t) => {
  const served = await start();
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
  const answered = new Map<string, string>();
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, client) => {
      for (let i = 0; i < 60; i++) {
        const make = i % 3 === 0 ? insufficient : admissible;
        const { status, json } = await served.call("POST", "/v1/admissions", {
          body: make(`w-${client}`, `t-${client % 5}`),
          agent,
        });
        t.is(status, 200);
        t.false(answered.has(json.event.id));
        answered.set(json.event.id, JSON.stringify(json.event));
      }
    }),
  );
  agent.destroy();
  await served.close();
  const stored = (await verifiedEvents(served.dir)).filter(({ event_type }) =>
    /^workload\.(admit|refuse)$/.test(event_type),
  );
  t.is(stored.length, CLIENTS * 60);
  for (const event of stored) t.is(answered.get(event.id), JSON.stringify(event));
});

type Child = { url: string; pid: number; ended: Promise<unknown> };

/** Beyond its file size limit a process gets this signal, whose default is to end it; a full disk would not. */
const OUTLIVES_THE_LIMIT = "data:text/javascript,process.on('SIGXFSZ', () => {})";

/** Its log goes to a file beside its data. */
async function spawnServer(dir: string, { fileBlocksMax = "unlimited", logLevel = "warn" } = {}): Promise<Child> {
  const env = {
    PATH: process.env["PATH"],
    HOME: process.env["HOME"],
    RAILGATE_DATA_DIR: join(dir, "data"),
    RAILGATE_LISTEN: "127.0.0.1:0",
    RAILGATE_LOG_LEVEL: logLevel,
  };
  rmSync(join(dir, "data", "lock.json"), { force: true });
  const log = openSync(join(dir, "log"), "a");
  // The soft limit, so that the hard one leaves room to raise it again.
  const command = [process.execPath, "--import", OUTLIVES_THE_LIMIT, MAIN, "serve"];
  const child = spawn("sh", ["-c", `ulimit -S -f ${fileBlocksMax}; exec "$0" "$@"`, ...command], {
    cwd: dir,
    env,
    stdio: ["ignore", log, log],
  });
  const ended = once(child, "exit");
  const url = await until(() => {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`the server does not come up: ${readFileSync(join(dir, "log"), "utf8")}`);
    return readHolder(join(dir, "data"))?.url;
  }, "the server says where it listens");
  return { url, pid: child.pid!, ended };
}

for (const afterMs of [150, 400]) {
  test.serial(`killed ${afterMs} ms into the load, it has every decision that it answered`, async (t) => {
    const dir = emptyDir();
    const child = await spawnServer(dir);
    const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
    const answered: string[] = [];
    const clients = Array.from({ length: CLIENTS }, async (_, client) => {
      for (;;) {
        const answer = await send(child.url, "POST", "/v1/admissions", {
          body: admissible(`w-${client}`),
          agent,
        }).catch(() => undefined);
        if (answer === undefined) return;
        t.is(answer.status, 200);
        answered.push(answer.json.event.id);
      }
    });
    await until(() => answered.length > 0);
    await sleep(afterMs);
    process.kill(child.pid, "SIGKILL");
    await Promise.all(clients);
    await comes("the server is gone", child.ended);
    agent.destroy();
    const again = await spawnServer(dir);
    const last = await send(again.url, "POST", "/v1/admissions", { body: admissible("after") });
    t.is(last.json.decision.outcome, "accepted");
    process.kill(again.pid, "SIGTERM");
    t.deepEqual(await comes("the server ends", again.ended), [0, null]);
    const stored = new Set((await verifiedEvents(dir)).map(({ id }) => id));
    for (const id of [...answered, last.json.event.id]) t.true(stored.has(id), id);
  });
}

/** Room to start, and for a few hundred decisions. */
const FULL_BYTES = 1024 * 700;

test.serial(
  "when the disk is full admission stops (EVI-01), nothing of it is kept, and it resumes by itself",
  async (t) => {
    const dir = emptyDir();
    const child = await spawnServer(dir, { fileBlocksMax: String(FULL_BYTES / 512), logLevel: "info" });
    const call = (method: string, path: string, body?: object): Promise<Answered> =>
      send(child.url, method, path, body && { body });
    const answered: string[] = [];
    let refusal: Answered | undefined;
    for (let i = 0; i < 1000 && refusal === undefined; i++) {
      const items = Array.from({ length: 10 }, (_, n) => admissible(`w-${i}-${n}`));
      const answer = await call("POST", "/v1/admissions/batch", { items });
      if (answer.status === 200)
        answered.push(...answer.json.items.map(({ event }: { event: { id: string } }) => event.id));
      else refusal = answer;
    }
    t.is(refusal?.status, 503);
    t.is(refusal?.json.code, "evidence_unavailable");
    t.is(refusal?.json.recorded, "no");
    t.is(refusal?.headers["retry-after"], "1");
    t.false("decision" in refusal!.json);
    // One alone may still fit where ten did not.
    let single: Answered | undefined;
    for (let i = 0; i < 100 && single?.status !== 503; i++) {
      single = await call("POST", "/v1/admissions", admissible(`one-${i}`));
      if (single.status === 200) answered.push(single.json.event.id);
    }
    t.is(single?.status, 503);
    t.is((await call("GET", "/readyz")).status, 503);
    t.is((await call("GET", "/healthz")).status, 200);
    t.is((await call("GET", "/v1/events?limit=1")).status, 200);
    t.regex((await call("GET", "/metrics")).text, /^railgate_evidence_failures_total [1-9]/m);
    for (let i = 0; i < 3000 && statSync(join(dir, "log")).size < FULL_BYTES; i++)
      await Promise.all([
        call("GET", "/healthz"),
        call("GET", "/nowhere"),
        call("POST", "/v1/admissions", admissible("one")),
      ]);
    t.is(statSync(join(dir, "log")).size, FULL_BYTES, "the log has no room either");
    execFileSync("prlimit", ["--pid", String(child.pid), "--fsize=unlimited:"]);
    const after = await call("POST", "/v1/admissions", admissible("after"));
    t.is(after.status, 200);
    t.is((await call("GET", "/readyz")).status, 200);
    process.kill(child.pid, "SIGTERM");
    await comes("the server is gone", child.ended);
    const stored = (await verifiedEvents(dir))
      .filter(({ event_type }) => event_type === "workload.admit")
      .map(({ id }) => id);
    t.deepEqual(stored, [...answered, after.json.event.id]);
  },
);
