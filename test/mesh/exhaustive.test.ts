// Every reachable state of small meshes, every command in each: the law and the host agree with the contract and keep all six invariants.
import test from "ava";
import * as core from "../../src/core/mesh.ts";
import { explore, walk } from "./explorer.ts";
import { buildLaw } from "./law.ts";
import { exploreRogue } from "./rogue.ts";
import { NARROW, STRICT, WIDE } from "./worlds.ts";

for (const [name, world] of Object.entries({ WIDE, STRICT })) {
  test.serial(`INV-MESH-*: every transition of the world ${name}`, async (t) => {
    t.timeout(10 * 60_000);
    const law = await buildLaw("mesh");
    const started = performance.now();
    const figures = explore(world, law, core);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    t.log(
      `${figures.states} states, ${figures.transitions} transitions (${figures.accepted} accepted), ${figures.decisions} distinct decisions, ${seconds} s`,
    );
    t.true(figures.states > 1000);
  });
}

test.serial("INV-MESH-*: counters and histories along long random walks", async (t) => {
  const seed = Number(process.env["RAILGATE_TEST_SEED"] ?? 1 + Math.floor(Math.random() * 1e9));
  t.log(`seed ${seed} (RAILGATE_TEST_SEED)`);
  const figures = walk(WIDE, await buildLaw("mesh"), core, { steps: 20_000, seed });
  t.log(`${figures.transitions} transitions (${figures.accepted} accepted)`);
  t.is(figures.accepted, 20_000);
});

test.serial("INV-MESH-*: the host stops every acceptance that would break one, whatever the law says", (t) => {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  const figures = exploreRogue(NARROW, core);
  Error.stackTraceLimit = limit;
  t.log(`${figures.states} states, ${figures.forged} forged acceptances, ${figures.stopped} stopped`);
  t.true(figures.stopped > 100_000);
});
