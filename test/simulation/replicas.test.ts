// Nodes that share a database, on a simulated clock, disk and network: by many seeds nothing is lost, nothing comes twice, whoever was taken over loses all of what it was at. What is put in to break that is found.
import test from "ava";
import { noPostgres } from "../postgres/server.ts";
import { DATABASE_FAULTS } from "./met.ts";
import { SHARED_MUTANTS } from "./mutants.ts";
import { readLaws, type Laws } from "./node.ts";
import { REPLICAS } from "./replicas.ts";
import { run } from "./run.ts";
import { testSchedules } from "./schedules.ts";
import { Server } from "./server.ts";

const missing = noPostgres();
const declare = missing === undefined ? test.serial : test.serial.skip;
let laws: Laws;
let server: Server;
test.before(async () => {
  if (missing !== undefined) return;
  laws = await readLaws();
  server = await Server.start();
});
test.after.always(() => server?.stop());

testSchedules({
  scenarios: REPLICAS,
  // Each statement is asked of a real server, so that these take longer than others; more by `npm run simulate`.
  schedules: { replicas: 8, twins: 3, promoted: 3, "promoted-at-once": 1 },
  mutants: SHARED_MUTANTS,
  faults: DATABASE_FAULTS,
  grounds: () => ({ laws, server }),
  declare,
});

declare("a thread that takes the place of one that died finds out that the database went back", async (t) => {
  t.timeout(600_000);
  for (const [name, seed] of [
    // Back to where its node id had another lease; back by records alone; by records that have no checkpoint yet.
    ["promoted", 9],
    ["promoted", 4],
    ["promoted-at-once", 6],
  ] as const) {
    const { broken } = await run(REPLICAS.find((each) => each.name === name)!, seed, laws, { server });
    t.is(broken, undefined, `${name}, seed ${seed}`);
  }
});
