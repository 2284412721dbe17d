// Evaluates the law of the working tree both ways: by OPA itself and compiled to WASM.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as sdk from "@open-policy-agent/opa-wasm";
import { runOpa } from "../../src/workshop/opa.ts";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import type { Json, JsonObject } from "./corpus.ts";

// The SDK's ES module has its functions on the default export only, which its types leave out.
const { loadPolicy } = (sdk as unknown as { default: typeof sdk }).default;

export const ADMISSION = "railgate/admission/decision";

export interface Decision {
  outcome: string;
  envelope: { declared: string | null; required: string; triggers: Json };
  refusals: { rule: string; code: string; class: string; pointer: string; params: JsonObject }[];
  obligations: Json;
  exceptions?: Json;
  rail: { least_level: string };
}

/**
 * Copies the law to `directory` as the tests know it: with the settings that they bring and no extension, so that an operator's
 * own leave the tests as they are.
 * @param options `tests: false` leaves the law's own out, but for what others' build on.
 */
export function copyLaw(directory: string, { tests = true }: { tests?: boolean } = {}): void {
  const leftOut = (path: string): boolean =>
    /railgate\/extensions\/./.test(path) || (!tests && /_test\.rego$/.test(path) && !path.includes("/fixture/"));
  cpSync("policy", directory, { recursive: true, filter: (path) => !leftOut(path) });
  cpSync("test/corpus/settings.json", join(directory, "railgate/settings/data.json"));
}

/** The law as the tests know it, for all tests of this process. */
const lawDirectory = mkdtempSync(join(tmpdir(), "railgate-law-"));
copyLaw(lawDirectory);
process.on("exit", () => rmSync(lawDirectory, { recursive: true }));

export const LAW = lawDirectory;

/** Runs OPA and returns its standard output; throws with what it said where it fails. */
export async function opa(...args: string[]): Promise<string> {
  const run = await runOpa(args);
  if (run.status !== 0) throw new Error(`opa ${args.join(" ")}: ${run.stderr}${run.stdout}`);
  return run.stdout;
}

/** Calls `work` with a directory that is gone afterwards. */
export async function inDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "railgate-policy-"));
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The decisions of `opa eval` on all inputs, in one process. */
export async function decideByOpa(
  inputs: readonly JsonObject[],
  policy: readonly string[] = [LAW],
): Promise<Decision[]> {
  return inDirectory(async (directory) => {
    const file = join(directory, "cases.json");
    writeFileSync(file, JSON.stringify({ cases: inputs }));
    const each = "[d | some case in data.cases; d := data.railgate.admission.decision with input as case]";
    const paths = policy.flatMap((path) => ["--data", path]);
    const result = JSON.parse(
      await opa("eval", ...paths, "--data", file, "--ignore", "capabilities.json", "--ignore", "schemas", each),
    ) as { result: [{ expressions: [{ value: Decision[] }] }] };
    const decisions = result.result[0].expressions[0].value;
    if (decisions.length !== inputs.length)
      throw new Error(`${inputs.length - decisions.length} inputs have no decision`);
    return decisions;
  });
}

/** Compiles the policy as the bundle does and returns a function that evaluates an entrypoint. */
export async function compileLaw(
  paths: readonly string[] = [LAW],
  entrypoints: readonly string[] = [],
): Promise<(input: unknown, entrypoint?: string) => unknown> {
  return inDirectory(async (directory) => {
    const bundle = join(directory, "bundle.tar.gz");
    const entrypointFlags = [ADMISSION, ...entrypoints].flatMap((entrypoint) => ["-e", entrypoint]);
    await opa(
      "build",
      "-t",
      "wasm",
      ...entrypointFlags,
      "--capabilities",
      "policy/capabilities.json",
      "--ignore",
      "*_test.rego",
      "--ignore",
      "capabilities.json",
      "--ignore",
      "schemas",
      "-o",
      bundle,
      ...paths,
    );
    const files = await readBundleFiles(readFileSync(bundle));
    const policy = await loadPolicy(files.get("policy.wasm") as Uint8Array<ArrayBuffer>);
    policy.setData(JSON.parse(new TextDecoder().decode(files.get("data.json"))) as object);
    return (input, entrypoint = ADMISSION) => (policy.evaluate(input, entrypoint) as [{ result: unknown }])[0].result;
  });
}
