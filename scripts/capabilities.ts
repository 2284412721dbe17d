// What policies may be built with (`policy/capabilities.json`): of all that OPA knows, what its WASM has itself and what our host adds.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readBundleFiles } from "../src/policy/bundle-files.ts";
import { whyRefused } from "../src/policy/builtins/registry.ts";
import { importedBuiltins } from "../src/policy/evaluator.ts";
import { runOpa } from "../src/workshop/opa.ts";

interface Declared {
  readonly name: string;
  readonly infix?: string;
  readonly relation?: boolean;
  readonly decl: { readonly args?: readonly unknown[] };
}

interface Capabilities {
  readonly builtins: readonly Declared[];
}

/** Of the compiler and of `opa test` alone: no call of them is left in a module. */
const COMPILED_AWAY = /^(?:assign|eq|print|rego\.metadata\..*|internal\.(?:print|test_case))$/;
/** Written by the compiler where statements are kept that a build takes out. */
const NEVER_BUILT = /^internal\.(?:print|test_case)$/;

/** The content of `policy/capabilities.json`. */
export async function capabilitiesText(): Promise<string> {
  const { builtins, ...rest } = JSON.parse(await opa("capabilities", "--current")) as Capabilities;
  const imported = new Set(await importedOf(builtins));
  const had = builtins.filter(
    ({ name }) => !NEVER_BUILT.test(name) && !(imported.has(name) && whyRefused(name) !== undefined),
  );
  const members = Object.entries(rest).map(([name, value]) => `,\n  ${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  return `{\n  "builtins": [\n${had.map((each) => `    ${JSON.stringify(each)}`).join(",\n")}\n  ]${members.join("")}\n}\n`;
}

/** Those that a module which calls every builtin asks its host for; the rest is WASM's own. */
async function importedOf(builtins: readonly Declared[]): Promise<string[]> {
  const callable = builtins.filter(({ name, infix, relation }) => !infix && !relation && !COMPILED_AWAY.test(name));
  const directory = mkdtempSync(join(tmpdir(), "railgate-capabilities-"));
  try {
    // In the language of before 1.0, since in today's a call of what is deprecated is an error.
    const rules = callable.map(
      ({ name, decl }, i) => `r${i} = ${name}(${(decl.args ?? []).map((_, n) => `input.a${n}`).join(", ")}) { true }`,
    );
    writeFileSync(
      join(directory, "p.rego"),
      `package p\n\n${rules.join("\n")}\n\nx = [${rules.map((_, i) => `r${i}`).join(", ")}] { true }\n`,
    );
    const bundle = join(directory, "b.tar.gz");
    await opa("build", "--v0-compatible", "-t", "wasm", "-e", "p/x", "-o", bundle, join(directory, "p.rego"));
    return await importedBuiltins((await readBundleFiles(readFileSync(bundle))).get("policy.wasm")!);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function opa(...args: string[]): Promise<string> {
  const run = await runOpa(args);
  if (run.status !== 0) throw new Error(`opa ${args[0]}: ${run.stderr}${run.stdout}`);
  return run.stdout;
}
