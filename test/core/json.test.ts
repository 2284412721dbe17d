// JSON in: the same verdict as an independent parser. JSON out: the same text as the package `canonicalize`.
import test from "ava";
import canonicalize from "canonicalize";
import fc from "fast-check";
import { RequestError } from "../../src/core/errors.ts";
import { canonicalJson, parseStrict } from "../../src/core/json.ts";

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const seed = Number(process.env["FC_SEED"] ?? Date.now() % 2 ** 31);
const params = { seed, numRuns: 400 };
console.log(`fast-check seed ${seed} (repeat with FC_SEED=${seed})`);

/** What is refused and why, as `status pointer: message`. */
function verdict(text: string | Uint8Array): string {
  try {
    parseStrict(typeof text === "string" ? bytesOf(text) : text);
    return "accepted";
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    return `${error.status} ${error.errors.map(({ pointer, message }) => `${pointer}: ${message}`).join("; ")}`;
  }
}

test("what is well formed is parsed as JSON.parse does", (t) => {
  for (const text of [
    "null",
    " [ ] ",
    "{}",
    '"\\ud83d\\ude00"',
    '{"a":{"a":[{"a":1}]}}',
    "-9007199254740991",
    "1e-400",
    '":{[\\""',
    "0.1",
  ]) {
    t.deepEqual(parseStrict(bytesOf(text)), JSON.parse(text));
  }
});

test("duplicate keys are 400 with their pointer, however they are written", (t) => {
  t.is(verdict('{"a":1,"a":1}'), "400 /a: duplicate key");
  t.is(verdict('{"x":[{"a/b~":1,"a\\u002fb~":2}]}'), "400 /x/0/a~1b~0: duplicate key");
  t.is(verdict('{"__proto__":1,"__proto__":2}'), "400 /__proto__: duplicate key");
  t.is(verdict('{"":1,"":2}'), "400 /: duplicate key");
  t.is(verdict('{"a":":","b":{"c:":1}}'), "accepted");
});

test("numbers that don't survive are 400", (t) => {
  const refusal = "400 /n: number beyond ±(2^53−1); write it as a string";
  for (const number of ["9007199254740992", "-9007199254740992", "9007199254740993", "1e16", "1e999", "-1e999"]) {
    t.is(verdict(`{"n":${number}}`), refusal, number);
  }
});

test("lone surrogates are 400, in keys too", (t) => {
  t.is(verdict('{"a":"\\ud800"}'), "400 /a: lone surrogate");
  t.is(verdict('{"a":["\\uDC00x"]}'), "400 /a/0: lone surrogate");
  t.is(verdict('{"\\ud83d":1}'), "400 : lone surrogate");
  t.is(verdict('{"a":"\\ude00\\ud83d"}'), "400 /a: lone surrogate");
  t.is(verdict('{"a":"\\\\ud800"}'), "accepted");
  t.is(verdict(new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22])), "400 : not valid UTF-8");
});

test("bad JSON is 400 with line and column", (t) => {
  t.is(verdict(""), "400 : not JSON: unexpected end at line 1, column 1");
  t.is(verdict('{"a":\n  tru}'), "400 : not JSON: expected a value at line 2, column 3");
  t.is(verdict("[1,]"), "400 : not JSON: expected a value at line 1, column 4");
  t.is(verdict("01"), "400 : not JSON: unexpected text after the document at line 1, column 2");
  t.is(verdict("\ufeff1"), "400 : not JSON: expected a value at line 1, column 1");
  t.is(verdict('{"a" 1}'), "400 : not JSON: expected a colon at line 1, column 6");
  t.is(verdict("{'a':1}"), "400 : not JSON: expected a name in double quotes at line 1, column 2");
  t.regex(verdict('"a\u0000"'), /^400 : not JSON: string with a control character/);
  t.is(verdict(new Uint8Array([0xff])), "400 : not valid UTF-8");
});

test("too many names are 413, however they are spread; the same ones again are not", (t) => {
  const names = (count: number, name: (n: number) => string) =>
    `{${Array.from({ length: count }, (_, n) => `"${name(n)}" :1`)}}`;
  t.is(verdict(names(4097, (n) => `k${n}`)), "413 : more than 4096 different names of members");
  t.is(verdict(names(4096, (n) => `k${n}`)), "accepted");
  const spread = Array.from({ length: 300 }, (_, m) => names(20, (n) => `k${m}-${n}`));
  t.is(verdict(`[${spread}]`), "413 : more than 4096 different names of members");
  t.is(verdict(`[${Array.from({ length: 3000 }, () => names(20, (n) => `k${n}`))}]`), "accepted");
  t.is(verdict(`[${Array.from({ length: 5000 }, (_, n) => `"k${n}:"`)},${names(5, String)}]`), "accepted");
  t.is(verdict(`[${Array.from({ length: 5000 }, (_, n) => `{"a\\"":"k${n}\\":"}`)}]`), "accepted");
});

test("too large and too deep are 413", (t) => {
  t.is(verdict(`"${"a".repeat(1024 * 1024 - 2)}"`), "accepted");
  t.is(verdict(`"${"a".repeat(1024 * 1024 - 1)}"`), "413 : larger than 1048576 bytes");
  t.is(verdict("[".repeat(64) + "]".repeat(64)), "accepted");
  t.is(verdict("[".repeat(65) + "]".repeat(65)), "413 : nested deeper than 64 levels");
  t.is(verdict("[".repeat(1024 * 1024)), "413 : nested deeper than 64 levels");
  t.is(verdict(`"${"[".repeat(100)}"`), "accepted");
  t.is(verdict(`[${"[],".repeat(100)}1]`), "accepted");
  t.throws(() => parseStrict(bytesOf("[[1]]"), { depthMax: 1 }), { code: "request_too_large" });
  t.throws(() => parseStrict(bytesOf("[1]"), { bytesMax: 2 }), { code: "request_too_large" });
});

test("large hostile documents are explained too", (t) => {
  t.is(verdict(`["${"é\\n".repeat(200_000)}",{"a":1,"a":1}]`), "400 /1/a: duplicate key");
  t.is(verdict(`[${'{"a":"\\ud83d\\ude00"},'.repeat(40_000)}1]`), "accepted");
});

test("__proto__ is an own key and pollutes nothing", (t) => {
  const value = parseStrict(
    bytesOf('{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}'),
  ) as object;
  t.deepEqual(Object.keys(value), ["__proto__", "constructor"]);
  t.is((value as { admin?: boolean }).admin, undefined);
  t.is(({} as { admin?: boolean }).admin, undefined);
  t.is(canonicalJson(value), '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}');
});

test("any document gets the verdict of the reference parser", (t) => {
  fc.assert(
    fc.property(rawJson, (text) => {
      const reference = referenceVerdict(text);
      t.is(verdict(text).slice(0, 3), reference.slice(0, 3), text);
    }),
    params,
  );
});

test("any document with flipped bytes gets the verdict of the reference parser", (t) => {
  const flips = fc.array(fc.record({ at: fc.nat(), to: fc.integer({ min: 0, max: 255 }) }), {
    minLength: 1,
    maxLength: 3,
  });
  fc.assert(
    fc.property(rawJson, flips, (text, changes) => {
      const bytes = bytesOf(text);
      for (const { at, to } of changes) bytes[at % bytes.length] = to;
      const decoded = decode(bytes);
      const notUtf8 = () => (bracketDepth(Buffer.from(bytes).toString("latin1")) > 64 ? "413" : "400");
      const reference = decoded === undefined ? notUtf8() : referenceVerdict(decoded);
      t.is(verdict(bytes).slice(0, 3), reference.slice(0, 3), decoded ?? "not UTF-8");
    }),
    params,
  );
});

test("canonical JSON is that of the package canonicalize, and reads back as the same value", (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const sound = JSON.stringify(value, (_, v: unknown) =>
        typeof v === "number" && Math.abs(v) > 2 ** 53 - 1 ? 0 : v,
      );
      const safe = JSON.parse(sound) as unknown;
      if (!isWellFormed(safe)) return;
      t.is(canonicalJson(safe), canonicalize(safe)!);
      t.deepEqual(parseStrict(bytesOf(canonicalJson(safe))), safe);
    }),
    params,
  );
});

test("canonical JSON sorts by UTF-16 code unit, many names too", (t) => {
  const text = '{"":5,"10":6,"9":7,"a":4,"é":3,"\u{1f600}":1,"\ufb33":2}';
  t.is(canonicalJson({ "\u{1f600}": 1, "\ufb33": 2, é: 3, a: 4, "": 5, 10: 6, 9: 7 }), text);
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`k${(n * 37) % 100}`, n]));
  t.is(canonicalJson(many), canonicalize(many)!);
  t.is(canonicalJson([-0, 1e-7, 0.1, 333333333.3333333]), "[0,1e-7,0.1,333333333.3333333]");
});

test("canonical JSON refuses what would not read back", (t) => {
  const cycle: unknown[] = [];
  cycle.push(cycle);
  const hostile = [
    undefined,
    NaN,
    Infinity,
    2 ** 53,
    "\ud800",
    { "\udc00": 1 },
    { a: undefined },
    [undefined],
    new Array(1),
  ];
  for (const value of [...hostile, () => 1, Symbol("s"), 1n, new Date(0), new Map(), cycle, { toJSON: () => 1 }]) {
    t.throws(() => canonicalJson(value), { instanceOf: TypeError, message: /^no canonical JSON/ });
  }
});

function isWellFormed(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value !== "object" || value === null) return true;
  return Object.entries(value).every(([name, member]) => name.isWellFormed() && isWellFormed(member));
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

// --- JSON texts, some of them at fault -------------------------------------------------------------------------------

const rawString = fc
  .array(
    fc.constantFrom(
      "a",
      "b",
      "é",
      "😀",
      "\\n",
      '\\"',
      "\\\\",
      "\\u0061",
      "\\ud83d\\ude00",
      "\\ud800",
      "\\udfff",
      ":",
      "{",
      "[",
      ",",
    ),
    { maxLength: 3 },
  )
  .map((parts) => `"${parts.join("")}"`);
const rawNumber = fc.constantFrom(
  "0",
  "-0",
  "1",
  "1.5",
  "1e3",
  "1e308",
  "1e309",
  "9007199254740991",
  "9007199254740992",
  "-9007199254740993",
  "1e-9",
);
const space = fc.constantFrom("", " ", "\n", "\t");

const { value: rawJson } = fc.letrec<{ value: string }>((tie) => {
  const members = fc.array(fc.tuple(rawString, space, tie("value")), { maxLength: 4 });
  return {
    value: fc.oneof(
      { depthSize: "small" },
      rawString,
      rawNumber,
      fc.constantFrom("true", "false", "null"),
      members.map((items) => `{${items.map(([name, gap, value]) => `${name}${gap}:${value}`).join(",")}}`),
      fc.array(tie("value"), { maxLength: 4 }).map((items) => `[${items.join(" , ")}]`),
      fc
        .tuple(fc.constantFrom(30, 63, 64, 65), tie("value"))
        .map(([deep, value]) => "[".repeat(deep) + value + "]".repeat(deep)),
    ),
  };
});

// --- the reference: a parser by characters, from RFC 8259's grammar and nothing else ----------------------------------

function referenceVerdict(text: string): string {
  if (bracketDepth(text) > 64) return "413";
  let at = 0;
  const fail = (): never => {
    throw new SyntaxError(`at ${at}`);
  };
  const skip = () => {
    while (at < text.length && " \t\n\r".includes(text[at]!)) at++;
  };
  const eat = (expected: string) => {
    for (const char of expected) if (text[at++] !== char) fail();
  };
  const digits = () => {
    const from = at;
    while (text[at]! >= "0" && text[at]! <= "9") at++;
    if (at === from) fail();
  };
  const string = (): string => {
    eat('"');
    let out = "";
    for (;;) {
      const char = text[at++] ?? fail();
      if (char === '"') break;
      if (char < " ") fail();
      if (char !== "\\") {
        out += char;
        continue;
      }
      const escape = text[at++] ?? fail();
      if (escape === "u") {
        const hex = text.slice(at, (at += 4));
        if (hex.length < 4 || [...hex].some((digit) => !"0123456789abcdefABCDEF".includes(digit))) fail();
        out += String.fromCharCode(parseInt(hex, 16));
      } else {
        const index = '"\\/bfnrt'.indexOf(escape);
        if (index === -1) fail();
        out += '"\\/\b\f\n\r\t'[index];
      }
    }
    for (let i = 0; i < out.length; i++) {
      const unit = out.charCodeAt(i);
      if (unit < 0xd800 || unit > 0xdfff) continue;
      const next = out.charCodeAt(i + 1);
      if (unit > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff)) fail();
      i++;
    }
    return out;
  };
  const number = () => {
    const from = at;
    if (text[at] === "-") at++;
    if (text[at] === "0") at++;
    else digits();
    if (text[at] === ".") at++, digits();
    if (text[at] === "e" || text[at] === "E") {
      at++;
      if (text[at] === "+" || text[at] === "-") at++;
      digits();
    }
    if (!(Math.abs(parseFloat(text.slice(from, at))) <= 2 ** 53 - 1)) fail();
  };
  const list = (close: string, item: () => void) => {
    at++;
    skip();
    if (text[at] === close) return void at++;
    for (;;) {
      item();
      skip();
      if (text[at] === close) return void at++;
      eat(",");
    }
  };
  const value = (): void => {
    skip();
    const char = text[at];
    if (char === '"') string();
    else if (char === "[") list("]", value);
    else if (char === "{") {
      const names: string[] = [];
      list("}", () => {
        skip();
        const name = string();
        if (names.includes(name)) fail();
        names.push(name);
        skip();
        eat(":");
        value();
      });
    } else if (char === "t") eat("true");
    else if (char === "f") eat("false");
    else if (char === "n") eat("null");
    else number();
  };
  try {
    value();
    skip();
    return at === text.length ? "accepted" : "400";
  } catch (error) {
    if (error instanceof SyntaxError) return "400";
    throw error;
  }
}

/** How deep brackets outside strings go, judged before anything else, as a door must that doesn't yet know the rest. */
function bracketDepth(text: string): number {
  let [depth, deepest] = [0, 0];
  for (const token of text.match(/"(?:\\[^]|[^"\\])*(?:"|\\?$)|[{}[\]]/g) ?? []) {
    if (token === "{" || token === "[") deepest = Math.max(deepest, ++depth);
    else if (token === "}" || token === "]") depth--;
  }
  return deepest;
}
