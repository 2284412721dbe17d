// The law's settings, `data.railgate.settings`: the tables that operators change, by an overlay of their own and without a fork.
// `description` says what a value must be (it ends messages), `title` what it is for (it fills the reference). All is optional: an
// overlay holds what it changes.
import Type, { type TProperties, type TSchema } from "typebox";
import { closed, ENVELOPE_KINDS, EnvelopeKind, Jurisdiction, LEVELS, oneOf, optional } from "./base.ts";

const PROFILES = ["baseline", "admissible", "ncp", "regulated-ml"] as const;

const section = (properties: TProperties, title: string): TSchema =>
  closed(Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, optional(schema)])), {
    description: "a mapping",
    title,
  });
const table = (value: TSchema, title: string): TSchema =>
  Type.Record(Type.String(), value, { description: "a mapping", title });
const Flag = Type.Boolean({ description: "true or false" });
/** What stands in it with `true` is on the list. A lookup is cheaper than a search, so lists are tables. */
const listed = (title: string): TSchema => table(Flag, title);
const seconds = (title: string, minimum = 0): TSchema =>
  Type.Integer({
    minimum,
    maximum: Number.MAX_SAFE_INTEGER,
    title,
    description: `a whole number of seconds, ${minimum} or more`,
  });
const text = (title: string): TSchema => Type.String({ minLength: 1, title, description: "a text that isn't empty" });
const list = (item: TSchema, title: string, description: string): TSchema => Type.Array(item, { title, description });

const Name = Type.String({ minLength: 1, description: "a text that isn't empty" });

/** A list, or a table of what is on it. */
const choice = (title: string, description: string): TSchema =>
  Type.Union([Type.Array(Name), Type.Record(Type.String(), Flag)], {
    title,
    description: `${description}, or a mapping of such to true`,
  });

const Kind = Type.Unsafe<string>({ ...EnvelopeKind, description: `one of ${ENVELOPE_KINDS.join(", ")}` });
const Rail = oneOf(LEVELS, { description: `one of ${LEVELS.join(", ")}` });

const BuildLevel = Type.Integer({ minimum: 0, maximum: 4, description: "a SLSA build level, 0 to 4" });

const kinds = (title: string): TSchema => table(Kind, title);
const byProfile = (value: TSchema, title: string): TSchema =>
  section(Object.fromEntries(PROFILES.map((profile) => [profile, value])), title);

const TRIGGERS = section(
  {
    classification: kinds("The least envelope for each classification"),
    governance_profile: table(
      Type.Union([Kind, Type.Record(Type.String(), Kind, { description: "a mapping" })], {
        description: `one of ${ENVELOPE_KINDS.join(", ")}, or a mapping of classifications, and \`otherwise\`, to such`,
      }),
      "The least envelope for each governance profile, where need be by classification",
    ),
    risk: kinds("The least envelope for each risk"),
    tenant_tier: kinds("The least envelope for each tier of tenants"),
  },
  "Which envelope a workload needs; the strongest of all counts, and a value that a table lacks is refused (ENV-04)",
);

const CONTAINER = section(
  {
    runtimes: listed("Hardened container runtimes (CTR-01)"),
    sandboxing_runtimes: listed("Those of them that isolate as a sandbox does, for the least rail level"),
    seccomp: listed("Seccomp profiles that confine (CTR-02)"),
    seccomp_prefix: text("What the name of a seccomp profile of one's own begins with"),
    apparmor_refused: listed("Words that name no AppArmor profile, or a mode that confines nothing"),
    selinux: listed("SELinux modes that confine"),
    privileges: section(
      { privileged: Flag, allow_privilege_escalation: Flag, run_as_non_root: Flag },
      "What each of these must be (CTR-04)",
    ),
    added_capabilities: listed("Capabilities that may be added (CTR-04)"),
  },
  "The container profile",
);

const ATTESTATION = section(
  {
    platforms: section({ vm: listed("For a vm"), tee: listed("For a tee") }, "Platform types that may attest (TEE-02)"),
    freshness_s: section(
      { vm: seconds("For a vm"), tee: seconds("For a tee") },
      "How old an attestation may be (TEE-03)",
    ),
    future_max_s: seconds("How far in the future it may have been measured, for clocks that differ"),
    forms: byProfile(
      section({ token: Flag, report: Flag }, "Forms that count"),
      "Whether a token or a mere report counts, by profile",
    ),
    issuers: byProfile(
      list(Name, "Issuers that count", 'a list of issuers; "*" is any whose key is configured'),
      "Whose attestation counts, by profile",
    ),
    debug_state_required: byProfile(Flag, "Whether the token must say that the platform is not debuggable, by profile"),
    tcb: byProfile(
      choice("States of the TCB that count", "a list of states"),
      "Which states of a platform's TCB count, by profile; with none listed any but `Revoked`",
    ),
    measurements: table(
      table(
        table(choice("Values that are allowed", "a list of values in hex"), "By the token's own name of a measurement"),
        "By platform type",
      ),
      "What must have been measured, by tenant (`*`: any) and platform; what has no entry is not compared",
    ),
    bind_image: byProfile(Flag, "Whether the image that a token names must be one of the envelope's, by profile"),
    devices_required: byProfile(
      choice("Kinds of devices", "a list of kinds: gpu, switch, dcu"),
      "Devices that must be attested beside the platform, by profile",
    ),
    nonce: byProfile(
      oneOf(["any", "bound", "challenge"], { description: "one of any, bound, challenge" }),
      "What an attestation must be bound to, by profile: nothing (`any`), a nonce (`bound`), a challenge of this node (`challenge`)",
    ),
    vector_required: byProfile(Flag, "Whether an EAR must have a trustworthiness vector in each part, by profile"),
    reattestation: section(
      { interval_min_s: seconds("Least", 1), interval_max_s: seconds("Longest", 1) },
      "The interval within which a tee attests again (TEE-04)",
    ),
  },
  "Attestation of virtual machines and enclaves",
);

const limits = (title: string): TSchema =>
  byProfile(
    section({ limit_s: seconds("How old it may be"), grace_s: seconds("How much older while partitioned") }, "Limits"),
    title,
  );

const Standard = oneOf(["privileged", "baseline", "restricted"], {
  description: "one of privileged, baseline, restricted",
});
const Mode = oneOf(["deny", "warn", "audit", "off"], { description: "one of deny, warn, audit, off" });
const anything = (title: string): TSchema =>
  Type.Record(Type.String(), Type.Unknown(), { description: "a mapping", title });

const KUBERNETES = section(
  {
    law: Mode,
    pod_security: section(
      {
        enforce: Standard,
        enforce_version: text("Which release's"),
        audit: Standard,
        audit_version: text("Which release's"),
        warn: Standard,
        warn_version: text("Which release's"),
      },
      "The level of Pod Security where a namespace's labels say none",
    ),
    namespaces: table(anything("One pattern"), "What holds of namespaces whose name fits a pattern"),
    exemptions: section(
      {
        namespaces: listed("Namespaces"),
        usernames: listed("Users"),
        runtime_classes: listed("Runtime classes"),
      },
      "Who is exempt",
    ),
    runtime_classes: table(
      closed(
        { kind: Kind, runtime: optional(Name), vm: optional(anything("A vm's")), tee: optional(anything("A tee's")) },
        { description: "a mapping with a `kind`", title: "One class" },
      ),
      "The envelope that each runtime class stands for",
    ),
  },
  "Pods, and their templates",
);

/** The whole of `data.railgate.settings`. */
export const SettingsSchema = section(
  {
    triggers: TRIGGERS,
    container: CONTAINER,
    vm: section({ hypervisors: listed("Hypervisors that are allowed (VM-01)") }, "The vm profile"),
    supply: section(
      {
        issuers: listed("Who may have issued provenance (SUP-04)"),
        declared_accepted: byProfile(Flag, "Whether the caller's word counts where no bundle speaks (SUP-04)"),
        level: byProfile(BuildLevel, "The least SLSA build level of verified provenance (SUP-04)"),
      },
      "The supply chain",
    ),
    attestation: ATTESTATION,
    dependencies: section(
      {
        critical: section(
          Object.fromEntries(
            ENVELOPE_KINDS.map((kind) => [kind, list(Name, `For a ${kind}`, "a list of kinds of dependencies")]),
          ),
          "Kinds of dependencies that must be declared, by envelope (DEP-01)",
        ),
      },
      "Dependencies",
    ),
    jurisdiction: section(
      {
        areas: table(listed("What lies in it"), "Areas by name: which jurisdictions lie in each"),
        residency_optional: listed("Profiles whose workloads need not say where their data must stay (JUR-02)"),
      },
      "Jurisdiction and residency",
    ),
    tenants: table(
      section(
        { jurisdictions: list(Jurisdiction, "Where it may run (JUR-01)", "a list of country codes, EU or EEA") },
        "One tenant",
      ),
      "What is known of a tenant, by its id",
    ),
    isolation: section(
      {
        tenant_tiers: listed("Tiers of tenants"),
        envelopes: listed("Kinds of envelopes"),
        profiles: listed("Governance profiles"),
      },
      "What may not share a host, a network or keys with another tenant (TEN-01)",
    ),
    authority: section(
      {
        scope: text("The scope that a binding must carry"),
        delegation_max: Type.Integer({
          minimum: 0,
          maximum: 64,
          title: "Most links of a chain (AUT-03)",
          description: "a whole number from 0 to 64",
        }),
        profiles: listed("Profiles that need a binding (AUT-01)"),
        tenant_tiers: listed("Tiers of tenants that need one"),
      },
      "Authority bindings",
    ),
    freshness: section(
      { policy: limits("Of the policy (POL-02)"), authority: limits("Of the authority material") },
      "How old the material may be that is decided on, by profile",
    ),
    partition: section(
      {
        upstream_confirmation: byProfile(Flag, "Whether a workload that is not designated waits for upstream (CRP-01)"),
      },
      "While partitioned",
    ),
    rails: section(
      { container: Rail, container_sandboxed: Rail, vm: Rail, tee: Rail },
      "The least isolation rail of each envelope",
    ),
    evidence: section({ companions: listed("Profiles under which further events accompany an admission") }, "Evidence"),
    kubernetes: KUBERNETES,
    extensions: table(Type.Unknown(), "Settings of extensions, by the extension's name: whatever those read"),
  },
  "The law's settings",
);
