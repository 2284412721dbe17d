// The rules that the layout keeps: imports point one way, the core is pure, and every file says what it is for.
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import test from "ava";

const ROOT = new URL("../", import.meta.url).pathname;
const SRC = join(ROOT, "src");

function filesUnder(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)));
}

const source = (file: string) => readFileSync(join(ROOT, file), "utf8");

function imports(file: string): string[] {
  return [...source(file).matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map(([, name]) => name!);
}

/** Layers, lowest first; a file may import from its own layer and from lower ones. */
const LAYERS: [name: string, of: RegExp][] = [
  ["core, archive, outbound, threads", /^src\/(?:core|archive|outbound|threads)\//],
  ["store", /^src\/store\//],
  ["policy, trust", /^src\/(?:policy|trust)\//],
  ["policies, evidence", /^src\/(?:policies|evidence)\//],
  ["gate", /^src\/gate\//],
  ["node", /^src\/node\//],
  ["library", /^src\/(?:library|client|workshop)\//],
  ["clusters", /^src\/kubernetes\//],
  ["doors", /^src\/http\//],
  ["command line, embedded", /^src\/(?:cli|embed)\//],
];

function layerOf(file: string): number {
  return LAYERS.findIndex(([, of]) => of.test(file));
}

test("imports point one way", (t) => {
  const wrong: string[] = [];
  for (const file of filesUnder(SRC)) {
    t.not(layerOf(file), -1, `${file} is in no layer`);
    for (const name of imports(file).filter((each) => each.startsWith("."))) {
      const target = relative(ROOT, join(ROOT, file, "..", name));
      if (target.startsWith("src/") && layerOf(target) > layerOf(file)) wrong.push(`${file} → ${target}`);
    }
  }
  t.deepEqual(wrong, []);
});

// Settings are read before there is a node, and say where a door listens and whom it lets in: a door may know them.
const UNDER_LIBRARY = /^src\/(?:gate|store|evidence|policy|policies|trust|node(?!\/config\/))\//;

test("doors ask the library, and nothing under it", (t) => {
  const skipping = ["http", "kubernetes", "cli", "embed"]
    .flatMap((door) => filesUnder(join(SRC, door)))
    .flatMap((file) =>
      imports(file)
        .filter((name) => name.startsWith("."))
        .map((name) => relative(ROOT, join(ROOT, file, "..", name)))
        .filter((target) => UNDER_LIBRARY.test(target))
        .map((target) => `${file} → ${target}`),
    );
  t.deepEqual(skipping, []);
});

test("a door knows no other door, but for the command that opens one", (t) => {
  const opening = filesUnder(join(SRC, "cli")).filter((file) => imports(file).some((name) => name.includes("/http/")));
  t.deepEqual(opening, ["src/cli/commands/serve.ts"]);
  const embedded = filesUnder(join(SRC, "embed")).flatMap((file) =>
    imports(file).filter((name) => name.includes("../")),
  );
  t.deepEqual([...new Set(embedded)].sort(), ["../http/host.ts", "../http/socket-file.ts", "../library/index.ts"]);
});

test("imports never run in a circle, not even those of types", (t) => {
  const done = new Set<string>();
  const circles: string[] = [];
  const follow = (file: string, way: readonly string[]): void => {
    if (way.includes(file)) circles.push([...way.slice(way.indexOf(file)), file].join(" → "));
    else if (!done.has(file)) {
      for (const name of imports(file).filter((each) => each.startsWith(".")))
        follow(relative(ROOT, join(ROOT, file, "..", name)), [...way, file]);
      done.add(file);
    }
  };
  for (const file of filesUnder(SRC)) follow(file, []);
  t.deepEqual(circles, []);
});

test("the core is pure: no input or output, clock, randomness or environment", (t) => {
  const allowed = new Set(["node:crypto"]);
  for (const file of filesUnder(join(SRC, "core"))) {
    for (const name of imports(file).filter((each) => each.startsWith("node:")))
      t.true(allowed.has(name), `${file} imports ${name}`);
    t.notRegex(
      source(file),
      /\bDate\.now\b|new Date\(\)|Math\.random|performance\.now|process\.|random(?:UUID|Bytes|FillSync)|console\./,
      file,
    );
  }
});

/** What is loaded with a file: its imports, types aside. */
const loads = (file: string): string[] =>
  [...source(file).matchAll(/^(?:import|export)\b(?! type)[^;]*?from "([^"]+)"/gm)].map(([, name]) => name!);

/** The file and all that is loaded with it. */
function reachedFrom(start: string): Set<string> {
  const reached = new Set([start]);
  for (const file of reached) {
    for (const name of loads(file)) {
      if (name.startsWith(".")) reached.add(relative(ROOT, join(ROOT, file, "..", name)));
    }
  }
  return reached;
}

test("what evaluates policy runs in browsers: nothing that it imports is Node's", (t) => {
  const reached = reachedFrom("src/policy/index.ts");
  for (const file of reached) {
    for (const name of imports(file)) t.false(name.startsWith("node:"), `${file} imports ${name}`);
    t.notRegex(source(file), /\bBuffer\.|\bprocess\./, file);
  }
  t.true(reached.has("src/policy/evaluator.ts"));
});

test("the committing thread loads nothing but the platform, so that a node starts soon", (t) => {
  const reached = reachedFrom("src/evidence/ledger/committer.ts");
  for (const file of reached) {
    for (const name of loads(file)) t.regex(name, /^(?:node:|\.)/, `${file} imports ${name}`);
  }
  t.true(reached.has("src/store/sqlite/writer.ts"));
});

test("only the configuration reads the environment", (t) => {
  const readers = filesUnder(SRC).filter((file) => source(file).includes("process.env"));
  t.deepEqual(readers, ["src/node/config/config.ts"]);
});

// What is loaded before each of them (test/ends.ts) keeps ava from telling one that forgot it.
test("every test file imports ava, or what declares its tests", (t) => {
  const knowsAva = (file: string): boolean => loads(file).includes("ava");
  for (const file of filesUnder(join(ROOT, "test")).filter((each) => each.endsWith(".test.ts"))) {
    const support = loads(file).filter((name) => name.startsWith("."));
    t.true(knowsAva(file) || support.some((name) => knowsAva(relative(ROOT, join(ROOT, file, "..", name)))), file);
  }
});

test("every file says what it is for in its first line", (t) => {
  for (const dir of ["src", "test", "scripts", "bench", "examples"]) {
    for (const file of filesUnder(join(ROOT, dir)))
      t.regex(source(file).replace(/^#!.*\n/, ""), /^\/\/ \S.{15,}/, file);
  }
});

test("nobody outside the store's folder knows what kind of database it is", (t) => {
  const known = filesUnder(SRC)
    .filter((file) => !file.startsWith("src/store/"))
    .flatMap((file) => imports(file).map((name) => `${file} imports ${name}`))
    .filter((each) => /store\/(?:sqlite|postgres)|node:sqlite| pg$/.test(each));
  t.deepEqual(known, []);
});

test("exports are named", (t) => {
  for (const file of filesUnder(SRC)) t.notRegex(source(file), /^export default/m, file);
});

test("an exported type has its name for itself", (t) => {
  const declared = /^(export )?(?:declare |abstract |async )*(type|interface|class|enum|const|function\*?) (\w+)/gm;
  const [types, files] = [new Set<string>(), new Map<string, Set<string>>()];
  for (const file of filesUnder(SRC)) {
    const text = source(file);
    const lists = [...text.matchAll(/^export (?:type )?\{([^}]*)\}(?! from)/gm)];
    const listed = lists.flatMap(([, names]) => names!.match(/\w+/g)!);
    for (const [, isExported, kind, name] of text.matchAll(declared)) {
      if (!isExported && !listed.includes(name!)) continue;
      if (kind !== "const" && !kind!.startsWith("function")) types.add(name!);
      files.set(name!, (files.get(name!) ?? new Set()).add(file));
    }
  }
  t.true(types.size > 200);
  t.deepEqual(
    [...types].filter((name) => files.get(name)!.size > 1).map((name) => [name, [...files.get(name)!]]),
    [],
  );
});
