// One Sigstore bundle, as the protocol reads: bounded, read, signed by whom, stating what, by somebody who may say so. Offline.
import type { ProvenanceStep } from "../../core/schema/input.ts";
import { readBundle } from "./bundle.ts";
import { identify, sourcesOf, type Identity } from "./identity.ts";
import { pinRoot, type ProvenanceKey, type Root } from "./root.ts";
import { verifySigned } from "./signed.ts";
import { readStatement } from "./statement.ts";
import { StepError } from "./steps.ts";

export interface ProvenanceConfig {
  /** A Sigstore TrustedRoot, as its file has it. */
  readonly trustedRoot: Uint8Array;
  readonly keys: readonly ProvenanceKey[];
  readonly identities: readonly Identity[];
  /** Whether bundles that hold are kept, for whoever names their artifact later. */
  readonly store: boolean;
}

/** What a bundle proves. */
export interface BundleProof {
  /** The artifacts it is about: `sha256:<hex>`, `sha512:<hex>`. */
  readonly subjects: readonly string[];
  readonly issuer: string;
  readonly subject: string;
  readonly builder: string;
  /** Null where nothing says. */
  readonly source: string | null;
  readonly predicate_type: string;
  readonly level: number;
  readonly signed_at_ms: number;
}

/** A bundle's, whatever the artifact. It does not change with time. */
export type Verdict =
  | { readonly ok: true; readonly proven: BundleProof }
  | { readonly ok: false; readonly step: ProvenanceStep; readonly message: string };

/** Verifies bundles, one at a time; never throws for what a bundle is. */
export type BundleVerifier = (bundle: Uint8Array) => Verdict;

/** @throws ConfigError naming the setting. */
export function makeVerifier(config: ProvenanceConfig): { readonly root: Root; readonly verify: BundleVerifier } {
  const root = pinRoot(config.trustedRoot, config.keys);
  return { root, verify: (bytes) => judged(() => prove(bytes, root, config.identities)) };
}

function judged(work: () => BundleProof): Verdict {
  try {
    return { ok: true, proven: work() };
  } catch (error) {
    if (error instanceof StepError) return { ok: false, step: error.step, message: error.message };
    return { ok: false, step: "malformed", message: "a part of it cannot be read" };
  }
}

function prove(bytes: Uint8Array, root: Root, identities: readonly Identity[]): BundleProof {
  const bundle = readBundle(bytes);
  const signer = verifySigned(bundle, root);
  const statement = readStatement(bundle);
  const { level } = identify(identities, signer, statement);
  return {
    subjects: statement.subjects,
    issuer: signer.issuer,
    subject: signer.subject,
    builder: statement.builder,
    source: sourcesOf(signer, statement)[0] ?? null,
    predicate_type: statement.predicateType,
    level: Math.min(level, statement.levelMax ?? level),
    signed_at_ms: signer.signedAtMs,
  };
}
