// How ava runs the tests: each file in a process of its own, and what takes longest first, since what begins last runs alone at the end.
import { relative } from "node:path";
import { fileURLToPath } from "node:url";

const TESTS = fileURLToPath(new URL("test", import.meta.url));

/** By what each was seen to take; any order is right, and this one ends soonest. */
const LONG = [
  "docs/pages",
  "mesh/exhaustive",
  "mesh/mutants",
  "http/promotion",
  "host/signals",
  "host/rounds",
  "package/package",
  "simulation/one-node",
  "simulation/replicas",
  "simulation/first-start",
  "simulation/nodes",
  "http/hostile",
  "workshop/authors",
].map((name) => `${name}.test.ts`);

/** @param {string} file an absolute path */
const place = (file) => (LONG.includes(relative(TESTS, file)) ? LONG.indexOf(relative(TESTS, file)) : LONG.length);

export default {
  extensions: { ts: "module" },
  files: ["test/**/*.test.ts"],
  require: ["./test/ends.ts"],
  concurrency: 3,
  workerThreads: false,
  timeout: "2m",
  /** @param {string} a @param {string} b */
  sortTestFiles: (a, b) => place(a) - place(b) || (a < b ? -1 : 1),
};
