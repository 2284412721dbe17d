// What an event's text is without its hash: found in the text where it plainly is canonical, and the same as writing it anew.
import test from "ava";
import fc from "fast-check";
import { canonicalWithout, textWithout } from "../../src/evidence/verify/canonical.ts";

const byWritingAnew = (text: string, value: Record<string, unknown>, omitted: string): string | undefined => {
  const canonical = canonicalWithout(value, omitted);
  return canonical?.whole === text ? canonical.without : undefined;
};

const NAMES = [
  "actor",
  "details",
  "event_hash",
  "id",
  "sequence",
  "z",
  "\u20ac",
  "\ud83d\ude00",
  "__proto__",
  "10",
  "9",
];
const value = fc.jsonValue({ maxDepth: 3, noUnicodeString: false });
const object = fc
  .uniqueArray(fc.constantFrom(...NAMES))
  .chain((names) =>
    fc.tuple(
      fc.constant(names),
      fc.array(fc.oneof(value, fc.string({ unit: "binary" })), { minLength: 11, maxLength: 11 }),
    ),
  );

test("the text without a member is what writing it anew says, for canonical text and any other", (t) => {
  fc.assert(
    fc.property(object, fc.constantFrom(...NAMES), fc.nat(2), ([names, values], omitted, spaces) => {
      const given = names.map((name, i) => `${JSON.stringify(name)}:${JSON.stringify(values[i])}`).join(",");
      const read = JSON.parse(`{${given}}`) as Record<string, unknown>;
      const canonical = canonicalWithout(read, omitted)?.whole;
      for (const text of [canonical, `{${given}}`, JSON.stringify(read, null, spaces)])
        if (text !== undefined) {
          const parsed = JSON.parse(text) as Record<string, unknown>;
          t.is(textWithout(text, parsed, omitted), byWritingAnew(text, parsed, omitted));
        }
    }),
    { numRuns: 300 },
  );
});

test("what only looks canonical is none, and a name within a text is no member", (t) => {
  const hash = '"event_hash":"x"';
  for (const [text, expected] of [
    [`{"a":1,${hash},"z":2}`, '{"a":1,"z":2}'],
    [`{"details":{${hash}},${hash},"z":"y"}`, `{"details":{${hash}},"z":"y"}`],
    [`{${hash},"z":{"event_hash":"x","y":1}}`, '{"z":{"event_hash":"x","y":1}}'],
    [`{${hash},"z":"\\"event_hash\\":\\"x\\","}`, '{"z":"\\"event_hash\\":\\"x\\","}'],
    [`{"a":1,${hash}}`, '{"a":1}'],
    [`{"a":"\\ud800",${hash},"z":2}`, undefined],
    [`{"a":9007199254740993,${hash},"z":2}`, undefined],
    [`{"a":1e21,${hash},"z":2}`, undefined],
    [`{"a":-0,${hash},"z":2}`, undefined],
    [`{"a":1,"a":1,${hash},"z":2}`, undefined],
    [`{"b":1,"a":1,${hash},"z":2}`, undefined],
    [`{"a":"\\u0041",${hash},"z":2}`, undefined],
    [`{"a": 1,${hash},"z":2}`, undefined],
  ] as const)
    t.is(textWithout(text, JSON.parse(text), "event_hash"), expected, text);
});
