// Processes that end with the test file that started them, whatever it ends by: what a failed test left running is in nobody's way.
import { spawn as spawnAny, type ChildProcess } from "node:child_process";

const running = new Set<ChildProcess>();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** As Node's. */
export const spawn = ((...given: Parameters<typeof spawnAny>) => {
  const child = spawnAny(...given);
  running.add(child);
  child.on("exit", () => running.delete(child));
  return child;
}) as typeof spawnAny;
