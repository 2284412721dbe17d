// regex.*: RE2's syntax and semantics in linear time, by RE2JS; never the host's own expressions, which backtrack. What WASM has natively
// (regex.match, regex.is_valid, regex.find_all_string_submatch_n) is RE2 itself.
import { RE2JS, RE2JSException } from "re2js";
import { cached } from "./cache.ts";
import { BuiltinError, HaltError } from "./errors.ts";
import { globsIntersect } from "./globs.ts";
import { type Builtins, integer, text } from "./operands.ts";

export const builtins: Builtins = {
  "regex.find_n": (pattern, value, count) => findAll(text(pattern, 1), text(value, 2), integer(count, 3)),
  "regex.globs_match": (one, other) => globsIntersect(text(one, 1), text(other, 2)),
  "regex.replace": (value, pattern, replacement) => replace(text(value, 1), text(pattern, 2), text(replacement, 3)),
  "regex.split": (pattern, value) => split(text(pattern, 1), text(value, 2)),
  "regex.template_match": (template, value, start, end) =>
    compiled(expressionOf(text(template, 1), text(start, 3), text(end, 4))).test(text(value, 2)),
};

const CACHE_ENTRIES_MAX = 100;
const RESULT_CHARACTERS_MAX = 16 * 1024 * 1024;

/** @throws BuiltinError where the pattern is no expression of RE2. */
export const compiled = cached(CACHE_ENTRIES_MAX, (pattern) => {
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    if (error instanceof RE2JSException) throw new BuiltinError(error.message);
    throw error;
  }
});

interface Match {
  readonly start: number;
  readonly end: number;
  readonly group: (group: number | string) => string;
}

/** The matches that Go's `All` functions find: an empty one right behind another does not count. */
function* matchesOf(pattern: string, value: string, max: number): Generator<Match> {
  const expression = compiled(pattern);
  const matcher = expression.matcher(value);
  const names = expression.namedGroups() as { readonly [name: string]: number };
  const group = (wanted: number | string): string => {
    const number = typeof wanted === "string" ? names[wanted] : wanted;
    return number === undefined || number > matcher.groupCount() ? "" : (matcher.group(number) ?? "");
  };
  let [at, previousEnd, count] = [0, -1, 0];
  while (count !== max && at <= value.length && matcher.find(at)) {
    const [start, end] = [matcher.start(), matcher.end()];
    const accepted = end !== at || start !== previousEnd;
    if (end === at) at += (value.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
    else at = end;
    previousEnd = end;
    if (!accepted) continue;
    count++;
    yield { start, end, group };
  }
}

/** @param count how many at most; all where it is negative. */
function findAll(pattern: string, value: string, count: number): string[] {
  return [...matchesOf(pattern, value, count)].map(({ start, end }) => value.slice(start, end)).slice();
}

/** As Go's Regexp.Split with all parts. */
function split(pattern: string, value: string): string[] {
  compiled(pattern);
  if (pattern !== "" && value === "") return [""];
  const parts: string[] = [];
  let [from, to] = [0, 0];
  for (const { start, end } of matchesOf(pattern, value, -1)) {
    to = start;
    if (end !== 0) parts.push(value.slice(from, to));
    from = end;
  }
  if (to !== value.length) parts.push(value.slice(from));
  return parts;
}

function replace(value: string, pattern: string, replacement: string): string {
  const template = parseTemplate(replacement);
  let [result, from] = ["", 0];
  for (const { start, end, group } of matchesOf(pattern, value, -1)) {
    result += value.slice(from, start);
    for (const part of template) result += typeof part === "string" ? part : group(part.group);
    from = end;
    if (result.length > RESULT_CHARACTERS_MAX)
      throw new HaltError(`regex.replace makes more than ${RESULT_CHARACTERS_MAX} characters`);
  }
  return result + value.slice(from);
}

type Template = readonly (string | { readonly group: number | string })[];

/** Go's Regexp.Expand: `$1`, `$name`, `${name}`; `$$` is a dollar, and so is one before anything else. */
function parseTemplate(replacement: string): Template {
  const parts: (string | { group: number | string })[] = [];
  const reference = /\$(?:(\$)|(\w+)|\{(\w+)\})/y;
  let from = 0;
  for (let at = replacement.indexOf("$"); at >= 0; at = replacement.indexOf("$", at)) {
    reference.lastIndex = at;
    const [whole, dollar, plain, braced] = reference.exec(replacement) ?? [];
    if (whole === undefined) {
      at++;
      continue;
    }
    parts.push(replacement.slice(from, at));
    const name = plain ?? braced ?? "";
    if (dollar !== undefined) parts.push("$");
    else parts.push({ group: /^(?:0|[1-9]\d{0,7})$/.test(name) ? Number(name) : name });
    from = at += whole.length;
  }
  parts.push(replacement.slice(from));
  return parts;
}

/** What stands between delimiters is an expression, and all else is itself. */
function expressionOf(template: string, open: string, close: string): string {
  for (const [name, delimiter] of [
    ["start", open],
    ["end", close],
  ] as const)
    if (new TextEncoder().encode(delimiter).length !== 1)
      throw new BuiltinError(`${name} delimiter has to be exactly one character long but is ${delimiter.length} long`);
  let [level, from, expression] = [0, 0, "^"];
  for (let at = 0; at < template.length; at++) {
    if (template[at] === open && level++ === 0) {
      expression += RE2JS.quote(template.slice(from, at));
      from = at + 1;
    } else if (template[at] === close && --level === 0) {
      const inner = template.slice(from, at);
      compiled(`^${inner}$`);
      expression += `(${inner})`;
      from = at + 1;
    }
    if (level < 0) break;
  }
  if (level !== 0) throw new BuiltinError(`unbalanced braces in ${JSON.stringify(template)}`);
  return `${expression}${RE2JS.quote(template.slice(from))}$`;
}
