// What patterns of Rego cost in WASM, for docs/write-policy.md: each an entrypoint of its own, less one that does nothing.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Evaluator } from "../src/policy/evaluator.ts";
import { readBundleFiles } from "../src/policy/bundle-files.ts";
import { compile } from "../src/workshop/build.ts";

const ROUNDS = 100;
const EVALUATIONS = 100;
const NAMES = Array.from({ length: 100 }, (_, i) => `name-${i}`);

/** By name: the rule's body, and what else stands in its module. */
const PATTERNS: Readonly<Record<string, readonly [body: string, rest?: string]>> = {
  nothing: ["true"],
  "a lookup in the input: `input.a.b == 1`": ["input.a.b == 1"],
  "a lookup in a table of 100: `data.names[x]`": ["data.names[input.name]"],
  "a search in a list of 100: `x in data.list`": ["input.name in data.list"],
  "a function": ["f(input.a)", "f(a) if a.b == 1"],
  "a rule without arguments": ["r", "r if input.a.b == 1"],
  "a rule without arguments, asked again": ["r\n\tr", "r if input.a.b == 1"],
  "`startswith`": ['startswith(input.name, "name-")'],
  "`regex.match` of the same": ['regex.match("^name-", input.name)'],
  "`concat` of two texts": ['concat("", ["a", input.name]) != ""'],
  "`sprintf` of the same": ['sprintf("a%s", [input.name]) != ""'],
  "`rego.metadata.rule()`": ["rego.metadata.rule()"],
  "every one of 100 held against a set": ["every n in data.list { data.names[n] }"],
  "every one of 100 held against every other": ["count([1 | some a in data.list; some b in data.list; a == b]) == 100"],
};

const directory = mkdtempSync(join(tmpdir(), "railgate-patterns-"));
try {
  const names = Object.keys(PATTERNS);
  names.forEach((name, i) => {
    const [body, rest = ""] = PATTERNS[name]!;
    mkdirSync(join(directory, `p${i}`));
    writeFileSync(
      join(directory, `p${i}/p.rego`),
      `package p${i}\n\n# METADATA\n# title: One\n# custom:\n#   rule: A-1\nok if {\n\t${body}\n}\n\n${rest}\n`,
    );
  });
  writeFileSync(
    join(directory, "data.json"),
    JSON.stringify({ list: NAMES, names: Object.fromEntries(NAMES.map((name) => [name, true])) }),
  );
  const files = await readBundleFiles(
    await compile(
      directory,
      names.map((_, i) => `p${i}/ok`),
    ),
  );
  const data = JSON.parse(new TextDecoder().decode(files.get("data.json"))) as object;
  const evaluator = await Evaluator.load(files.get("policy.wasm")!, data);
  const input = new TextEncoder().encode(JSON.stringify({ a: { b: 1 }, name: "name-50" }));
  const costs = names.map(() => Number.POSITIVE_INFINITY);
  // Turn by turn, and the least disturbed round of each: other work only ever adds.
  for (let round = 0; round < ROUNDS; round++)
    names.forEach((_, i) => {
      const started = performance.now();
      for (let n = 0; n < EVALUATIONS; n++) evaluator.evaluate(`p${i}/ok`, input);
      costs[i] = Math.min(costs[i]!, ((performance.now() - started) / EVALUATIONS) * 1000);
    });
  console.log("| pattern | µs |\n| --- | --- |");
  names.slice(1).forEach((name, i) => console.log(`| ${name} | ${(costs[i + 1]! - costs[0]!).toFixed(2)} |`));
} finally {
  rmSync(directory, { recursive: true });
}
