// What docs/architecture.md names is there, each step of a request's walk is a file one can read, and its words stand once.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";

const ROOT = new URL("../../", import.meta.url).pathname;
const page = readFileSync(join(ROOT, "docs/architecture.md"), "utf8");

test("files and folders that it names exist", (t) => {
  const names = [...page.matchAll(/`((?:[\w.-]+\/)+[\w.-]*)`/g)].map(([, name]) => name!);
  t.true(names.length > 30);
  const places = ["", "src", "src/http", "src/store"];
  for (const name of names.filter((each) => !each.startsWith("ecs-")))
    t.true(
      places.some((place) => existsSync(join(ROOT, place, name))),
      name,
    );
});

test("the way from door to receipt is at most eight files, none over 300 lines", (t) => {
  const steps = [...page.matchAll(/^\| (\d) \| `([^`]+)` \|/gm)].map(
    ([, step, file]) => [Number(step), file!] as const,
  );
  t.deepEqual(
    steps.map(([step]) => step),
    steps.map((_, at) => at + 1),
  );
  t.true(steps.length >= 6 && steps.length <= 8);
  for (const [, file] of steps) t.true(readFileSync(join(ROOT, "src", file), "utf8").split("\n").length <= 301, file);
});

test("every folder of src is on a floor", (t) => {
  for (const folder of readdirSync(join(ROOT, "src"))) t.true(page.includes(`\`src/${folder}\``), folder);
});

test("a word of the glossary is explained once", (t) => {
  const glossary = page.slice(page.indexOf("## Glossary"), page.indexOf("## How to add"));
  const words = [...glossary.matchAll(/\*\*([\w ]+)\*\*/g)].map(([, word]) => word!);
  t.true(words.length > 20);
  t.deepEqual(words, [...new Set(words)]);
});
