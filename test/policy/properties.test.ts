// What holds of every input: a decision always, the same by OPA and WASM, nothing gained by leaving out, order without effect.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import { bases, changed, type Json, type JsonObject } from "./corpus.ts";
import { compileLaw, copyLaw, decideByOpa, inDirectory, type Decision } from "./law.ts";

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
const RUNS = 2000;
const RUNS_BY_OPA = 300;

/** Tells what `sound` says and what the rules say, side by side. */
const AGREEMENT = `package railgate.agreement

import data.railgate.admission
import data.railgate.lib

# METADATA
# entrypoint: true
report := {"undisputed": undisputed, "found": count(admission.found)}

undisputed if {
	admission.undisputed(lib.workload)
} else := false
`;

const evaluate = await inDirectory(async (directory) => {
  copyLaw(directory);
  mkdirSync(join(directory, "railgate/agreement"));
  writeFileSync(join(directory, "railgate/agreement/agreement.rego"), AGREEMENT);
  return compileLaw([directory], ["railgate/agreement/report"]);
});
const decide = (input: unknown) => evaluate(input) as Decision;

/** Pointers to every member of a value, parents first. */
function pointersOf(value: Json, at = ""): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([member, child]) => {
    const pointer = `${at}/${member.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    return [pointer, ...pointersOf(child, pointer)];
  });
}

const valueOf = (input: Json, pointer: string): Json =>
  pointer
    .split("/")
    .slice(1)
    .reduce((value, member) => (value as JsonObject)[member] as Json, input);

const inputs = Object.values(bases);

/** Members whose absence the specification grants; each is a choice, not a fact left out. */
const OPTIONAL =
  /^\/request\/(?:workload\/(?:jurisdictions|residency)|placement|authority|exceptions)$|\/writable_justification$|\/(?:seccomp|apparmor|selinux)$|\/boot\/(?:secure|measured)_boot$|\/tenants_on_host$|\/placement\/tenancy$|\/(?:jurisdictions|residency|tenants_on_host|drivers|images|firmware|host_namespaces|host_paths|added_capabilities)\/\d+$|\/dependencies\/\d+|^\/facts\/(?:authority|attestation\/(?:error|issuer|debuggable))$/;

test("whatever can be declared wrong cannot be left out instead", (t) => {
  const wrong: Json[] = ["cosmic", "", false, true, null, 0, [], ["cosmic"], {}];
  for (const input of inputs) {
    for (const pointer of pointersOf(input)) {
      if (OPTIONAL.test(pointer)) continue;
      const canBeWrong = wrong.some((value) => decide(changed(input, { [pointer]: value }, [])).outcome === "refused");
      if (!canBeWrong) continue;
      const without = decide(changed(input, {}, [pointer]));
      t.is(without.outcome, "refused", `left out: ${pointer}`);
    }
  }
});

test("no unknown value is accepted where values are enumerated", (t) => {
  const enumerated = [
    "/request/workload/classification",
    "/request/workload/risk",
    "/request/workload/tenant_tier",
    "/request/workload/governance_profile",
    "/request/workload/envelope/kind",
  ];
  for (const input of inputs) {
    for (const pointer of enumerated) {
      for (const value of [
        "cosmic",
        "",
        " low",
        "LOW",
        "__proto__",
        "constructor",
        "toString",
        null,
        0,
        true,
        false,
        [],
        ["low"],
        {},
      ]) {
        t.is(
          decide(changed(input, { [pointer]: value }, [])).outcome,
          "refused",
          `${pointer} = ${JSON.stringify(value)}`,
        );
      }
    }
  }
});

test("any one member of any type leaves a decision, on which guard and rules agree", (t) => {
  for (const input of inputs) {
    for (const pointer of pointersOf(input)) {
      for (const value of ["cosmic", "", true, false, null, 0, -1, 1e15, [], [null], [{}], ["DE"], {}, { a: 1 }]) {
        assertSound(t, changed(input, { [pointer]: value }, []), `${pointer} = ${JSON.stringify(value)}`);
      }
      assertSound(t, changed(input, {}, [pointer]), `without ${pointer}`);
    }
  }
});

/** Inputs with up to six members replaced or removed. */
const mutated = fc
  .tuple(
    fc.constantFrom(...inputs),
    fc.array(
      fc.tuple(
        fc.nat(),
        fc.option(
          fc.oneof(
            fc.constantFrom<Json>(
              "cosmic",
              "high",
              "secret",
              "ncp",
              "regulated-ml",
              "sovereign",
              "partitioned",
              "vm",
              "tee",
              true,
              false,
              null,
              0,
              "US",
            ),
            fc.jsonValue() as fc.Arbitrary<Json>,
          ),
          { nil: undefined },
        ),
      ),
      { maxLength: 6 },
    ),
  )
  .map(([base, changes]) => changes.reduce((input, [choice, value]) => mutate(input, choice, value), base));

function mutate(input: JsonObject, choice: number, value: Json | undefined): JsonObject {
  const pointers = pointersOf(input);
  const pointer = pointers[choice % pointers.length];
  if (pointer === undefined) return input;
  return value === undefined ? changed(input, {}, [pointer]) : changed(input, { [pointer]: value }, []);
}

function assertSound(t: ExecutionContext, input: Json, about: string): void {
  const decision = decide(input);
  const { undisputed, found } = evaluate(input, "railgate/agreement/report") as { undisputed: boolean; found: number };
  if (undisputed !== (found === 0)) t.fail(`guard and rules disagree: ${about}`);
  if (decision.outcome !== (decision.refusals.length === 0 ? "accepted" : "refused")) t.fail(`outcome: ${about}`);
  const places = decision.refusals.map(({ rule, pointer }) => `${rule} ${pointer}`);
  if (new Set(places).size !== places.length) t.fail(`a rule and location twice: ${about}`);
  t.pass();
}

test(`random inputs (SEED=${seed}): a decision, guard and rules agreed`, (t) => {
  fc.assert(
    fc.property(mutated, (input) => assertSound(t, input, JSON.stringify(input))),
    { seed, numRuns: RUNS },
  );
});

test(`random inputs (SEED=${seed}): OPA and WASM decide the same`, async (t) => {
  const sample = fc.sample(mutated, { seed, numRuns: RUNS_BY_OPA });
  const byOpa = await decideByOpa(sample);
  for (const [i, input] of sample.entries()) t.deepEqual(decide(input), byOpa[i], JSON.stringify(input));
});

test(`random inputs (SEED=${seed}): the order of members has no effect`, (t) => {
  const reversed = (value: Json): Json => {
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map(reversed);
    return Object.fromEntries(
      Object.entries(value)
        .reverse()
        .map(([member, child]) => [member, reversed(child)]),
    );
  };
  fc.assert(
    fc.property(mutated, (input) => t.deepEqual(decide(reversed(input)), decide(input))),
    { seed, numRuns: RUNS / 4 },
  );
});

test("the order of dependencies has no effect but on where refusals point", (t) => {
  for (const input of inputs) {
    const pointer = "/request/workload/dependencies";
    const dependencies = valueOf(input, pointer) as Json[];
    for (const available of [true, false]) {
      const given = changed(input, { [`${pointer}/0/available`]: available }, []);
      const turned = changed(given, { [pointer]: (valueOf(given, pointer) as Json[]).toReversed() }, []);
      t.deepEqual(
        decide(turned).refusals.map(({ rule }) => rule),
        decide(given).refusals.map(({ rule }) => rule),
      );
    }
    t.true(dependencies.length > 1);
  }
});

test("there is a decision for anything at all", (t) => {
  for (const input of [
    {},
    [],
    "x",
    5,
    null,
    true,
    { request: null },
    { request: [] },
    { request: { workload: "x" }, facts: [], context: 7 },
  ]) {
    t.is(decide(input).outcome, "refused", JSON.stringify(input));
  }
});
