// Whoever takes a check out of the law or out of the host is caught: each mutant, one by one, is shown to the checker.
import test from "ava";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { isDeepStrictEqual } from "node:util";
import * as core from "../../src/core/mesh.ts";
import { type Core, explore, type Law, walk } from "./explorer.ts";
import { buildLaw } from "./law.ts";
import { malformedInputs } from "./malformed.ts";
import { hostMutants, policyLoser, regoMutants, relocated } from "./mutations.ts";
import { exploreRogue } from "./rogue.ts";
import { NARROW } from "./worlds.ts";

const STATES_MAX = 300;
const WALK = { steps: 3000, seed: 20 };

/** Conditions that leave nothing to see when they go, each with the reason. */
const EQUIVALENT: readonly [condition: string, reason: string][] = [
  ["placement != null → true", "the refusal names the rail of the placement, and is undefined where there is none"],
  ["admission != null → true", "the same, for the profile of the admission"],
  [
    "count(offered_ids) < count(input.request.rails)",
    "spares the comparison of all rails with all others where none comes twice",
  ],
  ["not upstream_untroubled → true", "spares the rules of admissions where they would find nothing"],
];

test.before(() => {
  Error.stackTraceLimit = 0;
});

test.serial("every check taken out of the law is seen", async (t) => {
  t.timeout(10 * 60_000);
  const honest = await buildLaw("mesh");
  const inputs = malformedInputs().map((input) => [input, honest(input)] as const);
  const survivors: string[] = [];
  const mutants = regoMutants();
  let unsafe = 0;
  for (const mutant of mutants) {
    const law = await buildLaw("mesh", mutant).catch(() => undefined);
    if (law === undefined) unsafe++;
    // The quicker of the two first: most are seen by a few inputs, and the model costs a third of a second.
    else if (!answersOtherwise(law, inputs) && !caught(() => explore(NARROW, law, core, STATES_MAX)))
      survivors.push(mutant.name);
  }
  const unexplained = survivors.filter((name) => !EQUIVALENT.some(([condition]) => name.includes(condition)));
  const seen = mutants.length - unsafe - survivors.length;
  t.log(
    `${mutants.length - unsafe} mutants of the law (${unsafe} more do not compile): ${seen} caught, ${survivors.length} without effect`,
  );
  t.deepEqual(unexplained, []);
});

test.serial("every assertion taken out of the host, and every slip of its bookkeeping, is seen", async (t) => {
  t.timeout(10 * 60_000);
  const law = await buildLaw("mesh");
  const survivors: string[] = [];
  const mutants = [...hostMutants(), policyLoser()];
  for (const mutant of mutants) {
    const host = await load(mutant.text);
    const checks = [
      () => exploreRogue(NARROW, host, STATES_MAX),
      () => explore(NARROW, law, host, STATES_MAX),
      () => walk(NARROW, law, host, WALK),
    ];
    if (!checks.some(caught)) survivors.push(mutant.name);
  }
  t.log(`${mutants.length} mutants of the host, ${mutants.length - survivors.length} caught`);
  t.deepEqual(survivors, []);
});

test.serial("the policy assertion stops a fold that loses the policy", async (t) => {
  const host = await load(hostMutants().find(({ name }) => name.includes("elevation_allowed: !"))!.text);
  const law = await buildLaw("mesh");
  t.throws(() => explore(NARROW, law, host, STATES_MAX), { message: /^INV-MESH-POLICY-CONTINUITY/ });
});

function caught(check: () => unknown): boolean {
  try {
    check();
    return false;
  } catch {
    return true;
  }
}

function answersOtherwise(law: Law, inputs: readonly (readonly [unknown, unknown])[]): boolean {
  return caught(() => {
    for (const [input, answer] of inputs) if (!isDeepStrictEqual(law(input), answer)) throw new Error("another answer");
  });
}

async function load(text: string): Promise<Core> {
  const dir = mkdtempSync(join(tmpdir(), "railgate-fold-"));
  try {
    const file = join(dir, "mesh.ts");
    writeFileSync(file, relocated(text));
    return (await import(pathToFileURL(file).href)) as Core;
  } finally {
    rmSync(dir, { recursive: true });
  }
}
