// Settings against a schema: paths, words, and what was meant.
import test from "ava";
import Type from "typebox";
import { nearest } from "../../src/core/nearest.ts";
import { checkSettings, formatPath, settingsOf } from "../../src/core/settings.ts";

test("the nearest word is the one that was meant, or none", (t) => {
  const known = ["listen", "log_level", "data_dir", "tls"];
  t.is(nearest("lisen", known), "listen");
  t.is(nearest("lsiten", known), "listen");
  t.is(nearest("LISTEN", known), "listen");
  t.is(nearest("datadir", known), "data_dir");
  t.is(nearest("loglevel", known), "log_level");
  t.is(nearest("upstream", known), undefined);
  t.is(nearest("x", ["y", "ab"]), undefined);
  t.is(nearest("anything", []), undefined);
});

test("paths are written as people write them", (t) => {
  t.is(formatPath(["railgate", "trust", "authorities", 0, "issuer"]), "railgate.trust.authorities[0].issuer");
  t.is(formatPath(["labels", "a.b"]), 'labels["a.b"]');
  t.is(formatPath([]), "");
});

const schema = Type.Object(
  {
    name: Type.Optional(Type.String({ description: "a text" })),
    list: Type.Optional(
      Type.Array(Type.Object({ n: Type.Integer({ description: "a whole number" }) }, { additionalProperties: false }), {
        description: "a list",
      }),
    ),
    either: Type.Optional(
      Type.Union([Type.String({ minLength: 1 }), Type.Array(Type.String())], { description: "a text or a list" }),
    ),
    gone: Type.Optional(Type.Unsafe<undefined>({ "x-unsupported": "it is gone" })),
    idle: Type.Optional(Type.Unknown({ "x-unused": "it rests" })),
  },
  { additionalProperties: false, description: "a mapping" },
);

test("every fault is named, in the order of the file", (t) => {
  const value = { nmae: "x", list: [{ n: 1 }, { n: 1.5 }, {}, 3], either: "", gone: { a: 1 }, idle: 5, name: null };
  t.deepEqual(checkSettings(schema, value), {
    faults: [
      { path: ["nmae"], message: 'unknown setting, did you mean "name"?' },
      { path: ["list", 1, "n"], message: "must be a whole number" },
      { path: ["list", 2, "n"], message: "is missing" },
      { path: ["list", 3], message: "must be object" },
      { path: ["either"], message: "must be a text or a list" },
      { path: ["gone"], message: "not supported by Railgate, remove it: it is gone" },
    ],
    unused: [{ path: ["idle"], message: "it rests" }],
  });
});

test("what is unsupported may stand there as long as it says nothing", (t) => {
  for (const gone of [{}, false, "", null]) t.deepEqual(checkSettings(schema, { gone }).faults, []);
  for (const gone of [true, 0, [], "x"]) t.is(checkSettings(schema, { gone }).faults.length, 1);
});

test("a schema lists its settings", (t) => {
  t.deepEqual(
    [...settingsOf(schema)].map(({ path }) => path),
    ["name", "list", "list[]", "list[].n", "either", "gone", "idle"],
  );
});
