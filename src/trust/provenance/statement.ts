// What a bundle's payload states: an in-toto Statement about artifacts, with SLSA provenance or a verification summary (VSA).
// Sources: in-toto Attestation Framework v1; slsa.dev/spec/v1.2/provenance, /spec/v0.2/provenance, /spec/v1.2/verification_summary.
import { parseStrict } from "../../core/json.ts";
import { BUNDLE_BYTES_MAX, type Bundle } from "./bundle.ts";
import { must, within } from "./steps.ts";

const PAYLOAD_TYPE = "application/vnd.in-toto+json";
const STATEMENT_TYPES: ReadonlySet<unknown> = new Set([
  "https://in-toto.io/Statement/v1",
  "https://in-toto.io/Statement/v0.1",
]);
const SUBJECTS_MAX = 1024;
/** The digests that an artifact can be named by, and how many hex digits each has. */
const DIGEST_ALGORITHMS = { sha256: 64, sha512: 128 } as const;

/** A predicate, as far as it is judged. */
interface Said {
  /** Who built it; of a summary, who verified it. */
  readonly builder: string;
  readonly buildType: string | null;
  /** Where from, by all that the predicate says of it. */
  readonly sources: readonly string[];
  /** The highest SLSA build level that a summary vouches for; null: provenance does not say. */
  readonly levelMax: number | null;
  /** Whether it tells of the build itself, so that the signer's repository is the source. */
  readonly ofBuild: boolean;
}

export interface SourceStatement extends Said {
  /** `sha256:<hex>`, `sha512:<hex>`, each once. */
  readonly subjects: readonly string[];
  readonly predicateType: string;
}

type Members = { readonly [name: string]: unknown };

/** @throws StepError `statement`, `subject`, `predicate` */
export function readStatement(bundle: Bundle): SourceStatement {
  must(bundle.content.$case === "dsseEnvelope", "statement", "it has no DSSE envelope");
  const { payloadType, payload } = bundle.content.dsseEnvelope;
  must(payloadType === PAYLOAD_TYPE, "statement", `its payload is not ${PAYLOAD_TYPE}`);
  const value = within("statement", "its payload is not strict JSON", () =>
    parseStrict(payload, { bytesMax: BUNDLE_BYTES_MAX }),
  );
  const statement = membersOf(value);
  must(statement !== undefined && STATEMENT_TYPES.has(statement["_type"]), "statement", "it is no in-toto Statement");
  const predicateType = statement["predicateType"];
  must(typeof predicateType === "string", "statement", "its Statement has no predicateType");
  const read = PREDICATES.get(predicateType);
  must(read !== undefined, "predicate", "its predicate is neither SLSA provenance v0.2 or v1 nor a VSA");
  const predicate = membersOf(statement["predicate"]);
  must(predicate !== undefined, "predicate", "its Statement has no predicate");
  return { subjects: subjectsOf(statement["subject"]), predicateType, ...read(predicate) };
}

function subjectsOf(subject: unknown): string[] {
  must(
    Array.isArray(subject) && subject.length > 0 && subject.length <= SUBJECTS_MAX,
    "subject",
    `it is about no artifact, or about more than ${SUBJECTS_MAX}`,
  );
  const digests = new Set(subject.flatMap(digestsOf));
  must(digests.size > 0, "subject", "it names no artifact by a sha256 or sha512 digest");
  return [...digests];
}

function digestsOf(subject: unknown): string[] {
  const digest = membersOf(membersOf(subject)?.["digest"]);
  must(digest !== undefined, "subject", "one of its subjects has no digest");
  return Object.entries(DIGEST_ALGORITHMS).flatMap(([algorithm, length]) => {
    const hex = digest[algorithm];
    if (hex === undefined) return [];
    const isHex = typeof hex === "string" && hex.length === length && /^[0-9a-f]+$/.test(hex);
    must(isHex, "subject", `a ${algorithm} digest of its subjects is not lower-case hex`);
    return [`${algorithm}:${hex}`];
  });
}

const PREDICATES: ReadonlyMap<string, (predicate: Members) => Said> = new Map([
  ["https://slsa.dev/provenance/v1", provenanceV1],
  ["https://slsa.dev/provenance/v0.2", provenanceV02],
  ["https://slsa.dev/verification_summary/v1", summary],
]);

function provenanceV1(predicate: Members): Said {
  const [definition, run] = [membersOf(predicate["buildDefinition"]), membersOf(predicate["runDetails"])];
  const parameters = membersOf(definition?.["externalParameters"]);
  const workflow = membersOf(parameters?.["workflow"])?.["repository"];
  return {
    builder: textOf(membersOf(run?.["builder"])?.["id"], "runDetails.builder.id"),
    buildType: textOf(definition?.["buildType"], "buildDefinition.buildType"),
    sources: sourcesOf([workflow, parameters?.["source"]], definition?.["resolvedDependencies"]),
    levelMax: null,
    ofBuild: true,
  };
}

function provenanceV02(predicate: Members): Said {
  const invocation = membersOf(predicate["invocation"]);
  return {
    builder: textOf(membersOf(predicate["builder"])?.["id"], "builder.id"),
    buildType: textOf(predicate["buildType"], "buildType"),
    sources: sourcesOf([membersOf(invocation?.["configSource"])?.["uri"]], predicate["materials"]),
    levelMax: null,
    ofBuild: true,
  };
}

const BUILD_LEVEL = /^SLSA_BUILD_LEVEL_([0-4])$/;

function summary(predicate: Members): Said {
  must(predicate["verificationResult"] === "PASSED", "predicate", "the verification that it sums up did not pass");
  textOf(predicate["resourceUri"], "resourceUri");
  const levels = predicate["verifiedLevels"];
  must(Array.isArray(levels), "predicate", "it has no verifiedLevels");
  return {
    builder: textOf(membersOf(predicate["verifier"])?.["id"], "verifier.id"),
    buildType: null,
    sources: [],
    levelMax: Math.max(0, ...levels.map((level) => Number(BUILD_LEVEL.exec(String(level))?.[1] ?? 0))),
    ofBuild: false,
  };
}

function textOf(value: unknown, name: string): string {
  must(typeof value === "string" && value !== "", "predicate", `its predicate has no ${name}`);
  return value;
}

function membersOf(value: unknown): Members | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Members) : undefined;
}

/** What was asked to be built, and the first repository that was. Each without its revision, once. */
function sourcesOf(declared: readonly unknown[], dependencies: unknown): string[] {
  const uris = (Array.isArray(dependencies) ? dependencies : []).map((each) => membersOf(each)?.["uri"]);
  const resolved = uris.find((uri) => typeof uri === "string" && uri.startsWith("git+"));
  const given = [...declared, resolved].filter((uri) => typeof uri === "string" && uri !== "");
  return [...new Set(given.map((uri) => sourceOf(uri as string)))];
}

/** A repository as SPDX and SLSA name it, `git+https://…`, without `@<revision>`. */
export function sourceOf(uri: string): string {
  const [, scheme = "", rest = ""] = /^([a-z+]+:\/\/[^/]*)?(.*)$/s.exec(uri)!;
  const plain = scheme + rest.split("@", 1)[0]!;
  return plain.startsWith("https://") ? `git+${plain}` : plain;
}
