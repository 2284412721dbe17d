// Sigstore bundles verified with nothing but what is pinned: for a command line that needs no node.
import { readFileSync } from "node:fs";
import { ConfigError } from "../core/errors.ts";
import type { ProvenanceStep } from "../core/schema/input.ts";
import type { ProvenanceAnswer } from "../core/schema/provenance.ts";
import type { Config } from "../node/config/config.ts";
import { provenanceOptions } from "../node/config/provenance.ts";
import { described } from "../node/provenance.ts";
import { makeVerifier } from "../trust/provenance/verify.ts";

export type { ProvenanceAnswer } from "../core/schema/provenance.ts";

/** What was found out of one file. */
export type BundleReport = { readonly file: string } & (
  | ({ readonly ok: true } & Omit<ProvenanceAnswer, "bundle_digest" | "stored">)
  | { readonly ok: false; readonly step: ProvenanceStep; readonly message: string }
);

/**
 * @param artifact that they must be about; undefined: whatever they are.
 * @throws ConfigError nothing is pinned, or not readable. @throws Error a file cannot be read.
 */
export function verifyBundles(
  trust: Config["trust"],
  files: readonly string[],
  artifact: string | undefined,
): BundleReport[] {
  const config = provenanceOptions(trust.provenance);
  if (config === undefined)
    throw new ConfigError("railgate.trust.provenance", "pins no trusted root, so no bundle can be verified");
  const { verify } = makeVerifier(config);
  return files.map((file) => {
    const verdict = verify(readFileSync(file === "-" ? 0 : file));
    if (!verdict.ok) return { file, ok: false, step: verdict.step, message: verdict.message };
    const said = described(verdict.proven);
    if (artifact !== undefined && !said.subjects.includes(artifact))
      return { file, ok: false, step: "subject", message: `it is not about ${artifact}` };
    return { file, ok: true, ...said };
  });
}
