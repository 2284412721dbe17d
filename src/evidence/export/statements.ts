// What an export says of itself beside its events: the head, the profile claim, the verifier's inputs, and documents about snapshots (spec evidence §6).
import { digestOfHex, EMPTY_SNAPSHOT, HASH_PROFILE, isDigest, pointerTo } from "../../core/digest.ts";
import { canonicalJson } from "../../core/json.ts";
import { CHAIN_FIELDS, METHODS, PROFILE_VERSION, PROFILES } from "../verify/profiles.ts";

/** Members that manifest, claim and verifier inputs say alike. */
export interface ExportHead {
  readonly evidence_profile_id: string;
  readonly profile_version: string;
  readonly verifier_expectations_ref: string;
  readonly producer_identity: { readonly issuer_id: string; readonly producer_id: string };
}

export const headOf = (profile: string, issuer_id: string, producer_id: string): ExportHead => ({
  evidence_profile_id: profile,
  profile_version: PROFILE_VERSION,
  verifier_expectations_ref: "verifier-inputs.json",
  producer_identity: { issuer_id, producer_id },
});

/** Which profiles an export of one profile satisfies: that one, and those that demand less. */
export function profileClaim(head: ExportHead): string {
  const profiles = Object.keys(PROFILES);
  return canonicalJson({
    ...head,
    implements: {
      evidence_profiles: profiles.slice(0, profiles.indexOf(head.evidence_profile_id) + 1),
      default_evidence_profile: head.evidence_profile_id,
      hash_profiles: [HASH_PROFILE],
      export_endpoints: ["/v1/events", "/v1/exports"],
      verifier_inputs_supported: [...CHAIN_FIELDS, "records", "checkpoint", "inclusion_proofs", "key_history"],
    },
  });
}

export interface SegmentOfStream {
  readonly chain_id: string;
  readonly from_sequence: number;
  readonly to_sequence: number;
  readonly chain_segment_ref: string;
}

export const verifierInputs = (head: ExportHead, schema_version: string, segment: SegmentOfStream): string =>
  canonicalJson({
    ...head,
    ...segment,
    ...METHODS,
    hash_profile_id: HASH_PROFILE,
    segment_signature_method: "ed25519-over-rfc8785-without-events-and-signature",
    schema_version,
  });

/** Where a chain segment is, by the digest of its file. */
export const segmentPointer = (digest: string): string => `eosc://evidence/chain/${digest}`;

export const artifactPointer = (hex: string): string => pointerTo(digestOfHex(hex));

const MADE_OF = {
  policy: ["the policy bundle's bytes as received, by SHA-256", "no policy: SHA-256 of []"],
  authority: [
    "the pinned keys that were used, and the digests of what they verified, as canonical JSON (RFC 8785), by SHA-256",
    "no authority was used: SHA-256 of []",
  ],
} as const;

/** What a snapshot id stands for, and where that is. `id` comes first, by which such documents are told from others. */
export function snapshotDocument(member: keyof typeof MADE_OF, id: string): Uint8Array {
  const [something, nothing] = MADE_OF[member];
  return Buffer.from(
    canonicalJson(
      id === EMPTY_SNAPSHOT
        ? { id, made_of: nothing, pointers: [] }
        : { id, made_of: something, pointers: [pointerTo(id)] },
    ),
  );
}

const PROVENANCE_KINDS: ReadonlySet<unknown> = new Set(["provenance_bundle", "trusted_root"]);

/** What of an authority snapshot speaks of where software comes from. */
export function provenanceIn(snapshot: Uint8Array): { kind: string; digest: string }[] {
  const entries = JSON.parse(Buffer.from(snapshot).toString("utf8")) as { kind?: string; digest?: string }[];
  return entries.flatMap(({ kind, digest }) =>
    PROVENANCE_KINDS.has(kind) && isDigest(digest) ? [{ kind: kind!, digest }] : [],
  );
}
