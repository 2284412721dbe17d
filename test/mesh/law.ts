// The mesh law as the tests drive it: built from the Rego to WASM, whole or with one check taken out, and evaluated as the host does.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MeshCommand, MeshFacts } from "../../src/core/mesh.ts";
import type { Context } from "../../src/core/schema/input.ts";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import { EvaluationError, Evaluator } from "../../src/policy/evaluator.ts";
import { runOpa } from "../../src/workshop/opa.ts";

const POLICY_DIR = new URL("../../policy/", import.meta.url).pathname;
const PACKAGES = ["mesh", "lifecycle", "lib", "refusal/freshness", "refusal/attestation", "settings"];

/** `input` of the mesh law. */
export interface MeshInput {
  readonly request: MeshCommand;
  readonly facts: MeshFacts;
  readonly context: Context;
}

/** A Rego file of the policy, by its path, with other text. */
export interface Mutation {
  readonly file: string;
  readonly text: string;
}

const CONNECTED: Context = {
  partition: { state: "connected", since: null },
  policy: { age_s: null, snapshot_id: `sha256:${"0".repeat(64)}` },
  authority: { age_s: null, snapshot_id: `sha256:${"0".repeat(64)}` },
};

export const context = (over: Partial<Context> = {}): Context => ({ ...CONNECTED, ...over });

/** Builds `railgate/<law>/decision` with OPA and loads it; a tenth of a second. */
export async function buildLaw(law: "mesh" | "lifecycle", mutation?: Mutation): Promise<(input: unknown) => unknown> {
  const dir = mkdtempSync(join(tmpdir(), "railgate-law-"));
  try {
    for (const name of PACKAGES)
      cpSync(join(POLICY_DIR, "railgate", name), join(dir, "policy", "railgate", name), { recursive: true });
    if (mutation) writeFileSync(join(dir, "policy", mutation.file), mutation.text);
    const bundle = join(dir, "bundle.tar.gz");
    const args = ["build", "-t", "wasm", "-e", `railgate/${law}/decision`, "--ignore", "*_test.rego", "-o", bundle];
    const { status, stderr, stdout } = await runOpa([...args, join(dir, "policy")]);
    if (status !== 0) throw new Error(`opa build: ${stderr}${stdout}`);
    const files = await readBundleFiles(readFileSync(bundle));
    const data = JSON.parse(new TextDecoder().decode(files.get("data.json"))) as object;
    const evaluator = await Evaluator.load(files.get("policy.wasm")!, data);
    return (input) => {
      try {
        return evaluator.evaluate(`railgate/${law}/decision`, new TextEncoder().encode(JSON.stringify(input)));
      } catch (error) {
        // The host refuses then, as it does what is no decision (POL-03).
        if (error instanceof EvaluationError) return { failed: error.message };
        throw error;
      }
    };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

export function readPolicy(file: string): string {
  return readFileSync(join(POLICY_DIR, file), "utf8");
}
