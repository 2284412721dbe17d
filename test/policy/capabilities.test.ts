// Capabilities: what our host's WASM has and nothing else builds; the rest would fail when first called.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
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

for (const body of [
  "time.now_ns()",
  'http.send({"method": "get", "url": "x"})',
  'sprintf("%d", [1])',
  'regex.match("a", "a")',
  'rand.intn("a", 2)',
  'io.jwt.decode("x")',
  "opa.runtime()",
  'crypto.sha256("x")',
]) {
  test(`${body} does not build`, async (t) => {
    await t.throwsAsync(build(body), { message: /undefined function/ });
  });
}

test("what WASM has itself builds", async (t) => {
  await t.notThrowsAsync(build('concat("/", sort([x | some x in object.keys(input)]))'));
});

test("every capability is one that OPA's WASM compiler implements natively", async (t) => {
  const { builtins } = JSON.parse(readFileSync("policy/capabilities.json", "utf8")) as {
    builtins: { name: string; infix?: string; relation?: boolean; decl: { args?: unknown[]; variadic?: unknown } }[];
  };
  const callable = builtins.filter(
    ({ name, infix, relation }) => !infix && !relation && !/^(internal|rego)\.|^(assign|eq)$/.test(name),
  );
  const needed = await inDirectory(async (directory) => {
    const rules = callable.map(
      ({ name, decl }, i) => `r${i} := ${name}(${(decl.args ?? []).map((_, n) => `input.a${n}`).join(", ")})`,
    );
    writeFileSync(
      join(directory, "p.rego"),
      `package p\n\n${rules.join("\n")}\n\nx := [${rules.map((_, i) => `r${i}`).join(", ")}]\n`,
    );
    const plan = JSON.parse(await planOf(directory)) as { static: { builtin_funcs?: { name: string }[] } };
    const wasm = await wasmImports(directory);
    return { planned: (plan.static.builtin_funcs ?? []).length, wasm };
  });
  t.true(needed.planned >= callable.length);
  t.deepEqual(needed.wasm, {});
});

async function planOf(directory: string): Promise<string> {
  const bundle = join(directory, "plan.tar.gz");
  await opa("build", "-t", "plan", "-e", "p/x", "-o", bundle, join(directory, "p.rego"));
  const { readBundleFiles } = await import("../../src/policy/bundle-files.ts");
  return new TextDecoder().decode((await readBundleFiles(readFileSync(bundle))).get("plan.json"));
}

/** The builtins that the module would ask its host for: `{name: id}`. */
async function wasmImports(directory: string): Promise<object> {
  const bundle = join(directory, "wasm.tar.gz");
  await opa("build", "-t", "wasm", "-e", "p/x", "-o", bundle, join(directory, "p.rego"));
  const { readBundleFiles } = await import("../../src/policy/bundle-files.ts");
  const module = await WebAssembly.compile(
    (await readBundleFiles(readFileSync(bundle))).get("policy.wasm") as Uint8Array<ArrayBuffer>,
  );
  const memory = new WebAssembly.Memory({ initial: 8 });
  const unused = () => 0;
  const env = {
    memory,
    opa_abort: unused,
    opa_println: unused,
    opa_builtin0: unused,
    opa_builtin1: unused,
    opa_builtin2: unused,
    opa_builtin3: unused,
    opa_builtin4: unused,
  };
  const { exports } = await WebAssembly.instantiate(module, { env });
  const { builtins, opa_json_dump } = exports as Record<string, (value?: number) => number>;
  const text = new Uint8Array(memory.buffer, opa_json_dump!(builtins!()));
  return JSON.parse(new TextDecoder().decode(text.subarray(0, text.indexOf(0)))) as object;
}
