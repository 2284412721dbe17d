// Writes docs/traceability.md: each sentence of both source specifications, the rules that fulfil it, and the very cases that show it.
import type { Rule } from "../src/workshop/annotations.ts";
import { type Case, casesOfRules, findCase } from "./cases.ts";
import { ELSEWHERE, SHOWN } from "./traced.ts";

export interface Specification {
  /** Path from docs/. */
  readonly path: string;
  readonly title: string;
  readonly text: string;
}

interface Sentence {
  readonly heading: string;
  readonly sentence: string;
}

/**
 * A specification's sentences, under the heading they stand below: its list items, its table rows (a row of several checks is as
 * many sentences), and what it says between them.
 */
export function sentencesOf(specification: string): Sentence[] {
  let heading = "";
  const sentences: Sentence[] = [];
  let paragraph = "";
  const add = (...texts: string[]) => sentences.push(...texts.map((sentence) => ({ heading, sentence })));
  const end = () => {
    add(...paragraph.split(/(?<=\.) (?=[A-Z`])/).filter((text) => text !== ""));
    paragraph = "";
  };
  const lines = specification.split("\n");
  for (const [index, line] of lines.entries()) {
    if (line.startsWith("|")) {
      end();
      const isHead = /^\| -/.test(lines[index + 1] ?? "") || /^\| -/.test(line);
      if (!isHead) add(...rowSentences(line));
    } else if (line.startsWith("#")) {
      end();
      heading = line.replace(/^#+ /, "");
    } else if (line.startsWith("- ")) {
      end();
      add(line.slice(2).trim());
    } else if (line.trim() === "") end();
    else if (heading !== "") paragraph = `${paragraph} ${line.trim()}`.trim();
  }
  end();
  return sentences;
}

/** `| place | a · b |` → `place: a`, `place: b`. */
function rowSentences(row: string): string[] {
  const [subject = "", ...cells] = row.replace(/^\| | \|$/g, "").split(" | ");
  return cells
    .join(" | ")
    .split(/ · |; |(?<=[A-Z`]\.) (?=[A-Z])/)
    .map((part) => `${subject}: ${part}`);
}

/** One spelling for what is written with other hyphens, emphasis or case. */
export const normal = (text: string) =>
  text
    .replaceAll(/[\u2010-\u2015\u2212]/g, "-")
    .replaceAll(/\*\*|`/g, "")
    .replace(/\.$/, "")
    .toLowerCase();

export function rulesOf(sentence: string, rules: readonly Rule[]): Rule[] {
  return rules.filter(({ source }) => source !== "" && normal(sentence).includes(normal(source)));
}

export const elsewhereOf = (sentence: string) =>
  ELSEWHERE.filter((entry) => normal(sentence).startsWith(normal(entry.sentence)));

/**
 * @throws Error where a sentence has neither rule nor other, where something stands for no sentence, where a rule or sentence has no case, or a case that is named does not
 *   exist.
 */
export function traceabilityDoc(specifications: readonly Specification[], rules: readonly Rule[]): string {
  const sentences = specifications.flatMap(({ text }) => sentencesOf(text).map(({ sentence }) => normal(sentence)));
  const stale = ELSEWHERE.find((entry) => !sentences.some((sentence) => sentence.startsWith(normal(entry.sentence))));
  if (stale !== undefined) throw new Error(`no sentence begins with: ${stale.sentence}`);
  const cases = casesOfRules(rules);
  for (const [rule, names] of Object.entries(SHOWN)) cases.get(rule)?.push(...names.map(findCase));
  for (const [rule, shown] of cases) if (shown.length === 0) throw new Error(`no case shows ${rule}`);
  return [
    "<!-- Which rules and cases stand for each sentence of the specifications. Written by `npm run generate`. -->",
    "# Traceability",
    "",
    "Each sentence of the two source specifications, what fulfils it, and the cases that show it. A rule links to its own cases, listed [below](#cases-by-rule); what it says is in [rules.md](rules.md). Every case named here exists, or the page could not be written.",
    ...specifications.flatMap((specification) => specificationTables(specification, rules)),
    "",
    "## Cases by rule",
    ...rulesById(rules).flatMap((rule) => ["", `### ${rule}`, "", ...(cases.get(rule) ?? []).map(caseLine)]),
    "",
  ].join("\n");
}

function specificationTables({ path, title, text }: Specification, rules: readonly Rule[]): string[] {
  let last = "";
  const rows = sentencesOf(text).flatMap(({ heading, sentence }) => {
    const row = sentenceRow(sentence, rules);
    const table =
      heading === last
        ? [row]
        : ["", `### ${heading}`, "", "| sentence | fulfilled by | shown by |", "| --- | --- | --- |", row];
    last = heading;
    return table;
  });
  return ["", `## [${title}](${path})`, ...rows];
}

function sentenceRow(sentence: string, rules: readonly Rule[]): string {
  const ids = rulesById(rulesOf(sentence, rules));
  const elsewhere = elsewhereOf(sentence);
  const unfulfilled = elsewhere.some(({ by }) => by.startsWith("not fulfilled"));
  const shown = elsewhere.flatMap((entry) => entry.cases).map(findCase);
  if (ids.length + elsewhere.length === 0) throw new Error(`nothing stands for: ${sentence}`);
  if (ids.length + shown.length === 0 && !unfulfilled) throw new Error(`no case shows: ${sentence}`);
  const by = [...ids.map((id) => `[${id}](rules.md)`), ...elsewhere.map((entry) => entry.by)];
  const cells = [...ids.map((id) => `[${id}](#${id.toLowerCase()})`), ...shown.map(linked)];
  return `| ${cell(sentence)} | ${by.map(cell).join(" · ")} | ${cells.map(cell).join(" · ")} |`;
}

const rulesById = (rules: readonly Rule[]) => [...new Set(rules.map(({ rule }) => rule))].sort();

const linked = ({ name, file }: Case) => `[${name}](../${file})`;
const caseLine = (shown: Case) => `- ${linked(shown)}`;
const cell = (text: string) => text.replaceAll("|", "\\|");
