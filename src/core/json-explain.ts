// Finds the place of what is wrong in a JSON text: a slow, exact parser (RFC 8259) that runs only on what is refused.
import type { RequestFault } from "./errors.ts";
import { escapeToken } from "./schema/explain.ts";

/**
 * The first fault of the text: a syntax error by line and column, or a duplicate key, a lone surrogate or an unsafe
 * number by its pointer. Undefined if there is none. The caller has bounded size and depth.
 */
export function explainJson(text: string): RequestFault[] | undefined {
  const reader = new Reader(text);
  try {
    reader.document();
    return undefined;
  } catch (thrown) {
    if (thrown instanceof Found) return [thrown.fault];
    throw thrown;
  }
}

class Found extends Error {
  readonly fault: RequestFault;
  constructor(fault: RequestFault) {
    super(fault.message);
    this.fault = fault;
  }
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORD = /true|false|null/y;

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    this.#value("");
    this.#take(SPACE);
    if (this.#at < this.#text.length) this.#syntax("unexpected text after the document");
  }

  #value(pointer: string): void {
    this.#take(SPACE);
    const next = this.#text[this.#at];
    if (next === "{") return this.#object(pointer);
    if (next === "[") return this.#array(pointer);
    if (next === '"') return void this.#string(pointer);
    if (this.#take(WORD) !== undefined) return;
    const number = this.#take(NUMBER);
    if (number === undefined) return this.#syntax(next === undefined ? "unexpected end" : "expected a value");
    if (Math.abs(Number(number)) > Number.MAX_SAFE_INTEGER) {
      throw new Found({ pointer, message: "number beyond ±(2^53−1); write it as a string" });
    }
  }

  #object(pointer: string): void {
    const seen = new Set<string>();
    this.#items("}", () => {
      this.#take(SPACE);
      if (this.#text[this.#at] !== '"') this.#syntax("expected a name in double quotes");
      const name = this.#string(pointer);
      const place = `${pointer}/${escapeToken(name)}`;
      if (seen.has(name)) throw new Found({ pointer: place, message: "duplicate key" });
      seen.add(name);
      this.#take(SPACE);
      if (this.#text[this.#at++] !== ":") this.#syntax("expected a colon", -1);
      this.#value(place);
    });
  }

  #array(pointer: string): void {
    let index = 0;
    this.#items("]", () => this.#value(`${pointer}/${index++}`));
  }

  /** What stands between brackets, the opening one of which is next. */
  #items(close: string, item: () => void): void {
    this.#at++;
    this.#take(SPACE);
    if (this.#text[this.#at] === close) return void this.#at++;
    for (;;) {
      item();
      this.#take(SPACE);
      const next = this.#text[this.#at++];
      if (next === close) return;
      if (next !== ",") this.#syntax(`expected a comma or ${close}`, -1);
    }
  }

  #string(pointer: string): string {
    const raw = this.#take(STRING);
    if (raw === undefined) return this.#syntax("string with a control character, a bad escape or no end");
    const value = JSON.parse(raw) as string;
    if (!value.isWellFormed()) throw new Found({ pointer, message: "lone surrogate" });
    return value;
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #syntax(message: string, offset = 0): never {
    const before = this.#text.slice(0, this.#at + offset);
    const line = before.split("\n").length;
    const column = before.length - before.lastIndexOf("\n");
    throw new Found({ pointer: "", message: `not JSON: ${message} at line ${line}, column ${column}` });
  }
}
