// The evaluator over real WASM: what the SDK throws, keeps or breaks becomes one error, and the next evaluation is clean.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import { evaluationLimits } from "../../src/policies/limits.ts";
import { Evaluator } from "../../src/policy/evaluator.ts";
import { runOpa } from "../../src/workshop/opa.ts";

const POLICY = `package t

echo := {"input": input, "data": data.settings}

undefined_here if input.never == "ever"

conflict := 1 if input.a
conflict := 2 if input.b

slow := count({[a, b, c] | some a in numbers.range(1, input.n); some b in numbers.range(1, input.n); some c in numbers.range(1, input.n)})
`;

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
let wasm: Uint8Array;

test.before(async () => {
  const dir = mkdtempSync(join(tmpdir(), "railgate-evaluator-"));
  try {
    writeFileSync(join(dir, "t.rego"), POLICY);
    const entrypoints = ["echo", "undefined_here", "conflict", "slow"].flatMap((name) => ["-e", `t/${name}`]);
    const build = await runOpa([
      ...["build", "-t", "wasm", ...entrypoints, "-o", join(dir, "b.tar.gz")],
      join(dir, "t.rego"),
    ]);
    if (build.status !== 0) throw new Error(build.stderr);
    wasm = (await readBundleFiles(readFileSync(join(dir, "b.tar.gz")))).get("policy.wasm")!;
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("evaluates with its data, again and again", async (t) => {
  const evaluator = await Evaluator.load(wasm, { settings: { x: 1 } });
  for (const input of [{ a: 1 }, 0, false, null, "é\u{1F600}", [], { ["__proto__"]: 1 }]) {
    t.deepEqual(evaluator.evaluate("t/echo", encode(input)), { input, data: { x: 1 } });
  }
  t.is(evaluator.evaluate("t/undefined_here", encode({})), undefined);
  t.deepEqual(evaluator.entrypoints, ["t/conflict", "t/echo", "t/slow", "t/undefined_here"]);
});

test("takes a view into a larger buffer", async (t) => {
  const evaluator = await Evaluator.load(wasm, { settings: 0 });
  const text = encode({ a: "b" });
  const larger = new Uint8Array(text.length + 20).fill(0x20);
  larger.set(text, 7);
  t.deepEqual(evaluator.evaluate("t/echo", larger.subarray(7, 7 + text.length)), { input: { a: "b" }, data: 0 });
  t.deepEqual(evaluator.evaluate("t/echo", Buffer.from('{"a":"b"}')), { input: { a: "b" }, data: 0 });
});

const failures: [what: string, entrypoint: string, input: unknown, message: RegExp][] = [
  ["an entrypoint that is not there", "t/nothing", {}, /entrypoint t\/nothing is not valid/],
  ["rules that contradict each other", "t/conflict", { a: 1, b: 1 }, /evaluating t\/conflict failed/],
];
for (const [what, entrypoint, input, message] of failures) {
  test(`fails, and is clean afterwards: ${what}`, async (t) => {
    const evaluator = await Evaluator.load(wasm, { settings: 1 });
    t.throws(() => evaluator.evaluate(entrypoint, encode(input)), { code: "policy_error", message });
    t.deepEqual(evaluator.evaluate("t/echo", encode(7)), { input: 7, data: 1 });
  });
}

test("an evaluation over its time is refused, although it answered", async (t) => {
  const evaluator = await Evaluator.load(wasm, { settings: 1 }, { evaluationMsMax: 5, memoryMiBMax: 256 });
  const late = { code: "policy_error", message: /over the limit of 5 ms/ };
  t.throws(() => evaluator.evaluate("t/slow", encode({ n: 30 })), late);
  // A machine that does other work may take longer for what costs nothing, but not each time.
  const echoed = () => {
    try {
      return evaluator.evaluate("t/echo", encode(7));
    } catch {
      return undefined;
    }
  };
  const answers = Array.from({ length: 1000 }, echoed);
  t.deepEqual(
    answers.find((answer) => answer !== undefined),
    { input: 7, data: 1 },
  );
});

test("a machine that pauses costs an evaluation nothing: what it used of the processor counts, where that is known", async (t) => {
  let [usedMs, eachMs] = [0, 0];
  // By the clock every evaluation takes longer.
  const limits = { evaluationMsMax: 1e-6, memoryMiBMax: 256, usedMs: () => (usedMs += eachMs) };
  const evaluator = await Evaluator.load(wasm, { settings: 1 }, limits);
  t.deepEqual(evaluator.evaluate("t/echo", encode(7)), { input: 7, data: 1 });
  eachMs = 1;
  for (const entrypoint of ["t/echo", "t/slow"])
    t.throws(() => evaluator.evaluate(entrypoint, encode({ n: 3 })), {
      code: "policy_error",
      message: /over the limit/,
    });
  eachMs = 0;
  t.is(evaluator.evaluate("t/slow", encode({ n: 3 })), 27);
});

test("a node's evaluations are measured by this thread's processor", (t) => {
  const { evaluationMsMax, usedMs } = evaluationLimits(5);
  t.is(evaluationMsMax, 5);
  const before = usedMs!();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  t.true(usedMs!() - before < 100, "a thread that rests uses none");
  for (let n = 0; usedMs!() - before < 20; n++) if (n > 1e9) return t.fail("a thread that works uses it");
  t.pass();
});

test("an evaluation over its memory is refused, and the next one starts clean", async (t) => {
  const evaluator = await Evaluator.load(wasm, { settings: 1 }, { evaluationMsMax: 60_000, memoryMiBMax: 4 });
  t.throws(() => evaluator.evaluate("t/slow", encode({ n: 60 })), {
    code: "policy_error",
    message: /evaluating t\/slow failed/,
  });
  t.deepEqual(evaluator.evaluate("t/echo", encode(7)), { input: 7, data: 1 });
});

test("bytes that are no WASM policy are refused", async (t) => {
  await t.throwsAsync(Evaluator.load(new Uint8Array([0, 1, 2]), {}), { code: "policy_error" });
  await t.throwsAsync(Evaluator.load(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]), {}), { code: "policy_error" });
});
