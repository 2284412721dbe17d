// What signals do to the process, whatever became of its log: started as an operator starts it, by npm and by node.
import { execFileSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import ava, { type ExecutionContext } from "ava";
import { emptyDir } from "../http/support.ts";
import { spawn } from "../spawn.ts";
import { comes, until } from "../until.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const MAIN = join(ROOT, "src/cli/main.ts");
const test = ava.serial;

const running = new Set<ChildProcess>();
test.after.always(() => running.forEach((child) => child.kill("SIGKILL")));

interface Node {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly url: string;
  readonly exit: Promise<[number | null, NodeJS.Signals | null]>;
  stderr(): string;
}

/** Starts a node, and waits until it listens. @param stdout where its log goes. */
async function node(
  stdout: "pipe" | "ignore" | number,
  command: readonly string[] = [process.execPath, MAIN, "serve"],
  level = "info",
): Promise<Node> {
  const dir = emptyDir();
  const env = {
    ...process.env,
    RAILGATE_DATA_DIR: join(dir, "data"),
    RAILGATE_LISTEN: "127.0.0.1:0",
    RAILGATE_LOG_LEVEL: level,
  };
  const child = spawn(command[0]!, command.slice(1), { cwd: ROOT, env, stdio: ["ignore", stdout, "pipe"] });
  running.add(child);
  let stderr = "";
  child.stderr!.on("data", (data) => (stderr += data));
  const exit = once(child, "exit").then((ended) => {
    running.delete(child);
    return ended as [number | null, NodeJS.Signals | null];
  });
  const lock = join(dir, "data", "lock.json");
  const { pid, url } = await until(() => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${stderr}`);
    const holder = existsSync(lock) && (JSON.parse(readFileSync(lock, "utf8")) as { pid: number; url?: string });
    return holder && holder.url !== undefined && holder;
  }, "it says where it listens");
  return { child, pid, url: url!, exit, stderr: () => stderr };
}

const status = (url: string): Promise<number> =>
  new Promise((resolve, reject) => {
    get(url, { agent: false }, (res) => resolve(res.resume().statusCode!)).on("error", reject);
  });

/** That it ends in order. */
async function ends(t: ExecutionContext, { exit, url }: Node): Promise<void> {
  t.deepEqual(await comes("it ends", exit), [0, null]);
  await t.throwsAsync(status(`${url}/healthz`));
}

test("SIGTERM to `npm start` ends the node", async (t) => {
  const started = await node("ignore", ["npm", "start"]);
  t.not(started.pid, started.child.pid);
  started.child.kill("SIGTERM");
  await ends(t, started);
  t.throws(() => process.kill(started.pid, 0), { code: "ESRCH" });
});

test("SIGHUP never ends it, and SIGUSR1 opens no debugger", async (t) => {
  const started = await node("ignore");
  process.kill(started.pid, "SIGHUP");
  process.kill(started.pid, "SIGUSR1");
  await sleep(500);
  t.is(await status(`${started.url}/healthz`), 200);
  t.notRegex(started.stderr(), /Debugger/);
  started.child.kill("SIGTERM");
  await ends(t, started);
});

/** Has the node log more than a pipe holds. */
async function logMuch(url: string): Promise<void> {
  for (let i = 0; i < 800; i++) await status(`${url}/nowhere-${"x".repeat(100)}`);
  await sleep(400);
}

/** A pipe that somebody reads, or does not. */
function pipe(): { write: number; reader: ChildProcess } {
  const fifo = join(emptyDir(), "log");
  execFileSync("mkfifo", [fifo]);
  const reader = spawn("sh", ["-c", 'exec sleep 1000 < "$0"', fifo], { stdio: "ignore" });
  running.add(reader);
  return { write: openSync(fifo, "w"), reader };
}

for (const kind of ["pipe", "socket"] as const) {
  test(`SIGTERM ends it though the log's reader is stuck (${kind})`, async (t) => {
    const started = await node(kind === "pipe" ? pipe().write : "pipe");
    started.child.stdout?.pause();
    await logMuch(started.url);
    t.is(await status(`${started.url}/healthz`), 200);
    started.child.kill("SIGTERM");
    await ends(t, started);
  });

  test(`SIGTERM ends it though the log's reader is gone, and it goes on until then (${kind})`, async (t) => {
    const { write, reader } = pipe();
    const started = await node(kind === "pipe" ? write : "pipe");
    closeSync(write);
    reader.kill("SIGKILL");
    started.child.stdout?.destroy();
    await logMuch(started.url);
    t.is(await status(`${started.url}/healthz`), 200);
    started.child.kill("SIGTERM");
    await ends(t, started);
  });
}

test("SIGTERM ends it though the log's disk is full", async (t) => {
  const started = await node(openSync("/dev/full", "w"));
  await logMuch(started.url);
  t.is(await status(`${started.url}/healthz`), 200);
  started.child.kill("SIGTERM");
  await ends(t, started);
});

test("what is logged at the very end is there to be read", async (t) => {
  for (const kind of ["pipe", "file"] as const) {
    const file = join(emptyDir(), "log");
    writeFileSync(file, "");
    const started = await node(kind === "pipe" ? "pipe" : openSync(file, "a"));
    let text = "";
    started.child.stdout?.on("data", (data) => (text += data));
    const read = once(started.child, "close");
    started.child.kill("SIGTERM");
    await ends(t, started);
    await comes("the end of what it says", read);
    const lines = (kind === "pipe" ? text : readFileSync(file, "utf8")).trim().split("\n");
    t.deepEqual(lines.map((line) => JSON.parse(line).msg).filter(Boolean), ["listening", "closing"], kind);
  }
});

test("a log that goes to a socket is written, and does not keep it", async (t) => {
  const path = join(emptyDir(), "journal");
  const stuck = createServer((socket) => void socket.pause()).listen(path);
  const script = `const s = require("net").connect(${JSON.stringify(path)}, () => {
    const c = require("child_process").spawn(process.execPath, [${JSON.stringify(MAIN)}, "serve"], { stdio: ["ignore", s, "inherit"] });
    process.on("SIGTERM", () => c.kill("SIGTERM"));
    c.on("exit", (code) => process.exit(code ?? 99));
  });`;
  const started = await node("ignore", [process.execPath, "-e", script]);
  await logMuch(started.url);
  started.child.kill("SIGTERM");
  await ends(t, started);
  stuck.close();
});
