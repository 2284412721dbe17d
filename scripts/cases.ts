// Finds the cases that show what the law does: of the corpus, of the tests in Rego, and of the tests of the host, each by its name.
import { globSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import type { Rule } from "../src/workshop/annotations.ts";

export interface Case {
  /** As traceability writes it: `exception: one expired lifts nothing`, `mesh_test.test_…`, or the title of a test. */
  readonly name: string;
  readonly file: string;
}

interface CorpusCase {
  readonly name: string;
  readonly expect: { readonly refusals: readonly { readonly rule: string }[] };
}

const CORPUS = "test/corpus/admission";

/** By rule: every case of the corpus that it refuses, and every test in Rego that names it. */
export function casesOfRules(rules: readonly Rule[]): Map<string, Case[]> {
  const cases = new Map<string, Case[]>(rules.map(({ rule }) => [rule, []]));
  for (const { file, subject, stored } of corpus())
    for (const { name, expect } of stored)
      for (const rule of new Set(expect.refusals.map((refusal) => refusal.rule)))
        cases.get(rule)?.push({ name: `${subject}: ${name}`, file });
  for (const { name, file, body } of regoTests())
    for (const [rule, shown] of cases) if (body.includes(`"${rule}"`)) shown.push({ name, file });
  return cases;
}

function corpus(): { file: string; subject: string; stored: CorpusCase[] }[] {
  return globSync(`${CORPUS}/*.json`)
    .filter((file) => !file.endsWith("/bases.json"))
    .sort()
    .map((file) => ({
      file,
      subject: basename(file, ".json"),
      stored: JSON.parse(readFileSync(file, "utf8")) as CorpusCase[],
    }));
}

/** With the constants that a test names written out, since those say what is due. */
function regoTests(): (Case & { body: string })[] {
  return globSync("policy/railgate/**/*_test.rego")
    .sort()
    .flatMap((file) => {
      const text = readFileSync(file, "utf8");
      const constants = [...text.matchAll(/^(\w+) := (\[.*\])$/gm)].map(([, name, value]) => [name!, value!] as const);
      return [...text.matchAll(/^(test_\w+)([\s\S]*?)(?=^\S)/gm)].map(([, name, body]) => ({
        name: `${basename(file, ".rego")}.${name}`,
        file,
        body: constants.reduce(
          (written, [constant, value]) => written.replaceAll(new RegExp(`\\b${constant}\\b`, "g"), value),
          body!,
        ),
      }));
    });
}

let known: ReadonlyMap<string, Case> | undefined;

/**
 * The case of a name: `corpus exception: one expired lifts nothing`, `rego mesh_test.test_…`, `test/x.test.ts: its title`.
 * @throws Error where there is none.
 */
export function findCase(reference: string): Case {
  known ??= new Map<string, Case>([
    ...corpus().flatMap(({ file, subject, stored }) =>
      stored.map(({ name }): [string, Case] => [`corpus ${subject}: ${name}`, { name: `${subject}: ${name}`, file }]),
    ),
    ...regoTests().map(({ name, file }): [string, Case] => [`rego ${name}`, { name, file }]),
  ]);
  const found = known.get(reference) ?? titled(reference);
  if (found === undefined) throw new Error(`there is no case ${reference}`);
  return found;
}

/** A test of the host by its file and title, a template's as it is written. */
function titled(reference: string): Case | undefined {
  const [, file, title] = /^(test\/\S+\.test\.ts): (.+)$/.exec(reference) ?? [];
  if (file === undefined || title === undefined || globSync(file).length === 0) return undefined;
  const text = readFileSync(file, "utf8");
  const written = [`"${title}"`, `\`${title}\``].some((literal) =>
    new RegExp(`test(?:\\.serial)?\\(\\s*${literal.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")},`).test(text),
  );
  return written ? { name: title, file } : undefined;
}
