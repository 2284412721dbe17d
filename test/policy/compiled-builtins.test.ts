// Which builtins that can fail a module calls of those that are compiled into it, as told from the module alone.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import { compiledBuiltins } from "../../src/policy/compiled-builtins.ts";
import { inDirectory, opa } from "./law.ts";

const calls = (body: string): Promise<string[] | undefined> =>
  inDirectory(async (directory) => {
    const [source, built] = [join(directory, "p.rego"), join(directory, "b.tar.gz")];
    writeFileSync(source, `package p\n\nx if {\n\t${body}\n}\n`);
    await opa("build", "-t", "wasm", "-e", "p/x", "-o", built, source);
    return compiledBuiltins((await readBundleFiles(readFileSync(built))).get("policy.wasm")!);
  });

test("those that can fail are named, by their functions", async (t) => {
  t.deepEqual(await calls('to_number(input.s) + count(input.l) > 1\n\tstartswith(input.s, "a")'), [
    "opa_agg_count",
    "opa_arith_plus",
    "opa_strings_startswith",
    "opa_to_number",
  ]);
});

test("comparisons, types and membership cannot fail, and the host's are not compiled in", async (t) => {
  t.deepEqual(
    await calls(
      'input.user == "a"\n\tis_string(input.b)\n\tsome each in input.c\n\teach != 1\n\thex.encode("a") == "61"',
    ),
    [],
  );
});

test("a module that names no functions cannot tell", (t) => {
  t.is(compiledBuiltins(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])), undefined);
});
