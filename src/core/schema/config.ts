// The shape of `opa.yaml`: OPA 1.22's own sections as far as Railgate honours them, and Railgate's under `railgate`.
// `description` says what a value must be (it ends messages), `title` what the setting is for (it fills the reference).
// Source: OPA v1.22.2, v1/config/validate.rego and the plugins' configuration types.
import Type, { type TSchema } from "typebox";
import { Identifier, oneOf, optional } from "./base.ts";
import { durationS } from "../time.ts";
import { ATTESTATION_FORMATS } from "./input.ts";
import { DEFAULTS } from "./defaults.ts";
import { EVIDENCE_PROFILES, LIMITS, LogName, section, whole } from "./limits.ts";

/** Present in OPA, but accepting it here would silently change what the file means. `reason` completes the error. */
const unsupported = (reason: string) => optional(Type.Unsafe<undefined>({ "x-unsupported": reason }));
/** Accepted and without effect here: OPA's own business, or nothing that a decision could depend on. */
const unused = (why: string) => optional(Type.Unknown({ "x-unused": why, title: `Accepted, without effect: ${why}` }));

const text = (title: string, description = "a text that isn't empty") =>
  Type.String({ minLength: 1, title, description });
const flag = (title: string) => Type.Boolean({ title, description: "true or false" });
const mapOf = <S extends TSchema>(value: S, options: object = {}) =>
  Type.Record(Type.String(), value, { description: "a mapping", ...options });
const NO_PLUGINS = "there are no plugins to name";
const TRIGGER = optional(
  Type.Unsafe<"periodic">({
    type: "string",
    enum: ["periodic"],
    title: "When to ask for news",
    description: "periodic (manual triggers need OPA's SDK)",
  }),
);

const POLLING = section({
  min_delay_seconds: optional(whole("Least wait between two polls, in seconds", 1)),
  max_delay_seconds: optional(whole("Longest wait between two polls, in seconds", 1)),
  long_polling_timeout_seconds: optional(whole("How long the server may hold a poll open, in seconds", 1)),
  superseded_etag_ttl_seconds: unused("only the newest ETag is sent"),
});

const SIGNING = section({
  keyid: optional(text("The key that must have signed, by its name under `keys`")),
  scope: optional(text("The scope that the signature must claim")),
  exclude_files: optional(
    Type.Array(Type.String(), {
      title: "Files that the signature needn't cover",
      description: "a list of file patterns",
    }),
  ),
  allow_unsigned_delta_bundles: unsupported("delta bundles aren't used, and nothing unsigned is"),
});

const BUNDLE = section({
  service: optional(text("The service to fetch it from, by its name under `services`")),
  resource: optional(text("A path on that service, or a `file:///` URL (default `bundles/<name>`)")),
  signing: optional(SIGNING),
  persist: optional(flag("Keep the last good bundle on disk. Railgate always does; accepted for OPA's sake")),
  size_limit_bytes: optional(
    whole("Largest bundle accepted, in bytes, and a quarter of the largest unpacked (default 67108864)", 1),
  ),
  trigger: TRIGGER,
  polling: optional(POLLING),
});

const CREDENTIALS = section({
  bearer: optional(
    section({
      token: optional(text("The token itself. Better: `${A_VARIABLE}` or `token_path`")),
      token_path: optional(text("A file that holds the token; read anew for each request")),
      scheme: optional(text("The authorization scheme (default `Bearer`)")),
    }),
  ),
  client_tls: optional(
    section({
      cert: text("Client certificate, a PEM file"),
      private_key: text("Its private key, a PEM file"),
      private_key_passphrase: optional(text("The passphrase of the private key")),
      ca_cert: unsupported("write services.<name>.tls.ca_cert in its place"),
      system_ca_required: unsupported("write services.<name>.tls.system_ca_required in its place"),
      cert_reread_interval_seconds: unused("files are read when a connection is made"),
    }),
  ),
  oauth2: unsupported("requests would go out without it"),
  s3_signing: unsupported("requests would go out without it"),
  gcp_metadata: unsupported("requests would go out without it"),
  azure_managed_identity: unsupported("requests would go out without it"),
  plugin: unsupported(NO_PLUGINS),
});

const SERVICE = {
  url: text("Base URL", "an http or https URL"),
  headers: optional(mapOf(Type.String({ description: "a text" }), { title: "Headers sent with each request" })),
  allow_insecure_tls: optional(flag("Don't check the server's certificate")),
  response_header_timeout_seconds: optional(whole("How long to wait for an answer, in seconds", 1)),
  tls: optional(
    section({
      ca_cert: optional(text("Certificates to trust, a PEM file")),
      system_ca_required: optional(flag("Trust the system's certificates as well")),
    }),
  ),
  credentials: optional(CREDENTIALS),
  type: unsupported("OCI registries can't be read; serve the bundle over HTTP"),
};

const SERVICES = Type.Union(
  [
    mapOf(section({ name: optional(text("Taken from the key")), ...SERVICE })),
    Type.Array(section({ name: text("Its name"), ...SERVICE })),
  ],
  {
    title: "Servers that bundles, logs and status go to or come from",
    description: "a mapping, or a list of services with a name",
  },
);

/** OPA's signature algorithms; it starts with no others. */
export const KEY_ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "HS256",
  "HS384",
  "HS512",
] as const;

const pattern = (title: string) => text(title, "a text, exact but for * (within a path segment) and ** (any text)");

const PROVENANCE = section(
  {
    trusted_root: text("The TrustedRoot of a Sigstore instance, a file; nothing is fetched"),
    keys: optional(
      Type.Array(
        section({
          id: text("What it is called: issuer and subject of what it signed"),
          key: text("A public key, a PEM file"),
        }),
        { description: "a list", title: "Keys that bundles may name in the place of a certificate" },
      ),
    ),
    identities: optional(
      Type.Array(
        section({
          issuer: pattern("Who identified the signer, as its certificate says; or the id of a key"),
          subject: pattern("The signer, as its certificate says; or the id of a key"),
          builder: optional(pattern("What `builder.id` (of a summary: `verifier.id`) must be (default: anything)")),
          source: optional(
            pattern("The repository, `git+https://…`, that all of it must come from (default: anything)"),
          ),
          build_types: optional(
            Type.Array(pattern("One build type"), {
              description: "a list",
              title: "What `buildType` must be one of (default: anything)",
            }),
          ),
          level: optional(whole("The SLSA build level that it counts for (default 1)", 0, 4)),
        }),
        { description: "a list", title: "Who may vouch; the first that matches counts" },
      ),
    ),
    store: optional(flag("Keep bundles that hold, by the digest of their artifact (default true)")),
  },
  "Where software comes from: Sigstore bundles that this node verifies itself",
);

const KEY = section({
  key: optional(
    text(
      "The public key or certificate, in PEM. (A shared secret for HS algorithms is OPA's alone: no bundle is verified with it)",
    ),
  ),
  private_key: unused("Railgate signs with its own keys only"),
  algorithm: optional(
    oneOf(KEY_ALGORITHMS, {
      title: "The signature algorithm (default `RS256`)",
      description: `one of ${KEY_ALGORITHMS.join(", ")}`,
    }),
  ),
  scope: optional(text("The scope for which the key is good")),
});

const DECISION_LOGS = section({
  service: optional(text("The service that decisions are reported to")),
  resource: optional(text("The path on that service (default `/logs`)")),
  partition_name: optional(text("Reports go to `/logs/<partition_name>`")),
  console: optional(flag("Write decisions to the log as well")),
  reporting: optional(
    section({
      min_delay_seconds: optional(whole("Least wait between two reports, in seconds", 1)),
      max_delay_seconds: optional(whole("Longest wait between two reports, in seconds", 1)),
      upload_size_limit_bytes: optional(whole("Largest report, in bytes", 1)),
      buffer_type: unused("what waits is read back from the evidence; nothing is dropped"),
      buffer_size_limit_bytes: unused("what waits is read back from the evidence; nothing is dropped"),
      buffer_size_limit_events: unused("what waits is read back from the evidence; nothing is dropped"),
      max_decisions_per_second: unsupported("decisions aren't dropped from reports"),
      trigger: optional(
        oneOf(["periodic", "immediate"], {
          title: "When to report: between the two delays, or as soon as there is something (default `periodic`)",
          description: "periodic or immediate (manual triggers need OPA's SDK)",
        }),
      ),
    }),
  ),
  mask_decision: unsupported("what masks is data.system.log.mask"),
  drop_decision: unsupported("what drops is data.system.log.drop"),
  plugin: unsupported(NO_PLUGINS),
  request_context: unused("headers aren't part of a report"),
  nd_builtin_cache: unused("policies have no builtin whose answer changes"),
});

const STATUS = section({
  service: optional(text("The service that status is reported to")),
  partition_name: optional(text("Reports go to `/status/<partition_name>`")),
  console: optional(flag("Write status to the log as well")),
  prometheus: unused("metrics are always at /metrics"),
  prometheus_config: unused("metrics are always at /metrics"),
  trigger: TRIGGER,
  plugin: unsupported(NO_PLUGINS),
});

const SERVER = section({
  decoding: optional(
    section({
      max_length: optional(whole("Largest request body, in bytes; the default of `railgate.limits.body_bytes_max`", 1)),
      gzip: unused("a compressed body counts as it is unpacked"),
    }),
  ),
  encoding: unused("how answers are compressed"),
  metrics: unused("the buckets of OPA's own histograms"),
  logger_plugin: unsupported(NO_PLUGINS),
});

const Jwks = (title: string) =>
  Type.Union(
    [Type.String({ minLength: 1 }), Type.Object({ keys: Type.Array(Type.Record(Type.String(), Type.Unknown())) })],
    { title, description: "the path of a JWKS file, or a JWKS (`keys:` and a list) of public keys" },
  );
const issuer = () => text("The issuer, exactly as tokens name it");

/** A retry may be told what came of a command for so long. */
const DAY_S = 86_400;

export const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
export const SUBJECT_FIELDS = ["O", "OU", "CN"] as const;

const AUTHENTICATION = section({
  jwt: optional(
    section(
      {
        jwks: Jwks("Keys that callers' tokens are signed with"),
        issuer: text("What `iss` must be"),
        audience: text("What `aud` must name"),
        tenant_claim: optional(text(`The claim that holds the caller's tenant (default \`${DEFAULTS.tenantClaim}\`)`)),
        operator_claim: optional(
          text(
            `The claim that says \`operator\` of a caller who operates this node (default \`${DEFAULTS.operatorClaim}\`)`,
          ),
        ),
      },
      "Callers bring a JWT (`Authorization: Bearer`)",
    ),
  ),
  mtls: optional(
    section(
      {
        tenant_from: optional(
          oneOf(SUBJECT_FIELDS, {
            title: `The part of the certificate's subject that holds the caller's tenant (default \`${DEFAULTS.tenantFrom}\`)`,
            description: "O, OU or CN",
          }),
        ),
      },
      "Callers bring a certificate; needs `railgate.tls.client_ca`",
    ),
  ),
});

const RAILGATE = section({
  data_dir: optional(text(`Where evidence, keys and state are kept (default \`${DEFAULTS.dataDir}\`)`)),
  store: optional(
    section({
      url: optional(
        text(
          "PostgreSQL that several nodes share, for evidence and state; keys and checkpoints stay in `data_dir` (default: a database in `data_dir`)",
          '"postgres://user:password@host/database?sslmode=verify-full"',
        ),
      ),
      pool_max: optional(whole("Connections for reading (default `8`)", 1, 100)),
    }),
  ),
  listen: optional(
    text(
      `Where to listen (default \`${DEFAULTS.listen}\`); port 0 takes a free one`,
      '"host:port", e.g. "127.0.0.1:8181" or "[::1]:8181"',
    ),
  ),
  threads: optional(
    Type.Unsafe<number | "auto">({
      anyOf: [
        { type: "integer", minimum: 1, maximum: 256 },
        { type: "string", enum: ["auto"] },
      ],
      title: `How many threads listen and decide (default ${DEFAULTS.threads}); \`auto\` leaves two processors for what records and for the rest. More than one needs Linux`,
      description: "a whole number from 1 to 256, or auto",
    }),
  ),
  diagnostics: optional(
    section({
      listen: optional(
        text(
          "Where to answer `/metrics` and health besides (default: nowhere); on loopback nobody logs in there",
          '"host:port", e.g. "127.0.0.1:9181"',
        ),
      ),
    }),
  ),
  log_level: optional(
    oneOf(LOG_LEVELS, {
      title: `How much to log (default \`${DEFAULTS.logLevel}\`)`,
      description: `one of ${LOG_LEVELS.join(", ")}`,
    }),
  ),
  node_id: optional(
    Type.Unsafe<string>({
      ...Identifier,
      title: "This node's name in evidence (default: made at first start and kept)",
    }),
  ),
  settings: optional(
    text(
      "Laid over the settings of the policy: a JSON or YAML file, or a bundle of data that one of `keys` has signed",
      "the path of a file",
    ),
  ),
  upstream: optional(
    section({
      url: optional(text("The node that evidence is forwarded to", "an http or https URL")),
      service: optional(text("The same, by its name under `services`, with its credentials")),
      heartbeat_ms: optional(whole("How often it is asked for a sign of life, in milliseconds (default 2000)", 10)),
    }),
  ),
  partition: optional(
    section(
      {
        lost_after_ms: optional(whole("A source that fails for so long is lost (default 10000)", 0)),
        settled_after_ms: optional(whole("A lost one that answers for so long is back (default 5000)", 0)),
        reconciled_for_ms: optional(whole("How long `reconciled` is shown before `connected` (default 60000)", 0)),
      },
      "When this node counts as cut off",
    ),
  ),
  downstream: optional(
    section(
      {
        nodes: optional(
          Type.Array(
            section({
              node_id: Type.Unsafe<string>({ ...Identifier, title: "Its id" }),
              jwks: optional(Jwks("Its event keys, as its `/.well-known/jwks.json` gives them")),
              via: optional(
                Type.Array(Type.String({ minLength: 1 }), {
                  title: "Nodes that may bring its records besides itself",
                  description: "a list of node ids",
                }),
              ),
            }),
            { description: "a list" },
          ),
        ),
      },
      "Nodes whose records may be sent here; any other is believed on first use, on loopback without login only",
    ),
  ),
  tls: optional(
    section({
      cert: optional(text("Server certificate with its chain, a PEM file")),
      key: optional(text("Its private key, a PEM file")),
      client_ca: optional(text("Authorities of client certificates, a PEM file; turns on mutual TLS")),
    }),
  ),
  behind_proxy: optional(
    flag("A proxy in front ends TLS. Say so only where nothing else can reach the port (default false)"),
  ),
  authentication: optional(AUTHENTICATION),
  trust: optional(
    section({
      authorities: optional(
        Type.Array(
          section({
            issuer: issuer(),
            jwks: Jwks("Keys that it signs bindings, delegations and exceptions with"),
            root: optional(flag("A delegation chain may start with it (default false)")),
          }),
          { description: "a list" },
        ),
      ),
      provenance: optional(PROVENANCE),
      attesters: optional(
        Type.Array(
          section({
            issuer: text("The issuer, exactly as tokens name it in `iss`"),
            format: optional(
              oneOf(ATTESTATION_FORMATS, {
                title: "What its tokens are (default `railgate`)",
                description: `one of ${ATTESTATION_FORMATS.join(", ")}`,
              }),
            ),
            jwks: optional(Jwks("Keys that it signs attestations with; they or `x5c_roots` must be there")),
            x5c_roots: optional(
              text(
                "A PEM file: certificates that the chain in a token's header may end in, which then vouches for its key",
              ),
            ),
            audience: optional(text("What `aud` of its tokens must name (default: anything)")),
            policies: optional(
              Type.Array(Type.String({ minLength: 1 }), {
                title:
                  "Ids or hashes of the verifier's policies, of which a token must name one, and none that did not match (default: any)",
                description: "a list of texts",
              }),
            ),
            max_age: optional(
              Type.Refine(
                Type.String({
                  title: "How old a token may be since `iat`, whatever its `exp` (default: any age)",
                  description: "an ISO 8601 duration, e.g. PT15M",
                }),
                (text) => (durationS(text) ?? 0) > 0,
              ),
            ),
          }),
          { description: "a list" },
        ),
      ),
    }),
  ),
  evidence: optional(
    section({
      profile: optional(
        oneOf(EVIDENCE_PROFILES, {
          title: `What evidence must hold (default \`${DEFAULTS.evidenceProfile}\`)`,
          description: `one of ${EVIDENCE_PROFILES.join(", ")}`,
        }),
      ),
      log_origin: optional(
        Type.Unsafe<string>({
          ...LogName,
          title:
            "Names this node's logs: a stream's origin is `<log_origin>/<chain_id>` (default `railgate.local/<node_id>`)",
        }),
      ),
      checkpoint_dir: optional(
        text(
          `Where signed checkpoints are kept beside the database, best on another disk (default \`${DEFAULTS.checkpointDir}\` in \`data_dir\`)`,
        ),
      ),
      event_key: optional(
        section(
          {
            file: optional(text("A file that holds it: a private Ed25519 key, as JWK or PKCS #8 PEM")),
            env: optional(
              text(
                "The environment variable that holds it, by name; the name must not begin with RAILGATE_",
                "the name of a variable",
              ),
            ),
            directory: optional(
              text(
                "A folder of private JWKs, `*.jwk`: the one in use is found by its thumbprint; the next one must be there before `railgate keys rotate --to`",
              ),
            ),
          },
          "The key that events are signed with, where the node shall not make one itself; one of `file`, `env`, `directory`",
        ),
      ),
      retention: optional(
        section(
          {
            artifacts: optional(
              section(
                Object.fromEntries(
                  EVIDENCE_PROFILES.map((profile) => [
                    profile,
                    optional(
                      Type.Refine(
                        Type.String({
                          title: `How long they are kept of events under ${profile} (default: for ever)`,
                          description: "an ISO 8601 duration of a day or more, e.g. P400D",
                        }),
                        (text) => (durationS(text) ?? 0) >= DAY_S,
                      ),
                    ),
                  ]),
                ),
              ),
            ),
          },
          "When inputs and decisions are erased, on record; records and proofs stand",
        ),
      ),
      artifacts: optional(
        mapOf(Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description: "a list of files" }), {
          title:
            "Files that exports bring along, by kind of artifact: what a profile demands and no decision brings (`key_custody`, `data_use_posture`, `dataset_manifest`, `model_provenance`)",
        }),
      ),
    }),
  ),
  witness: optional(
    section(
      {
        name: optional(
          Type.Unsafe<string>({
            ...LogName,
            title: "The name it cosigns with (default `railgate.local/<node_id>/witness`)",
          }),
        ),
        logs: optional(
          Type.Array(
            section({
              origin: text("The log's origin, the first line of its checkpoints"),
              vkey: text("A key that it signs them with", "a verifier key: name+id+key, as `GET /v1/streams` gives it"),
            }),
            { description: "a list" },
          ),
        ),
      },
      "Logs of others whose checkpoints this node cosigns as long as they only grow",
    ),
  ),
  authzen: optional(
    section({
      entrypoint: optional(
        text(
          "The entrypoint that answers AuthZEN's authorization API (default: none does)",
          "the path of a rule, e.g. authz/decision",
        ),
      ),
    }),
  ),
  kubernetes: optional(
    section(
      {
        in_cluster: optional(flag("Ask the cluster that this node runs in, as the pod's own account (default false)")),
        kubeconfig: optional(text("A kubeconfig file that says which cluster to ask, and how")),
        context: optional(text("Its context (default: the one that is current in it)")),
      },
      "The cluster whose namespaces are watched for their labels; with neither `in_cluster` nor `kubeconfig` none is",
    ),
  ),
  limits: optional(LIMITS),
});

/** The whole file. */
export const ConfigFile = section({
  labels: optional(
    mapOf(Type.String({ description: "a text" }), {
      title: "Words that describe this node, sent with status and decision logs",
    }),
  ),
  services: optional(SERVICES),
  bundles: optional(
    mapOf(BUNDLE, {
      title:
        "Policy bundles, about disjoint parts of `data` (`roots`); with none the one that comes with Railgate is used",
    }),
  ),
  keys: optional(mapOf(KEY, { title: "Keys that bundles are signed with" })),
  decision_logs: optional(DECISION_LOGS),
  status: optional(STATUS),
  default_decision: optional(
    text(
      `What \`POST /\` of OPA's API evaluates (default \`${DEFAULTS.defaultDecision}\`)`,
      "the path of a rule, e.g. /railgate/admission/decision",
    ),
  ),
  server: optional(SERVER),
  persistence_directory: unused("bundles are kept in railgate.data_dir"),
  nd_builtin_cache: unused("policies have no builtin whose answer changes"),
  caching: unused("policies have no builtin whose answer is worth keeping"),
  storage: unused("state is kept in railgate.data_dir"),
  distributed_tracing: unused("spans aren't sent; traceparent is recorded in evidence"),
  metrics_export: unused("metrics are at /metrics"),
  discovery: unsupported("settings would come from elsewhere"),
  plugins: unsupported(NO_PLUGINS),
  bundle: unsupported("write bundles.<name> in its place"),
  default_authorization_decision: unsupported("callers are authorised by railgate.authentication"),
  railgate: optional(RAILGATE),
});
export type ConfigFile = Type.Static<typeof ConfigFile>;
