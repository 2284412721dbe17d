// Runs the command line as a process of its own, as a person or a program would.
import type { ChildProcess, ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureBin } from "../../scripts/build.js";
import { spawn } from "../spawn.ts";
import { comes } from "../until.ts";

/** As it is built, which is how people run it; built anew where the sources have changed. */
export const MAIN = new URL("../../bin/cli/main.js", import.meta.url).pathname;
if (!(await ensureBin())) throw new Error("the command line is not built, and what builds it is not installed");

export type Ran = { code: number | null; stdout: string; stderr: string };
type Given = { cwd?: string; env?: Record<string, string>; input?: string };

/** A directory with no settings and no data in it. */
export const emptyDir = (): string => mkdtempSync(join(tmpdir(), "railgate-cli-"));

/** Only what a process needs, so that nothing of the surroundings decides. */
const BARE = { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", TERM: "xterm" };

export function start(
  args: readonly string[],
  { cwd = emptyDir(), env = {} }: Given = {},
): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [MAIN, ...args], { cwd, env: { ...BARE, ...env } });
}

export async function railgate(args: readonly string[], given: Given = {}): Promise<Ran> {
  const child = start(args, given);
  const ran: Ran = { code: null, stdout: "", stderr: "" };
  child.stdout.on("data", (data: Buffer) => (ran.stdout += data.toString()));
  child.stderr.on("data", (data: Buffer) => (ran.stderr += data.toString()));
  child.stdin.on("error", () => {}); // it may end without reading
  child.stdin.end(given.input ?? "");
  [ran.code] = (await over(child, `railgate ${args.join(" ")}`)) as [number | null];
  return ran;
}

/** The same on a terminal so wide: output as a person sees it, standard error with it. */
export async function railgateOnTerminal(
  args: readonly string[],
  { cwd = emptyDir(), env = {} }: Given = {},
  columns = 120,
): Promise<Ran> {
  const words = [process.execPath, MAIN, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  const child = spawn("script", ["-qec", `stty cols ${columns}; ${words}`, "/dev/null"], {
    cwd,
    env: { ...BARE, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  child.stdout.on("data", (data: Buffer) => (stdout += data.toString()));
  const [code] = (await over(child, `railgate ${args.join(" ")}`)) as [number | null];
  return { code, stdout, stderr: "" };
}

/** Some of them build and test policies. */
const COMMAND_MS_MAX = 240_000;

async function over(child: ChildProcess, what: string): Promise<unknown[]> {
  try {
    return await comes(`${what} ends`, once(child, "close"), COMMAND_MS_MAX);
  } finally {
    child.kill("SIGKILL");
  }
}

/** Waits until a stream has said something that matches, and lets it go on. */
export function says(
  child: ChildProcessWithoutNullStreams,
  pattern: RegExp,
  stream: "stdout" | "stderr" = "stdout",
): Promise<string> {
  let said = "";
  const saying = new Promise<string>((resolve, reject) => {
    const onData = (data: Buffer) => {
      said += data.toString();
      if (!pattern.test(said)) return;
      child[stream].off("data", onData);
      resolve(said);
    };
    child[stream].on("data", onData);
    child.once("close", () => reject(new Error(`ended without saying ${pattern}: ${said}`)));
  });
  return comes(`it says ${pattern}`, saying);
}
