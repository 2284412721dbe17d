// Capabilities: what our host's WASM has and nothing else builds; the rest would fail when first called.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { capabilitiesText } from "../../scripts/capabilities.ts";
import { HOST_BUILTINS, loadBuiltins } from "../../src/policy/builtins/registry.ts";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import { callsOf } from "../../src/policy/calls.ts";
import { importedBuiltins } from "../../src/policy/evaluator.ts";
import { inDirectory, opa } from "./law.ts";

async function build(body: string): Promise<string> {
  return inDirectory(async (directory) => {
    writeFileSync(join(directory, "p.rego"), `package p\n\nx := ${body}\n`);
    return opa(
      "build",
      "-t",
      "wasm",
      "-e",
      "p/x",
      "--capabilities",
      "policy/capabilities.json",
      "-o",
      join(directory, "b.tar.gz"),
      join(directory, "p.rego"),
    );
  });
}

/** One is refused when building, by file and line; the words are the compiler's. */
for (const body of [
  "time.now_ns()",
  'http.send({"method": "get", "url": "x"})',
  'rand.intn("a", 2)',
  "opa.runtime()",
  'uuid.rfc4122("a")',
  'net.lookup_ip_addr("localhost")',
  'trace("a")',
  'rego.parse_module("a.rego", "package a")',
  'io.jwt.encode_sign({"alg": "HS256"}, {}, {"kty": "oct", "k": "aa"})',
  'graphql.is_valid("query", "schema")',
]) {
  test(`${body} does not build`, async (t) => {
    await t.throwsAsync(build(body), { message: /p\.rego:3: rego_type_error: undefined function/ });
  });
}

test("what WASM has itself builds, and what the host adds", async (t) => {
  await t.notThrowsAsync(build('concat("/", sort([x | some x in object.keys(input)]))'));
  await t.notThrowsAsync(build('regex.replace(sprintf("%d", [semver.compare("1.0.0", "1.0.1")]), "a", "b")'));
});

test("the capabilities are WASM's own builtins and those of the host, and no others", async (t) => {
  t.is(readFileSync("policy/capabilities.json", "utf8"), await capabilitiesText());
  const { builtins } = JSON.parse(readFileSync("policy/capabilities.json", "utf8")) as { builtins: { name: string }[] };
  const names = builtins.map(({ name }) => name);
  t.deepEqual(
    HOST_BUILTINS.filter((name) => !names.includes(name)),
    [],
  );
});

test("each family has the builtins that it is registered with", async (t) => {
  t.deepEqual(Object.keys(await loadBuiltins(HOST_BUILTINS)).sort(), [...HOST_BUILTINS]);
});

/** A call of the host costs a microsecond or more, and an expression on each image tripled what an admission costs. */
test("the law itself calls no builtin of the host, and no regular expression", async (t) => {
  const files = await readBundleFiles(readFileSync("bundles/railgate.tar.gz"));
  t.deepEqual(await importedBuiltins(files.get("policy.wasm")!), []);
  const slow = ["regex.match", "regex.is_valid", "regex.find_all_string_submatch_n", "glob.match", "json.unmarshal"];
  t.deepEqual(
    slow.flatMap((name) => callsOf(name, files)),
    [],
  );
});
