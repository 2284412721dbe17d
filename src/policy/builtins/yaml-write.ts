// yaml.marshal: JSON as go-yaml 3 writes it (indent 2, no folding), whose judgement it is what is quoted, escaped or a block.
import { HaltError, BuiltinError } from "./errors.ts";
import { floatText } from "./floats.ts";
import { parseTime } from "./time-parse.ts";
import { goJsonString } from "./text.ts";
import { RegoNumber, RegoObject, type Value } from "./value.ts";
import { byNumbers } from "./yaml-order.ts";
import { integerOf, isPlainText, numberOf } from "./yaml-scalars.ts";

const INDENT = 2;
/** Bytes of a key that stands in one line with its value. */
const SIMPLE_KEY_MAX = 128;
/** OPA reads the JSON by YAML's own reader, which looks no further than 1,024 characters for the end of a key. */
const KEY_MAX = 1000;

/** As `yaml.marshal` of JSON. @throws BuiltinError what YAML may not hold. @throws HaltError what OPA would read otherwise than it is. */
export function writeYaml(value: Value): string {
  return new Writer().document(value);
}

type Place = "root" | "item" | "key" | "value";
type Style = "plain" | "single" | "double" | "literal";

class Writer {
  #text = "";
  #column = 0;
  #indent = -1;
  /** Is what was written last white? */
  #white = true;
  /** Is there nothing but indentation in the line, `- ` and the like included? */
  #indention = true;

  document(value: Value): string {
    this.#node(value, "root");
    this.#startLine();
    return this.#text;
  }

  #node(value: Value, place: Place): void {
    const before = this.#indent;
    if (Array.isArray(value)) this.#list(value as readonly Value[], place);
    else if (value instanceof RegoObject) this.#mapping(value, place);
    else this.#scalar(value, place);
    this.#indent = before;
  }

  #list(items: readonly Value[], place: Place): void {
    if (items.length === 0) return this.#nothing("[]");
    this.#deeper(place, 0);
    for (const item of items) {
      this.#startLine();
      this.#indicator("-", { before: true, indention: true });
      this.#node(item, "item");
    }
  }

  #mapping(value: RegoObject, place: Place): void {
    if (value.size === 0) return this.#nothing("{}");
    this.#deeper(place, 0);
    for (const [name, member] of inOrder(value)) {
      this.#startLine();
      if (isSimpleKey(name)) {
        this.#node(name, "key");
        this.#indicator(":", { before: false, indention: false });
      } else {
        this.#indicator("?", { before: true, indention: true });
        this.#node(name, "value");
        this.#startLine();
        this.#indicator(":", { before: true, indention: true });
      }
      this.#node(member, "value");
    }
  }

  #nothing(both: string): void {
    this.#indicator(both, { before: true, indention: false });
  }

  #scalar(value: Value, place: Place): void {
    const { text, style } = written(value, place === "key");
    this.#deeper(place, INDENT);
    if (style === "plain") this.#plain(text);
    else if (style === "literal") this.#literal(text);
    else this.#quoted(text, style === "single" ? "'" : '"');
  }

  /** @param first the indent where there was none. */
  #deeper(place: Place, first: number): void {
    if (this.#indent < 0) this.#indent = first;
    // The first indent inside a list skips its `- `; everything else aligns.
    else if (place === "item") this.#indent += 2;
    else this.#indent = INDENT * Math.floor((this.#indent + INDENT) / INDENT);
  }

  #plain(text: string): void {
    if (text !== "" && !this.#white) this.#put(" ");
    for (const char of text) this.#put(char);
    if (text !== "") this.#white = false;
    this.#indention = false;
  }

  #quoted(text: string, quote: "'" | '"'): void {
    this.#indicator(quote, { before: true, indention: false });
    if (quote === '"') for (const char of text) for (const each of escaped(char, text)) this.#put(each);
    else this.#broken(text, (char) => (char === "'" ? "''" : char), false);
    this.#indicator(quote, { before: false, indention: false });
    this.#indention = false;
  }

  #literal(text: string): void {
    this.#indicator("|", { before: true, indention: false });
    if (text[0] === " " || BREAK.test(text[0]!)) this.#indicator(String(INDENT), { before: false, indention: false });
    const [last, other] = [...text].reverse();
    if (!BREAK.test(last!)) this.#indicator("-", { before: false, indention: false });
    else if (other === undefined || BREAK.test(other)) this.#indicator("+", { before: false, indention: false });
    this.#break();
    this.#white = true;
    this.#broken(text, (char) => char, true);
  }

  /** Text over several lines. @param begins whether it begins on one of its own. */
  #broken(text: string, shown: (char: string) => string, begins: boolean): void {
    let breaks = begins;
    for (const char of text) {
      if (BREAK.test(char)) {
        if (char === "\n") this.#break();
        else {
          this.#text += char;
          this.#column = 0;
          this.#indention = true;
        }
        breaks = true;
        continue;
      }
      if (breaks) this.#startLine();
      for (const each of shown(char)) this.#put(each);
      this.#indention = false;
      breaks = false;
    }
  }

  #startLine(): void {
    const indent = Math.max(this.#indent, 0);
    if (!this.#indention || this.#column > indent || (this.#column === indent && !this.#white)) this.#break();
    while (this.#column < indent) this.#put(" ");
    this.#white = true;
  }

  #indicator(text: string, { before, indention }: { readonly before: boolean; readonly indention: boolean }): void {
    if (before && !this.#white) this.#put(" ");
    for (const char of text) this.#put(char);
    this.#white = false;
    this.#indention &&= indention;
  }

  #put(char: string): void {
    this.#text += char;
    this.#column++;
  }

  #break(): void {
    this.#text += "\n";
    this.#column = 0;
    this.#indention = true;
  }
}

const BREAK = /[\r\n\u0085\u2028\u2029]/;
/** What YAML may not hold. JSON has the others that it may not hold as `\u00XX`. */
const FORBIDDEN = /[\u007f-\u0084\u0086-\u009f\ufffe\uffff]/;
const PRINTABLE = /[\n\x20-\x7e\u00a0-\ud7ff\ue000-\ufefe\uff00-\ufffd]/;

function written(value: Value, isKey: boolean): { readonly text: string; readonly style: Style } {
  if (value instanceof RegoNumber) return { text: numberText(value.text), style: "plain" };
  if (typeof value !== "string") return { text: String(value), style: "plain" };
  return quotable(value.toWellFormed(), isKey);
}

function quotable(value: string, isKey: boolean): { readonly text: string; readonly style: Style } {
  if (FORBIDDEN.test(value)) throw new BuiltinError("yaml: control characters are not allowed");
  // In the JSON that OPA reads as YAML it stands as it is, and ends a line there.
  if (value.includes("\u0085")) throw new HaltError("yaml.marshal takes no U+0085 here");
  return { text: value, style: styleOf(value, isKey) };
}

/** As go-yaml reads it in JSON, and writes what it has read. */
function numberText(text: string): string {
  const integer = integerOf(text);
  if (integer !== undefined) return String(integer);
  if (numberOf(text) === undefined) return text;
  const float = Number(text);
  const sign = float < 0 || Object.is(float, -0) ? "-" : "";
  return sign + floatText(Math.abs(float), "g", -1);
}

function styleOf(text: string, isKey: boolean): Style {
  const { breaks, plain, single, block } = allowed(text);
  const wanted = text.includes("\n") ? "literal" : resolvesToText(text) ? "plain" : "double";
  if (wanted === "literal") return block && !isKey ? "literal" : "double";
  if (wanted === "double" || (isKey && breaks)) return "double";
  return plain ? "plain" : single ? "single" : "double";
}

const isSimpleKey = (name: string): boolean =>
  !BREAK.test(name) && new TextEncoder().encode(name).length <= SIMPLE_KEY_MAX;

const OLD_BOOLEAN = /^(?:[yYnN]|yes|Yes|YES|on|On|ON|no|No|NO|off|Off|OFF)$/;
const BASE_60 = /^[-+]?\d[\d_]*(?::[0-5]?\d)+(?:\.[\d_]*)?$/;

const resolvesToText = (text: string): boolean =>
  isPlainText(text) && !isTimestamp(text) && !OLD_BOOLEAN.test(text) && !BASE_60.test(text);

const TIMESTAMPS = [
  "2006-1-2T15:4:5.999999999Z07:00",
  "2006-1-2t15:4:5.999999999Z07:00",
  "2006-1-2 15:4:5.999999999",
  "2006-1-2",
];

const isTimestamp = (text: string): boolean =>
  /^\d{4}-/.test(text) && TIMESTAMPS.some((layout) => isTime(layout, text));

function isTime(layout: string, text: string): boolean {
  try {
    parseTime(layout, text);
    return true;
  } catch (error) {
    if (error instanceof BuiltinError) return false;
    throw error;
  }
}

/** In which styles a text can stand, as libyaml's emitter judges. */
function allowed(text: string) {
  const chars = [...text];
  const special = chars.some((char) => char !== "\t" && !isPrintable(char));
  const [begins, ends] = [chars[0] ?? "", chars.at(-1) ?? ""];
  const breaks = BREAK.test(text);
  const breakSpace = /[\r\n\u0085\u2028\u2029] /.test(text);
  const spaceBreak = / [\r\n\u0085\u2028\u2029]/.test(text);
  const edges = begins === " " || ends === " " || BREAK.test(begins) || BREAK.test(ends);
  const tabs = text.includes("\t");
  return {
    breaks,
    plain: !(edges || breakSpace || spaceBreak || tabs || special || breaks || INDICATORS.test(text)),
    single: !(breakSpace || spaceBreak || tabs || special),
    block: !(ends === " " || spaceBreak || special),
  };
}

/** What begins with a mark of YAML's, or has a comment or a value in it. */
const INDICATORS = /^(?:---|\.\.\.|[#,[\]{}&*!|>'"%@`]|[?:-](?:[ \t]|$))|:(?:[ \t]|$)|[ \t\r\n\0\u0085\u2028\u2029]#/;

/** Of what takes four bytes go-yaml says that it is not. */
const isPrintable = (char: string): boolean => char.length === 1 && PRINTABLE.test(char);

const ESCAPES: { readonly [char: string]: string } = {
  "\0": "0",
  "\x07": "a",
  "\b": "b",
  "\t": "t",
  "\n": "n",
  "\v": "v",
  "\f": "f",
  "\r": "r",
  "\x1b": "e",
  '"': '"',
  "\\": "\\",
  "\u0085": "N",
  "\u00a0": "_",
  "\u2028": "L",
  "\u2029": "P",
};

/** @param whole a text that begins with a byte order mark is escaped throughout. */
function escaped(char: string, whole: string): string {
  const plain = isPrintable(char) && !BREAK.test(char) && char !== '"' && char !== "\\" && whole[0] !== "\ufeff";
  if (plain) return char;
  const short = ESCAPES[char];
  if (short !== undefined) return `\\${short}`;
  const code = char.codePointAt(0)!;
  const [mark, digits] = code <= 0xff ? ["x", 2] : code <= 0xffff ? ["u", 4] : ["U", 8];
  return `\\${mark}${code
    .toString(16)
    .toUpperCase()
    .padStart(digits as number, "0")}`;
}

function inOrder(value: RegoObject): readonly (readonly [name: string, member: Value])[] {
  const entries = value.entries() as readonly (readonly [string, Value])[];
  if (entries.some(([name]) => goJsonString(name).length > KEY_MAX))
    throw new HaltError(`yaml.marshal takes no key of more than ${KEY_MAX} characters here`);
  const named = entries.map(([name, member]) => ({ runes: [...name], name, member }));
  return named.sort((a, b) => byNumbers(a.runes, b.runes)).map(({ name, member }) => [name, member]);
}
