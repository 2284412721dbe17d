// The host's builtins beside OPA's own: the same expressions evaluated by both, errors included (undefined), to the last digit.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { jsonOf, parseJson, printValue } from "../../../src/policy/builtins/text.ts";
import type { RegoNumber, RegoObject, RegoSet, Value } from "../../../src/policy/builtins/value.ts";
import { readBundleFiles } from "../../../src/policy/bundle-files.ts";
import { Evaluator } from "../../../src/policy/evaluator.ts";
import { inDirectory, opa } from "../law.ts";
import { EXPRESSIONS } from "./expressions.ts";

const LIMITS = { evaluationMsMax: 60_000, memoryMiBMax: 256 };
/** The compiler knows nothing of the type of what comes through here. */
const HIDDEN = "hidden(x) := json.unmarshal(json.marshal(x))\n";

const expressions = Object.entries(EXPRESSIONS).flatMap(([family, each]) =>
  each.map((expression) => ({ family, expression })),
);

test("every builtin of the host answers as OPA does", async (t) => {
  t.timeout(10 * 60_000);
  // A set of pairs, since an object of so many is copied by OPA with each that is added.
  const rules = expressions.map(({ expression }, i) => `r contains [${i}, v] if v := ${expression}`);
  const [theirs, ours] = await inDirectory(async (directory) => {
    const file = join(directory, "p.rego");
    writeFileSync(file, `package p\n\n${HIDDEN}\n${rules.join("\n")}\n`);
    return [await byOpa(file), await byHost(directory, file)];
  });
  t.true(expressions.filter((_, i) => theirs(i) !== undefined).length > expressions.length / 2);
  for (const [i, { family, expression }] of expressions.entries())
    t.is(shown(ours(i)), shown(theirs(i)), `${family}: ${expression}`);
});

/** OPA prints what is no UTF-8 as U+FFFD. */
const shown = (value: Value | undefined): string =>
  value === undefined ? "undefined" : printValue(jsonOf(value)).replaceAll(/\\x[89a-f][\da-f]/g, "\ufffd");

type Results = (index: number) => Value | undefined;

function byIndex(pairs: readonly Value[]): Results {
  const found = new Map(pairs.map((pair) => pair as [RegoNumber, Value]).map(([{ text }, value]) => [text, value]));
  return (index) => found.get(String(index));
}

async function byOpa(file: string): Promise<Results> {
  const document = parseJson(await opa("eval", "--data", file, "data.p.r")) as RegoObject;
  const [first] = document.get("result") as RegoObject[];
  const [expression] = first!.get("expressions") as RegoObject[];
  return byIndex(expression!.get("value") as Value[]);
}

/** One entrypoint for all: OPA's compiler takes longer the more there are. */
async function byHost(directory: string, file: string): Promise<Results> {
  const bundle = join(directory, "b.tar.gz");
  await opa("build", "-t", "wasm", "-e", "p/r", "--capabilities", "policy/capabilities.json", "-o", bundle, file);
  const files = await readBundleFiles(readFileSync(bundle));
  const evaluator = await Evaluator.load(files.get("policy.wasm")!, {}, LIMITS);
  return byIndex((evaluator.evaluateExactly("p/r", new Uint8Array()) as RegoSet).items());
}
