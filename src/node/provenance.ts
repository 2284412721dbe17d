// Bundles that are submitted and kept, so that whoever names their artifact by digest alone is judged by them.
import { ProvenanceRefusedError } from "../core/errors.ts";
import { parseStrict } from "../core/json.ts";
import { sealBundle } from "../core/provenance.ts";
import type { KeptBundle, ProvenanceAnswer } from "../core/schema/provenance.ts";
import type { ActedBy, Recorder } from "../evidence/ledger/recorder.ts";
import type { StoreReader } from "../store/store.ts";
import type { Provenance } from "../trust/provenance/provenance.ts";
import { bundleStore, keeping } from "../trust/provenance/store.ts";
import type { BundleProof } from "../trust/provenance/verify.ts";

export interface ProvenanceParts {
  readonly provenance: Provenance;
  readonly recorder: Recorder;
  readonly store: StoreReader;
  readonly now: () => number;
}

/**
 * Verifies a bundle and keeps it by the digest of each artifact it is about, on record (`authority.check`).
 * @throws ProvenanceRefusedError with the step that failed: nothing is kept, and nothing on record.
 * @throws EvidenceUnavailableError EVI-01: nothing is kept.
 */
export async function submitBundle(
  { provenance, recorder, now }: ProvenanceParts,
  bundle: object,
  by: ActedBy,
): Promise<ProvenanceAnswer> {
  const sealed = sealBundle(bundle);
  const verdict = await provenance.verify(sealed);
  if (!verdict.ok) throw new ProvenanceRefusedError(verdict.step, verdict.message);
  const { proven } = verdict;
  const said = { bundle_digest: sealed.digest, ...described(proven) };
  if (!provenance.keeps) return { ...said, stored: false };
  const states = proven.subjects.map((subject) => keeping(subject, sealed.digest, now()));
  const { subjects, ...details } = said;
  const first = subjects.slice(0, SUBJECTS_TOLD_MAX);
  await recorder.record(
    "authority.check",
    { act: "provenance", ...details, artifacts: subjects.length, subjects: first },
    by,
    states,
    sealed,
  );
  return { ...said, stored: true };
}

/** An event always fits; the bundle, which it points to, names them all. */
const SUBJECTS_TOLD_MAX = 16;

/** Bundles kept for an artifact, the newest first, judged by what is pinned now. */
export async function bundlesKept({ provenance, store }: ProvenanceParts, subject: string): Promise<KeptBundle[]> {
  const kept = await bundleStore(store).bundlesOf(subject);
  return Promise.all(
    kept.map(async (bundle): Promise<KeptBundle> => {
      const verdict = await provenance.verify(bundle);
      const head = { bundle_digest: bundle.digest, verified: verdict.ok, error: verdict.ok ? null : verdict.step };
      const said = verdict.ok ? described(verdict.proven) : NOTHING;
      return { ...head, ...said, bundle: parseStrict(bundle.bytes) };
    }),
  );
}

const NOTHING = {
  subjects: null,
  issuer: null,
  subject: null,
  builder: null,
  source: null,
  predicate_type: null,
  level: null,
  signed_at: null,
};

/** As it is told. */
export function described({
  subjects,
  signed_at_ms,
  ...proven
}: BundleProof): Omit<ProvenanceAnswer, "bundle_digest" | "stored"> {
  return { subjects: [...subjects], ...proven, signed_at: new Date(signed_at_ms).toISOString() };
}
