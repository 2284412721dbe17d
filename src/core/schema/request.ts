// The admission request: what a caller declares, and all that a caller can declare.
// Nearly everything may be absent: absence is judged by the law, and never helps.
import Type, { type Static } from "typebox";
import {
  closed,
  Digest,
  Duration,
  Identifier,
  INTEGER_MAX,
  Jurisdiction,
  listOf,
  nullable,
  oneOf,
  optional,
  Text,
  Time,
  TokenSchema,
  ENVELOPE_KINDS,
} from "./base.ts";

// What one request can make the law judge. Each is several times what workloads are seen to have; together they bound how
// long the others wait (docs/decisions/0030).
const ARTIFACTS_MAX = 64;
const PRIVILEGES_MAX = 64;
const JURISDICTIONS_MAX = 128;
const DEPENDENCIES_MAX = 128;
const TENANTS_MAX = 256;
const EXCEPTIONS_MAX = 16;
const BUNDLES_MAX = 8;
const UNKNOWN_VALUES_MAX = 4096;
const DEVICE_BUNDLES_MAX = 16;

const DeclaredProvenance = closed({
  verified: optional(Type.Boolean()),
  issuer: optional(Text),
  attestation: optional(Digest),
});

/** Sigstore bundles; what is wrong with one is no fault of the request's form, but SUP-04. */
const BundledProvenance = closed({ bundles: listOf(Type.Object({}), BUNDLES_MAX) });

/** The caller's word, or bundles that the host verifies. */
const Provenance = Type.Union([DeclaredProvenance, BundledProvenance], {
  "~branch": (value: unknown) =>
    typeof value === "object" && value !== null && Object.hasOwn(value, "bundles") ? 1 : 0,
});

const Image = closed({
  name: optional(Identifier),
  reference: optional(Text),
  provenance: optional(Provenance),
});

/** A driver or a firmware. */
const Component = closed({
  name: optional(Identifier),
  digest: optional(Text),
  provenance: optional(Provenance),
});

const Images = optional(listOf(Image, ARTIFACTS_MAX));
const Components = optional(listOf(Component, ARTIFACTS_MAX));

export const ContainerProfile = closed({
  runtime: optional(Text),
  images: Images,
  seccomp: optional(nullable(Text)),
  apparmor: optional(nullable(Text)),
  selinux: optional(nullable(Text)),
  read_only_root_filesystem: optional(Type.Boolean()),
  writable_justification: optional(nullable(Text)),
  privileged: optional(Type.Boolean()),
  allow_privilege_escalation: optional(Type.Boolean()),
  run_as_non_root: optional(Type.Boolean()),
  host_namespaces: optional(listOf(Text, PRIVILEGES_MAX)),
  host_paths: optional(listOf(Text, PRIVILEGES_MAX)),
  added_capabilities: optional(listOf(Text, PRIVILEGES_MAX)),
});

const VmProfile = closed({
  hypervisor: optional(closed({ type: optional(Text), version: optional(Text), dedicated: optional(Type.Boolean()) })),
  boot: optional(
    closed({
      secure_boot: optional(Type.Boolean()),
      measured_boot: optional(Type.Boolean()),
      verified: optional(Type.Boolean()),
    }),
  ),
  vtpm: optional(closed({ present: optional(Type.Boolean()) })),
  firmware: Components,
  drivers: Components,
  images: Images,
});

/** Of what a guest of a TEE was started with, as its hardware reports it. */
const InitDataDigest = Type.String({
  pattern: "^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96})$",
  description: "sha256: and 64 hex digits, or sha384: and 96",
});

const TeeProfile = closed({
  platform: optional(Text),
  reattestation_interval: optional(Duration),
  init_data_digest: optional(InitDataDigest),
  images: Images,
});

const ContainerEnvelope = closed({ kind: Type.Literal("container"), container: ContainerProfile });
const VmEnvelope = closed({ kind: Type.Literal("vm"), vm: VmProfile });
const TeeEnvelope = closed({ kind: Type.Literal("tee"), tee: TeeProfile });

/** No kind declared: the law refuses it (ENV-01), but a misspelt member is still pointed out. */
const KindlessEnvelope = closed({
  container: optional(ContainerProfile),
  vm: optional(VmProfile),
  tee: optional(TeeProfile),
});

/** A kind that this version doesn't know may carry anything, if not without end: the law refuses it (ENV-02), with evidence. */
const UnknownEnvelope = Type.Refine(
  Type.Object({
    kind: Type.Unsafe<string & { readonly unknown?: never }>({ type: "string", not: { enum: [...ENVELOPE_KINDS] } }),
  }),
  (envelope) => valuesIn(envelope, UNKNOWN_VALUES_MAX) <= UNKNOWN_VALUES_MAX,
  () => `must hold no more than ${UNKNOWN_VALUES_MAX} values`,
);

/** How many values there are within, at any depth; not counted on beyond `max`. */
function valuesIn(value: unknown, max: number): number {
  if (typeof value !== "object" || value === null) return 1;
  let count = 1;
  for (const within of Object.values(value)) {
    count += valuesIn(within, max - count);
    if (count > max) break;
  }
  return count;
}

const Envelope = Type.Union(
  [ContainerEnvelope, VmEnvelope, TeeEnvelope, UnknownEnvelope, KindlessEnvelope, Type.String()],
  { "~branch": envelopeBranch },
);

/** For messages: which of these shapes was meant. */
function envelopeBranch(value: unknown): number {
  if (typeof value === "string") return 5;
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, "kind")) return 4;
  const known = (ENVELOPE_KINDS as readonly unknown[]).indexOf((value as { kind: unknown }).kind);
  return known === -1 ? 3 : known;
}

const Dependency = closed({
  dependency_id: optional(Identifier),
  kind: optional(Identifier),
  available: optional(Type.Boolean()),
  local: optional(Type.Boolean()),
  jurisdiction: optional(Jurisdiction),
});

/** Values of attributes: no rule of ours reads them, extensions may. */
const Attribute = Type.Union(
  [Type.String({ maxLength: 1024 }), Type.Number({ minimum: -INTEGER_MAX, maximum: INTEGER_MAX }), Type.Boolean()],
  { "~branch": attributeBranch, description: "text of at most 1024 characters, a number or true or false" },
);

function attributeBranch(value: unknown): number {
  return typeof value === "number" ? 1 : typeof value === "boolean" ? 2 : 0;
}

/** Named as labels of Kubernetes are, the prefix required: a DNS name, `/`, and up to 63 characters. */
const DNS_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const ATTRIBUTE_NAME = `^${DNS_LABEL}(?:\\.${DNS_LABEL})*/[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`;
const ATTRIBUTE_PREFIX_LENGTH_MAX = 253;
const ATTRIBUTES_MAX = 64;

const attributeName = new RegExp(ATTRIBUTE_NAME);
const isAttributeName = (name: string): boolean =>
  attributeName.test(name) && name.indexOf("/") <= ATTRIBUTE_PREFIX_LENGTH_MAX;

const Attributes = Type.Refine(
  Type.Unsafe<{ [name: string]: Static<typeof Attribute> }>({
    type: "object",
    patternProperties: { [ATTRIBUTE_NAME]: Attribute },
    additionalProperties: false,
    maxProperties: ATTRIBUTES_MAX,
    "~names": { check: isAttributeName, message: "must be named prefix/name, as labels of Kubernetes are" },
  }),
  (attributes) => Object.keys(attributes).every(isAttributeName),
);

const Workload = closed({
  workload_id: Identifier,
  tenant_id: Identifier,
  tenant_tier: optional(Type.String()),
  classification: optional(Type.String()),
  risk: optional(Type.String()),
  governance_profile: optional(Type.String()),
  crp: optional(
    closed({
      designated: optional(Type.Boolean()),
      tier: optional(Type.Integer({ minimum: 0, maximum: INTEGER_MAX })),
    }),
  ),
  jurisdictions: optional(listOf(Jurisdiction, JURISDICTIONS_MAX)),
  residency: optional(listOf(Jurisdiction, JURISDICTIONS_MAX)),
  envelope: optional(Envelope),
  network: optional(
    closed({
      policy_id: optional(Identifier),
      default_deny: optional(Type.Boolean()),
      tenant_isolated: optional(Type.Boolean()),
    }),
  ),
  dependencies: optional(listOf(Dependency, DEPENDENCIES_MAX)),
  attributes: optional(Attributes),
});

const TENANCIES = ["shared", "dedicated"] as const;

const Placement = closed({
  node_id: optional(Identifier),
  jurisdiction: optional(Jurisdiction),
  tenancy: optional(oneOf(TENANCIES)),
  tenants_on_host: optional(listOf(Identifier, TENANTS_MAX)),
});

/** What an attestation report may say; an incomplete one is judged (TEE-01, VM-04). */
export const REPORT_MEMBERS = {
  report_ref: optional(Text),
  platform_type: optional(Text),
  result: optional(oneOf(["pass", "fail"])),
  measured_at: optional(Time),
  nonce: optional(Text),
};

/** Detached bundles about accelerators, unverified: the rules judge what is wrong with them. */
const Devices = listOf(Type.Unknown(), DEVICE_BUNDLES_MAX);
export const TOKEN_MEMBERS = { token: TokenSchema, devices: optional(Devices) };

const TokenAttestation = closed(TOKEN_MEMBERS);
const ReportAttestation = closed(REPORT_MEMBERS);

/** A token that the host verifies, or the report of a verifier that the caller's authority vouches for. */
export const Attestation = Type.Union([TokenAttestation, ReportAttestation], { "~branch": attestationBranch });

/** For messages: what bears a token is meant to be one. */
export function attestationBranch(value: unknown): number {
  return typeof value === "object" && value !== null && Object.hasOwn(value, "token") ? 0 : 1;
}

export const AdmissionRequestSchema = closed({
  workload: Workload,
  placement: optional(Placement),
  authority: optional(TokenSchema),
  exceptions: optional(listOf(TokenSchema, EXCEPTIONS_MAX)),
  attestation: optional(Attestation),
  correlation_id: optional(Identifier),
});

export type AdmissionRequest = Static<typeof AdmissionRequestSchema>;
export type ContainerProfile = Static<typeof ContainerProfile>;
export type AttestationRequest = Static<typeof Attestation>;
