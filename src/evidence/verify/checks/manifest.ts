// Checks of what the export says of itself: the manifest, the files that it lists, and the methods of hashing.
import { HASH_PROFILE, hexOf } from "../../../core/digest.ts";
import { FILE, TEXTS } from "../manifest.ts";
import { METHODS, SCHEMA_VERSION, SCHEMA_VERSION_1 } from "../profiles.ts";
import { KIND, LISTED, PRESENT } from "../digest-marks.ts";
import type { JudgedExport } from "./judged.ts";

/** How segment and bundle hashes are made: over a tree, over a text, or in a way that is not known here. */
type HashMethod = "merkle" | "flat" | "unknown";

export function checkManifest({ findings, facts, members, scope, isOthers }: JudgedExport): void {
  const fault = (message: string): void => findings.fault("manifest", message, { file: FILE });
  if (!facts.digests.has(FILE)) return fault("there is no manifest.json");
  if (facts.manifest === undefined) return;
  const { files, signatures, unaddressed } = facts.manifest;
  for (const name of TEXTS) {
    const there = typeof members.get(name) === "string" && members.get(name) !== "";
    if (!there && !(isOthers && name === "hash_profile_id")) fault(`it has no ${name}`);
  }
  const identity = members.get("producer_identity") as { issuer_id?: unknown; producer_id?: unknown } | undefined;
  if (typeof identity?.issuer_id !== "string" || typeof identity.producer_id !== "string")
    fault("it has no producer_identity {issuer_id, producer_id}");
  if (scope === undefined) fault("it has no scope {from_sequence, to_sequence}");
  if (Number.isNaN(Date.parse(String(members.get("created_at"))))) fault("created_at is no time");
  if (files.size === 0 && !isOthers) fault("it lists no files");
  if (unaddressed !== undefined && !isOthers) fault(unaddressed);
  const schema = members.get("schema_version");
  if (signatures !== undefined && !isOthers && schema !== SCHEMA_VERSION && schema !== SCHEMA_VERSION_1)
    fault(`schema_version is ${JSON.stringify(schema)}, and this verifier knows ${SCHEMA_VERSION}`);
  findings.done("manifest");
}

export function checkMethods({ findings, facts, members, isOthers }: JudgedExport): void {
  const file = "verifier-inputs.json";
  if (!facts.digests.has(file)) return findings.unchecked("methods", "there is no verifier-inputs.json");
  const stated = (facts.inputs ?? {}) as Record<string, unknown>;
  for (const [name, method] of Object.entries(METHODS)) {
    if (stated[name] === method) continue;
    const message = `${name} is ${JSON.stringify(stated[name] ?? null)}; ${method} was applied`;
    if (!isOthers) findings.fault("methods", message, { file });
    else if (!isKnown(name, stated[name])) findings.unchecked("methods", message);
  }
  const profile = members.get("hash_profile_id");
  if (profile !== undefined && profile !== HASH_PROFILE)
    findings.fault(
      "methods",
      `hash_profile_id is ${JSON.stringify(profile)}, and this verifier knows ${HASH_PROFILE}`,
      { file: FILE },
    );
  findings.done("methods");
}

/** Other producers say in words of their own how they hash. */
function isKnown(name: string, method: unknown): boolean {
  if (name !== "event_hash_method") return methodOf(method) !== "unknown";
  return typeof method === "string" && /canonical.*without\W*event_hash/i.test(method);
}

const methodOf = (text: unknown): HashMethod => {
  if (typeof text !== "string") return "unknown";
  return /merkle/i.test(text) ? "merkle" : /newline|\\n/i.test(text) ? "flat" : "unknown";
};

/** The method that the export declares for one of its hashes; our own where it has no say in it. */
export function declaredMethod(
  { facts, isOthers }: JudgedExport,
  name: "segment_hash_method" | "bundle_hash_method",
): HashMethod {
  if (!isOthers || !facts.digests.has("verifier-inputs.json")) return "merkle";
  return methodOf(((facts.inputs ?? {}) as Record<string, unknown>)[name]);
}

export function checkFiles(judged: JudgedExport): void {
  const { findings, facts, isOthers } = judged;
  const { manifest, digests } = facts;
  if (manifest === undefined) return;
  if (isOthers && manifest.files.size === 0) return findings.unchecked("files", "the manifest lists no files");
  for (const [path, digest] of manifest.files) {
    const found = digests.get(path);
    if (found === undefined) findings.fault("files", `${path} is listed, and not there`, { file: path });
    else if (found.some((byte, at) => byte !== digest[at]))
      findings.fault("files", `${path} is not the file that is listed`, { file: path });
  }
  for (const path of digests.keys())
    if (path !== FILE && !manifest.files.has(path))
      findings.fault("files", `${path} is there, and not listed`, { file: path });
  if (manifest.files.has(FILE)) findings.fault("files", "the manifest lists itself", { file: FILE });
  checkListings(judged);
  findings.done("files");
}

function checkListings({ findings, artifacts, isOthers }: JudgedExport): void {
  for (const { digest, marks } of artifacts.entries()) {
    const [present, listed, kind] = [(marks & PRESENT) !== 0, (marks & LISTED) !== 0, (marks & KIND) !== 0];
    if (present === listed && (listed === kind || isOthers)) continue;
    const path = `artifacts/${hexOf(digest)}`;
    const fault = (message: string): void => findings.fault("files", `${path} ${message}`, { file: path });
    if (present && !listed) fault("is there, and not listed");
    if (listed && !present) fault("is listed, and not there");
    if (listed && !kind && !isOthers) fault("is listed under no kind of artifact");
    if (kind && !listed && !isOthers) fault("is an artifact of the manifest, and not listed");
  }
}
