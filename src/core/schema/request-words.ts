// What each field of an admission request says, which values it takes, and which rules read it: for OpenAPI and for docs/request.md.

/** One field. Its place is a pointer with `[]` for any item and `*` for any name. */
export interface FieldWords {
  /** What it says, in a sentence or two. */
  readonly says: string;
  /** Ids of the rules that read it. */
  readonly rules: readonly string[];
  /** A value that the shipped law takes. */
  readonly example: unknown;
  /** Where its values are the law's and no schema's: the member of `settings` that lists them. */
  readonly settings?: string;
}

const field = (says: string, rules: string, example: unknown, settings?: string): FieldWords => ({
  says,
  rules: rules === "" ? [] : rules.split(" "),
  example,
  ...(settings !== undefined && { settings }),
});

const PINNED = `sha256:${"0".repeat(64)}`;
const CI = "https://ci.example";

/** Images of any envelope, firmware and drivers alike but for how they are pinned. */
const artifact = (at: string, pin: Record<string, FieldWords>): Record<string, FieldWords> => ({
  [`${at}/[]/name`]: field("What it is called, for people and for messages.", "SUP-04", "api"),
  ...Object.fromEntries(Object.entries(pin).map(([name, words]) => [`${at}/[]/${name}`, words])),
  [`${at}/[]/provenance`]: field("What is known of where it comes from.", "SUP-04", { verified: true, issuer: CI }),
  [`${at}/[]/provenance/verified`]: field("Whether its provenance was verified before this request.", "SUP-04", true),
  [`${at}/[]/provenance/issuer`]: field("Who vouches for it.", "SUP-04", CI, "supply.issuers"),
  [`${at}/[]/provenance/attestation`]: field("The digest of the statement that was verified.", "", PINNED),
  [`${at}/[]/provenance/bundles`]: field(
    "Sigstore bundles, which the node verifies itself, in the place of one's word; the law sees their digests.",
    "SUP-04",
    [],
  ),
});

const image = { reference: field("Where it is, pinned by its digest.", "SUP-01", `registry.example/api@${PINNED}`) };
const component = { digest: field("Its digest.", "SUP-01", PINNED) };

const CONTAINER: Record<string, FieldWords> = {
  "": field("A process under a hardened runtime. Needed where `kind` is `container`, and only there.", "ENV-01", {}),
  "/runtime": field("The runtime that isolates it.", "CTR-01", "gvisor", "container.runtimes"),
  "/images": field("Every image that it runs, at least one.", "SUP-01 SUP-04", []),
  ...artifact("/images", image),
  "/seccomp": field(
    "The seccomp profile: `RuntimeDefault` or `Localhost/<name>` confine, `Unconfined` does not.",
    "CTR-02",
    "RuntimeDefault",
    "container.seccomp",
  ),
  "/apparmor": field(
    "The AppArmor profile, by name; `unconfined` and its like confine nothing.",
    "CTR-02",
    "runtime/default",
  ),
  "/selinux": field("`enforcing` confines.", "CTR-02", "enforcing", "container.selinux"),
  "/read_only_root_filesystem": field("Whether nothing can be written to the root file system.", "CTR-03", true),
  "/writable_justification": field(
    "Why it must be writable, where it is.",
    "CTR-03",
    "writes its cache beside the binary",
  ),
  "/privileged": field("Whether it has the host's privileges.", "CTR-04", false),
  "/allow_privilege_escalation": field("Whether a process may gain more privileges than its parent.", "CTR-04", false),
  "/run_as_non_root": field("Whether it runs as another user than root.", "CTR-04", true),
  "/host_namespaces": field(
    "Namespaces of the host that it shares: pid, ipc, network, uts, user. None are accepted.",
    "CTR-04",
    [],
  ),
  "/host_paths": field("Paths of the host that it mounts. None are accepted.", "CTR-04", []),
  "/added_capabilities": field(
    "Linux capabilities beyond the default.",
    "CTR-04",
    ["NET_BIND_SERVICE"],
    "container.added_capabilities",
  ),
};

const VM: Record<string, FieldWords> = {
  "": field("A virtual machine. Needed where `kind` is `vm`, and only there.", "ENV-01", {}),
  "/hypervisor": field("What runs it.", "VM-01", { type: "kvm", version: "6.12", dedicated: true }),
  "/hypervisor/type": field("Which hypervisor.", "VM-01", "kvm", "vm.hypervisors"),
  "/hypervisor/version": field("Its version, for the record.", "", "6.12"),
  "/hypervisor/dedicated": field("Whether it serves this tenant alone, for the record.", "", true),
  "/boot": field("How it was started.", "VM-02", { secure_boot: true, measured_boot: true, verified: true }),
  "/boot/secure_boot": field("Whether only signed code was booted.", "VM-02", true),
  "/boot/measured_boot": field("Whether what was booted was measured.", "VM-02", true),
  "/boot/verified": field("Whether the measurements were found right.", "VM-02", true),
  "/vtpm": field("Its virtual TPM.", "VM-03", { present: true }),
  "/vtpm/present": field("Whether there is one; where there is, it must be attested.", "VM-03", true),
  "/firmware": field("Every firmware, at least one.", "SUP-01 SUP-04", []),
  ...artifact("/firmware", component),
  "/drivers": field("Every driver; may be empty, and not absent.", "SUP-01 SUP-04", []),
  ...artifact("/drivers", component),
  "/images": field("Every image; may be empty, and not absent.", "SUP-01 SUP-04", []),
  ...artifact("/images", image),
};

const TEE: Record<string, FieldWords> = {
  "": field("A trusted execution environment. Needed where `kind` is `tee`, and only there.", "ENV-01", {}),
  "/platform": field("Which technology.", "TEE-01 TEE-02", "amd-sev-snp", "attestation.platforms.tee"),
  "/reattestation_interval": field(
    "How often it is attested anew: an ISO 8601 duration between one second and one hour.",
    "TEE-04",
    "PT15M",
  ),
  "/init_data_digest": field(
    "What its guest must have been started with, as its attestation has to say.",
    "TEE-02",
    `sha256:${"0".repeat(64)}`,
  ),
  "/images": field("Every image; may be empty, and not absent.", "SUP-01 SUP-04", []),
  ...artifact("/images", image),
};

const under = (at: string, words: Record<string, FieldWords>): Record<string, FieldWords> =>
  Object.fromEntries(Object.entries(words).map(([place, each]) => [at + place, each]));

/** Every field, by its place. A test holds this to name each member of the schema, and no other. */
export const REQUEST_WORDS: Readonly<Record<string, FieldWords>> = {
  "/workload": field("What is to run, and for whom.", "", {}),
  "/workload/workload_id": field(
    "Which workload. Everything that is done with it later names it so.",
    "AUT-02",
    "payments-api",
  ),
  "/workload/tenant_id": field(
    "Whose it is. A caller who logged in can have only its own admitted.",
    "TEN-01 AUT-02",
    "acme",
  ),
  "/workload/tenant_tier": field(
    "How much its tenant demands.",
    "ENV-04 ENV-03 TEN-01 AUT-01",
    "standard",
    "triggers.tenant_tier",
  ),
  "/workload/classification": field(
    "How confidential its data is.",
    "ENV-04 ENV-03",
    "internal",
    "triggers.classification",
  ),
  "/workload/risk": field("How much harm it could do.", "ENV-04 ENV-03", "low", "triggers.risk"),
  "/workload/governance_profile": field(
    "By which evidence and freshness it is governed.",
    "ENV-04 ENV-03 POL-02 AUT-01 JUR-02 TEN-01",
    "baseline",
    "triggers.governance_profile",
  ),
  "/workload/crp": field("Whether it goes on while the node is cut off.", "CRP-01", { designated: true, tier: 1 }),
  "/workload/crp/designated": field("Whether it may be admitted in a partition.", "CRP-01", true),
  "/workload/crp/tier": field("Its tier of continuity, for the record.", "", 1),
  "/workload/jurisdictions": field("Where it may run; absent: no limit of its own.", "JUR-01", ["DE", "FR"]),
  "/workload/residency": field("Where its data may be.", "JUR-02", ["EU"]),
  "/workload/envelope": field("In what it is to run.", "ENV-01 ENV-02 ENV-03", {}),
  "/workload/envelope/kind": field(
    "Which kind; the object of that name says the rest.",
    "ENV-01 ENV-02 ENV-03",
    "container",
  ),
  ...under("/workload/envelope/container", CONTAINER),
  ...under("/workload/envelope/vm", VM),
  ...under("/workload/envelope/tee", TEE),
  "/workload/network": field("How its network is isolated.", "CTR-05 TEN-01", {
    policy_id: "np-payments",
    default_deny: true,
    tenant_isolated: true,
  }),
  "/workload/network/policy_id": field("The network policy that holds for it.", "CTR-05", "np-payments"),
  "/workload/network/default_deny": field("Whether what is not allowed is denied.", "CTR-05", true),
  "/workload/network/tenant_isolated": field("Whether other tenants cannot be reached.", "CTR-05 TEN-01", true),
  "/workload/dependencies": field("What it needs from outside to be governed, or to run.", "DEP-01 DEP-02", []),
  "/workload/dependencies/[]/dependency_id": field("Which one.", "DEP-02", "runsc"),
  "/workload/dependencies/[]/kind": field("What it is for.", "DEP-01 DEP-02", "runtime", "dependencies"),
  "/workload/dependencies/[]/available": field("Whether it is there now.", "DEP-02", true),
  "/workload/dependencies/[]/local": field(
    "Whether it is on this node, and so there in a partition too.",
    "DEP-02 JUR-02",
    true,
  ),
  "/workload/dependencies/[]/jurisdiction": field("Where it is, if not here.", "JUR-02", "DE"),
  "/workload/attributes": field(
    "Facts of your own, which no shipped rule reads and your extensions may: up to 64, named `prefix/name` as labels of Kubernetes are.",
    "",
    { "acme.example/cost-centre": "4711" },
  ),
  "/workload/attributes/*": field("Text of at most 1024 characters, a number, or true or false.", "", "4711"),
  "/placement": field(
    "Where it is to run. Absent, rules that need it refuse for all profiles but baseline.",
    "JUR-01 JUR-02 TEN-01",
    { node_id: "node-7", jurisdiction: "DE" },
  ),
  "/placement/node_id": field("On which node, for the record.", "", "node-7"),
  "/placement/jurisdiction": field("In which jurisdiction that is.", "JUR-01 JUR-02", "DE"),
  "/placement/tenancy": field("Whether the host is for one tenant alone.", "TEN-01", "shared"),
  "/placement/tenants_on_host": field("Who else is on it.", "TEN-01", ["acme"]),
  "/authority": field("By whose authority: a signed binding (docs/trust.md).", "AUT-01 AUT-02 AUT-03", "eyJ…"),
  "/exceptions": field("Signed statements that lift rules, up to 16 (docs/trust.md).", "", ["eyJ…"]),
  "/attestation": field(
    "What was measured of the vm or tee: a token, or a report.",
    "TEE-01 TEE-02 TEE-03 VM-03 VM-04",
    {},
  ),
  "/attestation/token": field(
    "A token that the node verifies against pinned keys.",
    "TEE-01 TEE-02 TEE-03 VM-04",
    "eyJ…",
  ),
  "/attestation/devices": field(
    "Detached bundles of tokens about accelerators (NVIDIA NRAS), under the nonce of the token.",
    "TEE-02",
    [],
  ),
  "/attestation/report_ref": field("Where the report of a verifier is.", "TEE-01 VM-04", "report-17"),
  "/attestation/platform_type": field(
    "`vtpm` for a vm, a platform for a tee.",
    "TEE-01 TEE-02 VM-04",
    "vtpm",
    "attestation.platforms",
  ),
  "/attestation/result": field("What the verifier found.", "TEE-01 TEE-02 VM-04", "pass"),
  "/attestation/measured_at": field("When it was measured.", "TEE-02 TEE-03", "2026-11-23T00:15:00Z"),
  "/attestation/nonce": field(
    "The `correlation_id`, where the report is bound to this request.",
    "TEE-02",
    "deploy-42",
  ),
  "/correlation_id": field("Joins events that belong together; made where absent.", "", "deploy-42"),
};

type Json = { [name: string]: unknown };

/** A plain JSON Schema of the request, with these words as descriptions and examples. */
export function describedRequest(schema: object): object {
  const described = structuredClone(schema) as Json;
  describe(described, "");
  return described;
}

function describe(node: Json, at: string): void {
  const words = REQUEST_WORDS[at];
  if (words !== undefined) {
    const form = node["description"] === undefined ? "" : ` Form: ${String(node["description"])}.`;
    node["description"] = `${words.says}${form}${words.rules.length > 0 ? ` Read by ${words.rules.join(", ")}.` : ""}`;
    // No addresses: the reference page names nothing elsewhere.
    const isPlain = node["type"] !== "object" && node["type"] !== "array" && node["anyOf"] === undefined;
    if (isPlain && !String(words.example).includes("://")) node["examples"] = [words.example];
  }
  for (const branch of (node["anyOf"] as Json[] | undefined) ?? []) describeMembers(branch, at);
  describeMembers(node, at);
}

function describeMembers(node: Json, at: string): void {
  for (const [name, member] of Object.entries((node["properties"] as Json | undefined) ?? {}))
    describe(member as Json, `${at}/${name}`);
  for (const member of Object.values((node["patternProperties"] as Json | undefined) ?? {}))
    describe(member as Json, `${at}/*`);
  if (node["items"] !== undefined) describe(node["items"] as Json, `${at}/[]`);
}

/** Every place of a plain JSON Schema, in its order: what {@link REQUEST_WORDS} must name. */
export function placesOf(schema: object): string[] {
  const found: string[] = [];
  const walk = (node: Json, at: string): void => {
    if (at !== "" && !at.endsWith("[]") && !found.includes(at)) found.push(at);
    for (const branch of (node["anyOf"] as Json[] | undefined) ?? []) members(branch, at);
    members(node, at);
  };
  const members = (node: Json, at: string): void => {
    for (const [name, member] of Object.entries((node["properties"] as Json | undefined) ?? {}))
      walk(member as Json, `${at}/${name}`);
    for (const member of Object.values((node["patternProperties"] as Json | undefined) ?? {}))
      walk(member as Json, `${at}/*`);
    if (node["items"] !== undefined) walk(node["items"] as Json, `${at}/[]`);
  };
  walk(schema as Json, "");
  return found;
}
