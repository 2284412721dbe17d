// Servers under measurement: real processes on free ports, with their memory and their time to a first answer.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";

const START_TIMEOUT_MS = 20_000;

export interface Server {
  readonly url: string;
  /** From spawning the process to its first answer. */
  readonly firstAnswerMs: number;
  rssMiB(): number;
  /** Processor time that all its threads have taken so far. */
  cpuMs(): number;
  stop(): Promise<void>;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** Starts a command and asks until it answers 200. */
export async function start(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  url: string,
  ask: { path: string; body: string },
): Promise<Server> {
  const started = performance.now();
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-2000)));
  while (!(await answers(url + ask.path, ask.body))) {
    if (child.exitCode !== null || performance.now() - started > START_TIMEOUT_MS) {
      child.kill("SIGKILL");
      throw new Error(`${command} did not answer: ${said}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return {
    url,
    firstAnswerMs: performance.now() - started,
    rssMiB: () => rssMiB(child),
    cpuMs: () => cpuMs(child),
    stop: () => stop(child),
  };
}

async function answers(url: string, body: string): Promise<boolean> {
  try {
    const response = await fetch(url, { method: "POST", body, headers: { "content-type": "application/json" } });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}

function rssMiB(child: ChildProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) / 1024;
}

/** Linux counts it in hundredths of a second (proc_pid_stat(5): utime and stime, behind a name that may hold anything). */
function cpuMs(child: ChildProcess): number {
  const stat = readFileSync(`/proc/${child.pid}/stat`, "utf8");
  const [utime, stime] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13);
  return (Number(utime) + Number(stime)) * 10;
}

async function stop(child: ChildProcess): Promise<void> {
  child.kill("SIGTERM");
  await once(child, "exit");
}
