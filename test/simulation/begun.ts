// Data directories with database and keys, and nothing recorded: what is not about a first start begins with a copy of one, which costs less than to make it.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { prepare } from "../../src/node/prepare.ts";
import { enter } from "./outside.ts";
import { Random } from "./random.ts";
import { SCRATCH } from "./scratch.ts";
import { World } from "./world.ts";

/** By node id; a site with another name begins with nothing. */
export type Begun = ReadonlyMap<string, string>;

const NODE_IDS = ["node", "top", "hub", "edge", "edge-1", "edge-2"];

/** The same keys each time. They are there as long as this process. */
export async function beginDirectories(): Promise<Begun> {
  const scratch = mkdtempSync(join(SCRATCH, "railgate-begun-"));
  process.once("exit", () => rmSync(scratch, { recursive: true, force: true }));
  const world = new World(0, new Random(0));
  const leave = enter(world, {});
  try {
    const begun = new Map<string, string>();
    for (const nodeId of NODE_IDS) {
      const dataDir = join(scratch, nodeId);
      mkdirSync(dataDir);
      await prepare({ dataDir, nodeId }, world.clockMs);
      begun.set(nodeId, dataDir);
    }
    return begun;
  } finally {
    leave();
  }
}
