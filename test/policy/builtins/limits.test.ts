// What an input can make a builtin cost: expressions in linear time, and results within bounds.
import test from "ava";
import { HaltError } from "../../../src/policy/builtins/errors.ts";
import type { Builtin } from "../../../src/policy/builtins/operands.ts";
import { HOST_BUILTINS, loadBuiltins } from "../../../src/policy/builtins/registry.ts";
import { parseValue } from "../../../src/policy/builtins/text.ts";
import { RegoNumber, RegoObject, type Value } from "../../../src/policy/builtins/value.ts";

const builtins = await loadBuiltins(HOST_BUILTINS);
const call = (name: string, ...operands: Value[]) => (builtins[name] as Builtin)(...operands);

/** Processor milliseconds of this thread, of the quickest of some runs: what others take is not counted. */
function costMs(work: () => void): number {
  let least = Infinity;
  for (let run = 0; run < 3; run++) {
    const before = process.threadCpuUsage();
    work();
    const { user, system } = process.threadCpuUsage(before);
    least = Math.min(least, (user + system) / 1000);
  }
  return least;
}

const a = (count: number) => "a".repeat(count);
/** Each takes a backtracking matcher longer than the universe has. */
const HOSTILE: readonly [pattern: string, subject: (length: number) => string][] = [
  ["(a+)+$", (length) => `${a(length)}!`],
  ["(a|aa)+$", (length) => `${a(length)}!`],
  ["(.*)(.*)(.*)(.*)(.*)[^a]$", a],
  ["^(([a-z])+.)+[A-Z]([a-z])+$", a],
  ["(x+x+)+y", (length) => "x".repeat(length)],
];
const LENGTH = 20_000;
/** Four times the length takes four times the time; a matcher that goes back over the text would not come to an end. */
const GROWTH_MAX = 12;
const SLACK_MS = 200;

for (const [pattern, subject] of HOSTILE) {
  test(`${pattern} takes time in proportion to the text`, (t) => {
    const work = (length: number) => {
      const text = subject(length);
      return () => void call("regex.find_n", pattern, text, RegoNumber.of(1));
    };
    work(1000)();
    const [short, long] = [costMs(work(LENGTH)), costMs(work(4 * LENGTH))];
    t.log(`${short.toFixed(1)} ms for ${LENGTH} characters, ${long.toFixed(1)} ms for four times as many`);
    t.true(long <= GROWTH_MAX * short + SLACK_MS);
  });
}

/** Each edge to all later vertices: as many paths as there are sets of vertices. */
const everyPath = new RegoObject(
  Array.from({ length: 40 }, (_, i) => [String(i), Array.from({ length: 39 - i }, (__, n) => String(i + n + 1))]),
);
/** A document that each copy doubles. */
const doubling = Array.from(
  { length: 40 },
  (_, i) =>
    new RegoObject([
      ["op", "copy"],
      ["from", ""],
      ["path", `/c${i}`],
    ]),
);

const EXCESSIVE: readonly [name: string, ...operands: Value[]][] = [
  ["sprintf", "%*d".repeat(40), Array.from({ length: 80 }, () => RegoNumber.of(999_999))],
  ["numbers.range_step", RegoNumber.of(0), RegoNumber.of(10n ** 18n), RegoNumber.of(1)],
  ["net.cidr_expand", "10.0.0.0/8"],
  ["net.cidr_expand", "::/0"],
  ["graph.reachable_paths", everyPath, ["0"]],
  ["json.patch", parseValue('{"a": [1, 2, 3]}'), doubling],
  ["regex.replace", "a".repeat(100_000), "a", "x".repeat(1000)],
  ["regex.globs_match", "a*".repeat(5000), "b*".repeat(5000)],
];

for (const [name, ...operands] of EXCESSIVE) {
  test(`${name} ends where its answer would be too large: ${JSON.stringify(operands[0]).slice(0, 20)}`, (t) => {
    t.throws(() => call(name, ...operands), { instanceOf: HaltError });
  });
}

test("amounts of a million digits are errors, and not numbers to compute with", (t) => {
  t.throws(() => call("units.parse", "1e999999"), { message: /exponent/ });
  t.throws(() => call("units.parse_bytes", "1e999999"), { message: /exponent/ });
});

for (const schema of [
  '{"$ref": "#"}',
  '{"$ref": "http://json-schema.org/draft-07/schema#"}',
  '{"$ref": "file:///etc/passwd"}',
  '{"$ref": "other.json#/definitions/a"}',
  '{"definitions": {"a": {"$id": "#a"}}, "$ref": "#a"}',
  `${'{"not":'.repeat(1000)}{}${"}".repeat(1000)}`,
]) {
  test(`a schema that leads beyond itself, or on without end, ends the evaluation: ${schema.slice(0, 50)}`, (t) => {
    t.throws(() => call("json.match_schema", "1", schema), { instanceOf: HaltError });
  });
}

test("schemas in schemas are not tried again and again without end", (t) => {
  const next = (i: number) => `{"$ref": "#/definitions/d${i + 1}"}`;
  const levels = Array.from({ length: 30 }, (_, i) => `"d${i}": {"anyOf": [${next(i)}, ${next(i)}]}`);
  const schema = `{"$ref": "#/definitions/d0", "definitions": {${levels.join()}, "d30": false}}`;
  t.throws(() => call("json.match_schema", "1", schema), { instanceOf: HaltError, message: /checks/ });
});

for (const template of [
  "{{len .a}}",
  "{{.a | print}}",
  '{{"x"}}',
  "{{- .a}}",
  "{{/* a */}}",
  "{{with .a}}{{end}}",
  "{{$x := .a}}",
  "{{.}}",
]) {
  test(`what templates have beyond fields, conditions and ranges ends the evaluation: ${template}`, (t) => {
    t.throws(() => call("strings.render_template", template, parseValue('{"a": "x"}')), { instanceOf: HaltError });
  });
}
