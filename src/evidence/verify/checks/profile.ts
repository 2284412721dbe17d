// Checks of form: what the evidence profile demands, and what the ECS contracts publish of exports (spec evidence §6).
import { counted } from "../../../core/counted.ts";
import { digestText } from "../../../core/digest.ts";
import { FILE } from "../events.ts";
import { FILE as MANIFEST } from "../manifest.ts";
import { BASELINE_FIELDS, CHAIN_FIELDS, PROFILES, SCHEMA_VERSION_1 } from "../profiles.ts";
import { FILE as SEGMENT } from "../segment.ts";
import type { ErasedArtifact } from "../report.ts";
import { AUTHORITY_DOCUMENT, KIND, POLICY_DOCUMENT, PRESENT, REFERENCED } from "../digest-marks.ts";
import { firstOf, type JudgedExport } from "./judged.ts";

const CLAIM = "profile-claim.json";
const INPUTS = "verifier-inputs.json";
const SEGMENT_POINTER = "eosc://evidence/chain/";

export function checkProfile({ findings, facts, members, isOthers }: JudgedExport): void {
  const { manifest, events } = facts;
  if (manifest === undefined) return;
  const name = String(members.get("evidence_profile_id"));
  const demands = PROFILES[name];
  if (demands === undefined)
    return findings.fault("profile", `${JSON.stringify(name)} is no profile that this verifier knows`, {
      file: MANIFEST,
    });
  for (const kind of demands.artifacts)
    if (!manifest.kinds.has(kind))
      findings.fault("profile", `${name} demands artifacts of the kind ${kind}`, { file: MANIFEST });
  const bare = events?.bareStart && !isOthers ? { index: 0, message: "the event has no prev_hash" } : undefined;
  const unchained = bare ?? events?.unchained;
  if (demands.chained && unchained !== undefined)
    findings.fault("profile", `${name} demands chained events: ${unchained.message}`, {
      file: FILE,
      index: unchained.index,
    });
  findings.done(
    "profile",
    `${name}: ${BASELINE_FIELDS.length + (demands.chained ? CHAIN_FIELDS.length : 0)} fields of each event${demands.artifacts.length > 0 ? `, and artifacts of the kinds ${demands.artifacts.join(", ")}` : ""}`,
  );
}

/** Members that manifest, claim and verifier inputs say alike. */
const HEAD = ["evidence_profile_id", "profile_version", "verifier_expectations_ref", "producer_identity"] as const;
const CLAIM_LISTS = ["evidence_profiles", "hash_profiles", "export_endpoints", "verifier_inputs_supported"] as const;

/** The published rules; what of them is a matter of the range and not of form is told. */
export function checkEcs(judged: JudgedExport, erased: readonly ErasedArtifact[]): void {
  const { findings, facts, members, isOthers } = judged;
  if (facts.manifest === undefined || facts.events === undefined) return;
  if (members.get("schema_version") === SCHEMA_VERSION_1)
    return findings.done("ecs", "it was made before these rules were part of the format, and is not held to them");
  if (isOthers && !facts.digests.has(CLAIM)) return findings.unchecked("ecs", `there is no ${CLAIM}`);
  checkClaim(judged);
  checkInputs(judged);
  checkSegmentForm(judged);
  checkPointers(judged);
  checkDocuments(judged);
  if (facts.events.unreasoned !== undefined)
    lacks(judged, facts.events.unreasoned.message, { file: FILE, index: facts.events.unreasoned.index });
  const told = tellings(judged, erased);
  findings.done("ecs", told.length === 0 ? undefined : `it has the published form; ${told.join("; ")}`);
}

/** What another producer leaves out cannot be judged; what it says wrongly can. */
function lacks({ findings, isOthers }: JudgedExport, message: string, place: { file: string; index?: number }): void {
  if (isOthers) findings.unchecked("ecs", `another producer's export, of which not all can be judged: ${message}`);
  else findings.fault("ecs", message, place);
}

const objectOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};

function checkClaim(judged: JudgedExport): void {
  const { facts, members, findings } = judged;
  if (!facts.digests.has(CLAIM)) return lacks(judged, `there is no ${CLAIM}`, { file: CLAIM });
  const claim = objectOf(facts.claim);
  checkHead(judged, claim, CLAIM);
  const implemented = objectOf(claim["implements"]);
  for (const name of CLAIM_LISTS)
    if (!isTextList(implemented[name])) lacks(judged, `implements.${name} is no list of texts`, { file: CLAIM });
  if (typeof implemented["default_evidence_profile"] !== "string")
    lacks(judged, "implements.default_evidence_profile is no text", { file: CLAIM });
  const profiles = implemented["evidence_profiles"];
  if (isTextList(profiles) && !profiles.includes(String(members.get("evidence_profile_id"))))
    findings.fault("ecs", "implements.evidence_profiles lacks the profile of the export", { file: CLAIM });
}

const isTextList = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === "string");

function checkInputs(judged: JudgedExport): void {
  const { facts, members, scope } = judged;
  if (!facts.digests.has(INPUTS)) return lacks(judged, `there is no ${INPUTS}`, { file: INPUTS });
  const inputs = objectOf(facts.inputs);
  checkHead(judged, inputs, INPUTS);
  const alike = {
    hash_profile_id: members.get("hash_profile_id"),
    chain_id: members.get("chain_id"),
    from_sequence: scope?.from,
    to_sequence: scope?.to,
    chain_segment_ref: members.get("chain_segment_ref"),
  };
  for (const [name, value] of Object.entries(alike)) compare(judged, inputs, name, value, INPUTS);
}

function checkHead(judged: JudgedExport, document: Readonly<Record<string, unknown>>, file: string): void {
  for (const name of HEAD) compare(judged, document, name, judged.members.get(name), file);
}

function compare(
  judged: JudgedExport,
  document: Readonly<Record<string, unknown>>,
  name: string,
  value: unknown,
  file: string,
): void {
  if (document[name] === undefined || document[name] === null) return lacks(judged, `it has no ${name}`, { file });
  if (!isSame(document[name], value)) judged.findings.fault("ecs", `its ${name} is not the manifest's`, { file });
}

function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  const [left, right] = [objectOf(a), objectOf(b)];
  const names = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...names].every((name) => left[name] === right[name]);
}

function checkSegmentForm(judged: JudgedExport): void {
  const { facts, members, findings } = judged;
  const { segment, events } = facts;
  const digest = facts.digests.get(SEGMENT);
  if (segment === undefined || digest === undefined) return;
  if (members.get("chain_segment_ref") !== SEGMENT_POINTER + digestText(digest))
    lacks(judged, `chain_segment_ref is not ${SEGMENT_POINTER}sha256:<digest of ${SEGMENT}>`, { file: MANIFEST });
  const profile = members.get("evidence_profile_id");
  if (segment.members.get("evidence_profile_id") !== profile || (segment.rows > 0 && segment.profile !== profile))
    lacks(judged, "the segment or one of its events names no evidence profile, or another than the manifest", {
      file: SEGMENT,
    });
  if (!findings.hasFault("segment") && digestText(segment.refs) !== digestText(events!.pointers))
    findings.fault("ecs", "an event_ref is not the event's evidence_pointer", { file: SEGMENT });
}

/** Artifacts are named by their content, those that events point to among them. */
function checkPointers(judged: JudgedExport): void {
  const { facts, artifacts } = judged;
  const { unaddressed, byPath } = facts.manifest!;
  if (unaddressed !== undefined) lacks(judged, unaddressed, { file: MANIFEST });
  if (byPath > 0)
    lacks(judged, "artifacts are named by their paths, and not by eosc://evidence/sha256:<hex>", { file: MANIFEST });
  for (const { marks, digest } of artifacts.entries()) {
    if ((marks & REFERENCED) === 0 || (marks & PRESENT) === 0 || (marks & KIND) !== 0) continue;
    lacks(judged, `the artifact ${digestText(digest)} of an event is not among manifest.artifacts`, { file: MANIFEST });
    return;
  }
}

/** For each snapshot id that an event names there is a document which says what it stands for. */
function checkDocuments(judged: JudgedExport): void {
  const { facts, artifacts } = judged;
  const told = { policy: new Set<string>(), authority: new Set<string>() };
  for (const { digest, marks } of artifacts.entries()) {
    if ((marks & (POLICY_DOCUMENT | AUTHORITY_DOCUMENT)) === 0) continue;
    const id = facts.documents.get(digestText(digest));
    if (id === undefined) continue;
    if ((marks & POLICY_DOCUMENT) !== 0) told.policy.add(id);
    if ((marks & AUTHORITY_DOCUMENT) !== 0) told.authority.add(id);
  }
  for (const { digest, member } of facts.events!.snapshots.values()) {
    if (member === "settings" || told[member].has(digest)) continue;
    const kind = member === "policy" ? "policy_snapshots" : "authority_bindings";
    lacks(judged, `no document of the kind ${kind} says what ${member}_snapshot_id ${digest.slice(0, 100)} is`, {
      file: MANIFEST,
    });
  }
}

/** What anyone who reads only the form might miss. */
function tellings(judged: JudgedExport, erased: readonly ErasedArtifact[]): string[] {
  const { facts, members } = judged;
  const { events } = facts;
  const others = [...events!.profiles].filter((profile) => profile !== members.get("evidence_profile_id"));
  return [
    ...(firstOf(facts) > 0 ? [`the range starts at ${firstOf(facts)}, so its first event names one before it`] : []),
    ...(events!.refusals === 0 ? ["it holds no refusal"] : []),
    ...(others.length > 0 ? [`events were made under ${others.map((name) => JSON.stringify(name)).join(", ")}`] : []),
    ...(erased.length > 0
      ? [`${counted(erased.length, "artifact")} ${erased.length === 1 ? "was" : "were"} erased, on record`]
      : []),
  ];
}
