// Provenance as it is told: what a Sigstore bundle proves, and which bundles are kept for an artifact (spec trust §2).
import Type, { type Static } from "typebox";
import { closed, Digest, nullable, oneOf, Time } from "./base.ts";
import { PROVENANCE_STEPS } from "./input.ts";

/** The digest of an artifact, as in-toto statements name them. */
export const ArtifactDigest = Type.String({
  pattern: "^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$",
  description: "`sha256:` and 64 hex digits, or `sha512:` and 128",
});

/** What is in one is the verifier's to say. */
export const SigstoreBundleSchema = Type.Object({}, { description: "a Sigstore bundle, v0.1 to v0.3" });

const PROVEN = {
  subjects: Type.Array(Type.String(), { description: "digests of the artifacts it is about" }),
  issuer: Type.String({ description: "who identified the signer; of a key, its id" }),
  subject: Type.String({ description: "the signer; of a key, its id" }),
  builder: Type.String({ description: "who built it; of a summary, who verified it" }),
  source: nullable(Type.String()),
  predicate_type: Type.String(),
  level: Type.Integer({ description: "the SLSA build level that it counts for" }),
  signed_at: Time,
};

export const ProvenanceAnswerSchema = closed({
  bundle_digest: Digest,
  ...PROVEN,
  stored: Type.Boolean({ description: "whether it is kept by the digests of its artifacts" }),
});

/** A bundle that is kept. One that no longer holds, since what is pinned has changed, counts for nothing. */
const KeptBundleSchema = closed({
  bundle_digest: Digest,
  verified: Type.Boolean(),
  error: nullable(oneOf(PROVENANCE_STEPS, { description: "the step that fails now" })),
  ...Object.fromEntries(Object.entries(PROVEN).map(([name, schema]) => [name, nullable(schema)])),
  bundle: Type.Unknown({ description: "the bundle itself" }),
});

export const ProvenanceListSchema = closed({ digest: ArtifactDigest, items: Type.Array(KeptBundleSchema) });

export type ProvenanceAnswer = Static<typeof ProvenanceAnswerSchema>;

/** See {@link KeptBundleSchema}. */
export type KeptBundle = Pick<ProvenanceAnswer, "bundle_digest"> & {
  readonly verified: boolean;
  readonly error: (typeof PROVENANCE_STEPS)[number] | null;
  readonly bundle: unknown;
} & { readonly [M in keyof typeof PROVEN]: ProvenanceAnswer[M] | null };

export interface ProvenanceList {
  readonly digest: string;
  /** The newest first. */
  readonly items: readonly KeptBundle[];
}
