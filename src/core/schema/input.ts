// The input document of the law: the request, the facts that the host established, and the context it decides in.
import Type, { type Static } from "typebox";
import {
  closed,
  Digest,
  EpochMs,
  Identifier,
  Level,
  nullable,
  oneOf,
  optional,
  Time,
  WORKLOAD_STATES,
} from "./base.ts";
import { AdmissionRequestSchema } from "./request.ts";

const NullableText = nullable(Type.String());
const NullableMs = nullable(EpochMs);
const Texts = Type.Array(Type.String());

export const VERIFICATION_ERRORS = ["malformed", "signature", "issuer", "algorithm", "type"] as const;
const VerificationStatus = oneOf(["verified", "rejected"]);

const BINDING_MEMBERS = {
  status: VerificationStatus,
  error: nullable(oneOf(VERIFICATION_ERRORS)),
  issuer: NullableText,
  /** Null on a link that is for every tenant. */
  tenant_id: NullableText,
  subject: NullableText,
  scope: Texts,
  valid_from_ms: NullableMs,
  valid_to_ms: NullableMs,
};

export const DelegationFact = closed(BINDING_MEMBERS);

export const AuthorityFact = closed({
  ...BINDING_MEMBERS,
  delegation: Type.Array(DelegationFact),
  delegation_error: nullable(oneOf(["malformed", "signature", "issuer", "type", "root"])),
  /** When the first of the binding and its links ends. */
  until_ms: NullableMs,
});

/** How attestation tokens are read; see docs/trust.md. */
export const ATTESTATION_FORMATS = [
  "railgate",
  "ear",
  "maa",
  "gcp-confidential-space",
  "nvidia-nras",
  "intel-trust-authority",
] as const;

/** The steps that an attestation token can fail, in their order. */
const ATTESTATION_ERRORS = [
  "size",
  "malformed",
  "issuer",
  "algorithm",
  "type",
  "key",
  "certificate",
  "signature",
  "audience",
  "window",
  "age",
  "policy",
  "devices",
  "token used elsewhere",
  "nonce",
] as const;

/** An accelerator that was attested beside the platform; null for what could not be verified. */
const DeviceFact = closed({
  kind: NullableText,
  model: NullableText,
  result: nullable(oneOf(["pass", "fail"])),
  error: nullable(oneOf(ATTESTATION_ERRORS)),
});

const NONCE_FORMS = ["none", "correlation", "challenge"] as const;

export const AttestationFact = closed({
  form: oneOf(["token", "report"]),
  status: oneOf(["verified", "rejected", "reported"]),
  error: nullable(oneOf(ATTESTATION_ERRORS)),
  issuer: NullableText,
  format: nullable(oneOf(ATTESTATION_FORMATS)),
  report_ref: NullableText,
  platform_type: NullableText,
  result: nullable(oneOf(["pass", "fail"])),
  measured_at_ms: NullableMs,
  debuggable: nullable(Type.Boolean()),
  tcb: nullable(closed({ status: NullableText, date: NullableText, advisories: Texts })),
  /** Hex in lower case, by the token's own names without a vendor's prefix. */
  measurements: nullable(Type.Record(Type.String(), Type.String())),
  /** Ids and hashes of the policies that the verifier held the evidence to. */
  verifier_policies: nullable(Texts),
  /** AR4SI claims. */
  vector: nullable(Type.Record(Type.String(), Type.Integer())),
  image_digests: nullable(Texts),
  /** `sha256:<hex>` or `sha384:<hex>`. */
  init_data_digest: NullableText,
  devices: nullable(Type.Array(DeviceFact)),
  /** What of this request it was made for; `ok` where it was. */
  nonce: closed({ form: oneOf(NONCE_FORMS), ok: Type.Boolean() }),
  /** Of a token's signing input, where its signature holds. */
  token_digest: nullable(Digest),
});

export const ExceptionFact = closed({
  status: VerificationStatus,
  error: nullable(oneOf(VERIFICATION_ERRORS)),
  digest: Digest,
  issuer: NullableText,
  tenant_id: NullableText,
  workload_id: NullableText,
  rules: Texts,
  not_before_ms: NullableMs,
  not_after_ms: NullableMs,
  /** Null where it states nothing. */
  reason: NullableText,
  /** Whether a root authority granted it. */
  root: Type.Boolean(),
  /** Whether a root did, or one whose chain, sound but for its length and its times, carries the scope to except. */
  may_except: Type.Boolean(),
  /** The length of its chain. */
  links: Type.Integer(),
  /** The latest start and the earliest end of the exception and its links. */
  from_ms: NullableMs,
  until_ms: NullableMs,
});

/** The steps that a bundle must pass, see `src/trust/provenance/`; `unpinned`: no trusted root is. */
export const PROVENANCE_STEPS = [
  "unpinned",
  "too_large",
  "malformed",
  "timestamp",
  "certificate",
  "key",
  "log",
  "signature",
  "statement",
  "subject",
  "predicate",
  "identity",
  "builder",
  "source",
  "build_type",
] as const;

/** Where an artifact comes from. `verified`: by bundles that hold; `declared`: the caller says so; all else is null unless verified. */
export const ProvenanceFact = closed({
  status: oneOf(["verified", "rejected", "declared", "absent"]),
  /** The step that a bundle failed. */
  error: nullable(oneOf(PROVENANCE_STEPS)),
  issuer: NullableText,
  subject: NullableText,
  builder: NullableText,
  source: NullableText,
  predicate_type: NullableText,
  level: nullable(Type.Integer()),
  signed_at_ms: NullableMs,
  /** Since the newest start of validity in the trusted root, seconds. */
  trusted_root_age_s: nullable(Type.Integer()),
});

export const CallerFact = closed({ tenant_id: Identifier });

/** What the host holds about the workload id. */
export const WorkloadFact = closed({
  state: oneOf(WORKLOAD_STATES),
  least_level: Level,
  /** The newest measurement that passed while it lives, and when the next is due. */
  measured_at_ms: nullable(EpochMs),
  reattest_by_ms: nullable(EpochMs),
});

/** A workload on a rail of a mesh of its tenant. */
export const PlacedFact = closed({ mesh_id: Identifier, level: Level });

export const Facts = closed({
  now: Time,
  now_ms: EpochMs,
  caller: nullable(CallerFact),
  /** Images, firmware and drivers; `provenance` is absent in inputs of 0.1, which say no more than the request. */
  artifacts: Type.Array(
    closed({ pointer: Type.String(), pinned: Type.Boolean(), provenance: optional(ProvenanceFact) }),
  ),
  /** Pointers to texts of the request that state nothing: blanks, controls, characters that show nothing. */
  blank: Texts,
  reattestation: nullable(closed({ interval_s: Type.Number(), by: Time })),
  authority: nullable(AuthorityFact),
  attestation: nullable(AttestationFact),
  exceptions: Type.Array(ExceptionFact),
  workload: nullable(WorkloadFact),
  /** Where the workload is placed, by mesh; absent in inputs of 0.1 and taken for none. */
  placements: optional(Type.Array(PlacedFact)),
});

const Snapshot = closed({ age_s: nullable(Type.Number()), snapshot_id: Digest });

export const PARTITION_STATES = ["connected", "partitioned", "degraded", "reconciled"] as const;

export const Context = closed({
  partition: closed({ state: oneOf(PARTITION_STATES), since: nullable(Time) }),
  policy: Snapshot,
  authority: Snapshot,
});

export const AdmissionInputSchema = closed({ request: AdmissionRequestSchema, facts: Facts, context: Context });

export type AuthorityFact = Static<typeof AuthorityFact>;
export type DelegationFact = Static<typeof DelegationFact>;
export type AttestationFact = Static<typeof AttestationFact>;
export type DeviceFact = Static<typeof DeviceFact>;
export type ExceptionFact = Static<typeof ExceptionFact>;
export type ProvenanceStep = (typeof PROVENANCE_STEPS)[number];
export type ProvenanceFact = Static<typeof ProvenanceFact>;
export type CallerFact = Static<typeof CallerFact>;
export type PlacedFact = Static<typeof PlacedFact>;
export type WorkloadFact = Static<typeof WorkloadFact>;
export type Facts = Static<typeof Facts>;
export type Context = Static<typeof Context>;
export type AdmissionInput = Static<typeof AdmissionInputSchema>;
