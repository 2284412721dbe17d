// glob.quote_meta, and whether two globs have a text in common (regex.globs_match), as OPA's library decides it, in polynomial time.
import { BuiltinError, HaltError } from "./errors.ts";
import { type Builtins, text } from "./operands.ts";

export const builtins: Builtins = {
  "glob.quote_meta": (pattern) =>
    text(pattern, 1).replaceAll(/[*?\\[\]{},!-]/g, (special) =>
      /[*?\\[\]{}]/.test(special) ? `\\${special}` : special,
    ),
};

interface Token {
  /** undefined: any character. */
  readonly ranges: readonly (readonly [from: number, to: number])[] | undefined;
  readonly flag: "" | "+" | "*";
}

/** Products of lengths beyond this are not worth anybody's time. */
const STEPS_MAX = 4_000_000;

/** Is there a text, not empty, that both match? `.` is any character, `[a-z]` a set, `+` and `*` repeat. */
export function globsIntersect(one: string, other: string): boolean {
  const [a, b] = [tokensOf(one), tokensOf(other)];
  if (a.length * b.length > STEPS_MAX) throw new HaltError("regex.globs_match compares globs that are too long");
  const [x, y] = trimmed(a, b) ?? [];
  return x !== undefined && new Intersection(x, y!).normal(0, 0, 0, 1);
}

function tokensOf(glob: string): Token[] {
  const characters = [...glob];
  const tokens: Token[] = [];
  const invalid = (why: string): never => {
    throw new BuiltinError(`input:${glob}, ${why}: the input provided is invalid`);
  };
  for (let at = 0; at < characters.length; ) {
    const character = characters[at++]!;
    let ranges: Token["ranges"];
    if (character === "\\") {
      if (at === characters.length) invalid("input ends with a \\ (escape) character");
      ranges = [single(characters[at++]!)];
    } else if (character === "[") [ranges, at] = setOf(characters, at, invalid);
    else if (character === "]") invalid("set-close ']' with no preceding '['");
    else if (character === "+" || character === "*") invalid(`flag '${character}' must be preceded by a non-flag`);
    else ranges = character === "." ? undefined : [single(character)];
    const flag = characters[at] === "+" || characters[at] === "*" ? (characters[at++] as "+" | "*") : "";
    tokens.push({ ranges, flag });
  }
  return tokens;
}

const single = (character: string): readonly [number, number] => [character.codePointAt(0)!, character.codePointAt(0)!];

function setOf(
  characters: readonly string[],
  start: number,
  invalid: (why: string) => never,
): [ranges: Token["ranges"], at: number] {
  const ranges: [number, number][] = [];
  let previous: number | undefined;
  for (let at = start; at < characters.length; at++) {
    const character = characters[at]!;
    if (character === "]") return [ranges, at + 1];
    if (character === "-") {
      if (previous === undefined) invalid("range character '-' must be preceded by a Unicode character");
      let end = characters[++at];
      if (end === undefined || at >= characters.length - 1)
        invalid("range character '-' must be followed by a Unicode character");
      if (end === "]" || end === "-") invalid("range character '-' cannot be followed by a special symbol");
      if (end === "\\") end = characters[++at];
      const code = end?.codePointAt(0) ?? -1;
      if (code < previous!) invalid("range is out of order");
      ranges.push([previous!, code]);
      previous = undefined;
      continue;
    }
    const escaped = character === "\\" ? characters[++at] : character;
    if (escaped === undefined) invalid("input ends with a \\ (escape) character");
    previous = escaped!.codePointAt(0)!;
    ranges.push([previous, previous]);
  }
  return invalid("found [ without matching ]");
}

function matches(a: Token, b: Token): boolean {
  if (a.ranges === undefined || b.ranges === undefined) return true;
  return a.ranges.some(([from, to]) => b.ranges!.some(([first, last]) => from <= last && first <= to));
}

/** Without what is plain and alike at both ends, but for one token each; undefined where that differs. */
function trimmed(a: readonly Token[], b: readonly Token[]): [readonly Token[], readonly Token[]] | undefined {
  const plain = (i: number, j: number) => a[i]?.flag === "" && b[j]?.flag === "";
  let left = 0;
  for (; plain(left, left); left++) if (!matches(a[left]!, b[left]!)) return undefined;
  if (left > 0) left--;
  let [i, j] = [a.length - 1, b.length - 1];
  for (; i >= left && j >= left && plain(i, j); i--, j--) if (!matches(a[i]!, b[j]!)) return undefined;
  if (i < a.length - 1) {
    i++;
    j++;
  }
  return [a.slice(left, i + 1), b.slice(left, j + 1)];
}

/** The library's three functions, with what was found for a pair of positions kept: by themselves they take exponential time. */
class Intersection {
  readonly #globs: readonly (readonly Token[])[];
  readonly #known = new Map<string, boolean>();

  constructor(a: readonly Token[], b: readonly Token[]) {
    this.#globs = [a, b];
  }

  /** From position `i` of glob `g` and `j` of glob `h`. */
  normal(i: number, j: number, g: number, h: number): boolean {
    const [a, b] = [this.#globs[g]!, this.#globs[h]!];
    let [left, right] = [i, j];
    for (; left < a.length && right < b.length; left++, right++) {
      const [x, y] = [a[left]!, b[right]!];
      if (x.flag !== "") return this.#repeated(x.flag, left, right, g, h);
      if (y.flag !== "") return this.#repeated(y.flag, right, left, h, g);
      if (!matches(x, y)) return false;
    }
    return left === a.length && right === b.length;
  }

  #repeated(flag: "+" | "*", i: number, j: number, g: number, h: number): boolean {
    const key = `${flag}${i},${j},${g}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const found = flag === "+" ? this.#plus(i, j, g, h) : this.#star(i, j, g, h);
    this.#known.set(key, found);
    return found;
  }

  #plus(i: number, j: number, g: number, h: number): boolean {
    const [token, other] = [this.#globs[g]![i]!, this.#globs[h]![j]!];
    if (!matches(token, other)) return false;
    return this.#repeated("*", i, j + 1, g, h) || (other.flag !== "" && this.normal(i + 1, j, g, h));
  }

  #star(i: number, j: number, g: number, h: number): boolean {
    const [starred, other] = [this.#globs[g]!, this.#globs[h]!];
    const [star, next] = [starred[i]!, starred[i + 1]];
    for (let at = j; at < other.length; at++) {
      if (next !== undefined && matches(other[at]!, next) && this.normal(i + 1, at, g, h)) return true;
      if (!matches(other[at]!, star)) return false;
    }
    return next === undefined;
  }
}
