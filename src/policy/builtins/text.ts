// Values as text: the form in which WASM hands them over and takes them (`opa_value_dump`, `opa_value_parse`), OPA's own way to print one, and JSON.
import { BuiltinError } from "./errors.ts";
import { RegoNumber, RegoObject, RegoSet, type Value } from "./value.ts";

/** Reads what `opa_value_dump` writes: JSON, with sets as `{1,2}` and `set()`, and any value as a key. */
export function parseValue(text: string): Value {
  return new Reader(text).document();
}

/** Reads JSON text, strictly, numbers as they are written. @throws BuiltinError where it is none. */
export function parseJson(text: string): Value {
  try {
    JSON.parse(text);
  } catch (error) {
    throw new BuiltinError((error as Error).message);
  }
  return new Reader(text).document();
}

/** Rego, unlike JSON, takes `.5`. */
const NUMBER = /-?[\d.][\d.eE+-]*/y;
const SPACE = /[ \t\r\n]*/y;

/** For text that is known to be well-formed: it comes from WASM, or JSON.parse has taken it. */
class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): Value {
    const value = this.#value();
    this.#space();
    if (this.#at < this.#text.length) throw new BuiltinError("there is more behind the value");
    return value;
  }

  #value(): Value {
    this.#space();
    switch (this.#text[this.#at]) {
      case '"':
        return this.#string();
      case "[":
        this.#at++;
        return this.#list("]", []);
      case "{":
        this.#at++;
        return this.#braces();
      case "n":
        this.#at += 4;
        return null;
      case "t":
        this.#at += 4;
        return true;
      case "f":
        this.#at += 5;
        return false;
      case "s":
        this.#at += "set()".length;
        return new RegoSet();
      default:
        return new RegoNumber(this.#match(NUMBER));
    }
  }

  #string(): string {
    const text = this.#text;
    let end = this.#at;
    do end = text.indexOf('"', end + 1);
    while (end > 0 && this.#escaped(end));
    if (end < 0) throw new BuiltinError("the value breaks off");
    const token = text.slice(this.#at, end + 1);
    this.#at = end + 1;
    return token.includes("\\") ? (JSON.parse(token) as string) : token.slice(1, -1);
  }

  /** Is there an odd number of backslashes before it? */
  #escaped(at: number): boolean {
    let from = at;
    while (this.#text[from - 1] === "\\") from--;
    return (at - from) % 2 === 1;
  }

  #list(close: string, items: Value[]): Value[] {
    if (items.length === 0) {
      if (this.#take(close)) return items;
      items.push(this.#value());
    }
    while (this.#take(",")) items.push(this.#value());
    if (!this.#take(close)) throw new BuiltinError("the value breaks off");
    return items;
  }

  #braces(): Value {
    if (this.#take("}")) return new RegoObject();
    const first = this.#value();
    if (!this.#take(":")) return new RegoSet(this.#list("}", [first]));
    const entries: [Value, Value][] = [[first, this.#value()]];
    while (this.#take(",")) {
      const key = this.#value();
      if (!this.#take(":")) break;
      entries.push([key, this.#value()]);
    }
    if (!this.#take("}")) throw new BuiltinError("the value breaks off");
    return new RegoObject(entries);
  }

  #take(token: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== token) return false;
    this.#at++;
    return true;
  }

  #space(): void {
    const code = this.#text.charCodeAt(this.#at);
    if (code > 0x20) return;
    SPACE.lastIndex = this.#at;
    SPACE.test(this.#text);
    this.#at = SPACE.lastIndex;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const [token] = pattern.exec(this.#text) ?? [];
    if (token === undefined) throw new BuiltinError("there is no value");
    this.#at += token.length;
    return token;
  }
}

/** As `opa_value_parse` takes it. */
export const writeValue = (value: Value): string => write(value, ",", ":", quoteForWasm);

/** As OPA prints it in `sprintf` and messages: `{"a": 1}`, `{1, 2}`, `set()`. */
export const printValue = (value: Value): string => write(value, ", ", ": ", quoteForGo);

function write(value: Value, comma: string, colon: string, quote: (text: string) => string): string {
  const each = (item: Value) => write(item, comma, colon, quote);
  if (typeof value === "string") return quote(value);
  if (value instanceof RegoNumber) return value.text;
  if (value instanceof RegoSet) return value.size === 0 ? "set()" : `{${value.items().map(each).join(comma)}}`;
  if (value instanceof RegoObject)
    return `{${value
      .entries()
      .map(([key, item]) => each(key) + colon + each(item))
      .join(comma)}}`;
  return Array.isArray(value) ? `[${value.map(each).join(comma)}]` : String(value);
}

/** JSON.stringify would write the halves of surrogate pairs, which stand for bytes here, as escapes. */
function quoteForWasm(text: string): string {
  if (text.isWellFormed()) return JSON.stringify(text);
  return `"${text.replaceAll(/["\\\u0000-\u001f]/g, (unit) => JSON.stringify(unit).slice(1, -1))}"`;
}

const GO_ESCAPES: { readonly [character: string]: string } = {
  "\u0007": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  '"': '\\"',
  "\\": "\\\\",
};

/** As Go's strconv.Quote: what can't be printed is escaped. */
export function quoteForGo(text: string): string {
  return `"${text.replaceAll(/["\\]|[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, (character) => {
    const known = GO_ESCAPES[character];
    if (known !== undefined) return known;
    const code = character.codePointAt(0)!;
    if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
    if (code < 0x80) return `\\x${code.toString(16).padStart(2, "0")}`;
    return code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  })}"`;
}

/** A value as JSON has it: sets are arrays, in order; keys that are no text are their JSON. */
export function jsonOf(value: Value): Value {
  if (value instanceof RegoSet) return value.items().map(jsonOf);
  if (Array.isArray(value)) return value.map(jsonOf);
  if (!(value instanceof RegoObject)) return value;
  return new RegoObject(
    value.entries().map(([key, item]) => [typeof key === "string" ? key : goJson(jsonOf(key)), jsonOf(item)]),
  );
}

/** What `json.marshal` of Go writes for a value that {@link jsonOf} made: names by their bytes, HTML escaped. */
export function goJson(value: Value): string {
  if (typeof value === "string") return goJsonString(value);
  if (value instanceof RegoNumber) return value.text;
  if (Array.isArray(value)) return `[${value.map(goJson).join(",")}]`;
  if (value instanceof RegoObject)
    return `{${value
      .entries()
      .map(([name, item]) => `${goJsonString(name as string)}:${goJson(item)}`)
      .join(",")}}`;
  return String(value);
}

export function goJsonString(text: string): string {
  return JSON.stringify(text.toWellFormed()).replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
