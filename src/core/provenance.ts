// The artifacts that a request names, and the bundles it brings for them, as they are verified, kept and named: by digest.
import { canonicalBytes } from "./json.ts";
import { digestOf } from "./event.ts";
import { pinnedDigest, pinnedReference } from "./reference.ts";
import type { ProvenanceFact } from "./schema/input.ts";
import type { AdmissionRequest } from "./schema/request.ts";

/** An image, a firmware or a driver, where it stands in the request. */
export interface NamedArtifact {
  readonly pointer: string;
  /** `sha256:<hex>`; null where it is not pinned by one. */
  readonly digest: string | null;
  /** As it is named: an image's reference, a component's name. */
  readonly name: string | undefined;
  readonly provenance: { readonly verified?: boolean; readonly bundles?: readonly object[] } | undefined;
}

/** A Sigstore bundle: its canonical JSON (RFC 8785), and the digest of that. */
export interface SealedBundle {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

type EnvelopeWithProfile = { kind?: string; [profile: string]: unknown };
type Named = { name?: string; reference?: string; digest?: string; provenance?: NamedArtifact["provenance"] };

const digestOfImage = ({ reference = "" }: Named): string | null =>
  pinnedReference(reference) ? reference.slice(reference.lastIndexOf("@") + 1) : null;
const digestOfComponent = ({ digest = "" }: Named): string | null => (pinnedDigest(digest) ? digest : null);

/** Per kind: the lists that hold artifacts, in the order in which they are reported. */
const ARTIFACT_LISTS: Record<string, [list: string, digestOf: (artifact: Named) => string | null][]> = {
  container: [["images", digestOfImage]],
  vm: [
    ["firmware", digestOfComponent],
    ["drivers", digestOfComponent],
    ["images", digestOfImage],
  ],
  tee: [["images", digestOfImage]],
};

/** The kind that an envelope declares; undefined where it declares none. */
export function envelopeKind(envelope: AdmissionRequest["workload"]["envelope"]): string | undefined {
  return typeof envelope === "object" && Object.hasOwn(envelope, "kind")
    ? (envelope as EnvelopeWithProfile).kind
    : undefined;
}

/** In the order of their lists. */
export function artifactsOf({ workload: { envelope } }: AdmissionRequest): NamedArtifact[] {
  const found: NamedArtifact[] = [];
  const kind = envelopeKind(envelope);
  if (kind === undefined || !Object.hasOwn(ARTIFACT_LISTS, kind)) return found;
  const profile = (envelope as EnvelopeWithProfile)[kind] as Record<string, Named[] | undefined>;
  for (const [list, digestIn] of ARTIFACT_LISTS[kind]!) {
    profile[list]?.forEach((artifact, index) =>
      found.push({
        pointer: ["/workload/envelope", kind, list, index].join("/"),
        digest: digestIn(artifact),
        name: artifact.reference ?? artifact.name,
        provenance: artifact.provenance,
      }),
    );
  }
  return found;
}

const sealed = new WeakMap<object, SealedBundle>();

/** @throws RequestError it is no JSON that round-trips. */
export function sealBundle(bundle: object): SealedBundle {
  let made = sealed.get(bundle);
  if (made === undefined) {
    const bytes = canonicalBytes(bundle);
    made = { digest: digestOf(bytes), bytes };
    sealed.set(bundle, made);
  }
  return made;
}

/** The request as the law sees it: each bundle by its digest, since the law judges what it proves, and it lies beside the evidence. */
export function withBundleDigests(request: AdmissionRequest, artifacts: readonly NamedArtifact[]): AdmissionRequest {
  if (!artifacts.some(({ provenance }) => provenance?.bundles !== undefined)) return request;
  const { workload } = request;
  const { envelope } = workload as { envelope: EnvelopeWithProfile };
  const kind = envelope.kind!;
  const profile = { ...(envelope[kind] as Record<string, unknown>) };
  for (const [list] of ARTIFACT_LISTS[kind]!)
    if (profile[list] !== undefined) profile[list] = (profile[list] as Named[]).map(named);
  return { ...request, workload: { ...workload, envelope: { ...envelope, [kind]: profile } } } as AdmissionRequest;
}

const named = (artifact: Named): object => {
  const bundles = artifact.provenance?.bundles;
  if (bundles === undefined) return artifact;
  return { ...artifact, provenance: { bundles: bundles.map((bundle) => sealBundle(bundle).digest) } };
};

const NOTHING = {
  error: null,
  issuer: null,
  subject: null,
  builder: null,
  source: null,
  predicate_type: null,
  level: null,
  signed_at_ms: null,
  trusted_root_age_s: null,
} as const;

/** Nobody says anything; and the caller says that it was verified. */
const ABSENT: ProvenanceFact = Object.freeze({ status: "absent", ...NOTHING });
const DECLARED: ProvenanceFact = Object.freeze({ status: "declared", ...NOTHING });

/** What was found of provenance, by the artifact's digest; under the empty text of artifacts that have none. */
export type ProvenanceFacts = ReadonlyMap<string, ProvenanceFact>;

export const rejectedProvenance = (error: NonNullable<ProvenanceFact["error"]>): ProvenanceFact => ({
  status: "rejected",
  ...NOTHING,
  error,
});

/** What is known of an artifact: what bundles prove, else what the caller says. */
export function provenanceFact(
  { digest, provenance }: NamedArtifact,
  found: ProvenanceFacts | undefined,
): ProvenanceFact {
  const bundles = provenance?.bundles;
  const fact = digest === null && bundles === undefined ? undefined : found?.get(digest ?? "");
  if (fact !== undefined) return fact;
  // Nobody has verified them: no decision is made so, but a trial of a policy may be.
  if (bundles !== undefined && bundles.length > 0) return rejectedProvenance("unpinned");
  return provenance?.verified === true ? DECLARED : ABSENT;
}
