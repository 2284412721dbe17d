// A server as a process of its own, to be killed as a machine dies: without notice.
import { once } from "node:events";
import { join } from "node:path";
import { readHolder } from "../../src/store/lock.ts";
import { MAIN } from "../cli/railgate.ts";
import { spawn } from "../spawn.ts";
import { comes, until } from "../until.ts";

export interface Server {
  readonly url: string;
  readonly pid: number;
  /** Ends it with SIGKILL, and waits until it is gone. */
  kill(): Promise<void>;
  /** Pauses it, or lets it go on. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void;
  /** Ends it as an operator does. */
  stop(): Promise<void>;
}

/** Serves the data directory `data` in `dir`. */
export async function spawnServer(dir: string, more: NodeJS.ProcessEnv = {}): Promise<Server> {
  const env = {
    PATH: process.env["PATH"],
    HOME: process.env["HOME"],
    RAILGATE_DATA_DIR: join(dir, "data"),
    RAILGATE_LISTEN: "127.0.0.1:0",
    RAILGATE_LOG_LEVEL: "error",
    ...more,
  };
  const child = spawn(process.execPath, [MAIN, "serve"], { cwd: dir, env, stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "exit");
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal);
    await comes(`the server ends by ${signal}`, ended);
  };
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (said += data.toString()));
  const holder = await until(() => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the server ended: ${said}`);
    const found = readHolder(env.RAILGATE_DATA_DIR);
    return found?.url !== undefined && found.pid === child.pid && found;
  }, "the server says where it listens");
  return {
    url: holder.url!,
    pid: child.pid!,
    kill: () => end("SIGKILL"),
    signal: (signal) => void child.kill(signal),
    stop: () => end("SIGTERM"),
  };
}
