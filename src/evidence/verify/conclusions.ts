// What follows once an export was read to its end: the checks that need more than one of its files.
import { noteKey, SIGNATURE_TYPES, verifyNote } from "../../core/note.ts";
import { canonicalText } from "./canonical.ts";
import { digestBytes, digestText, EMPTY_SNAPSHOT, HASH_PROFILE, hexOf } from "../../core/digest.ts";
import { scopeOf } from "./manifest.ts";
import { BASELINE_FIELDS, CHAIN_FIELDS, METHODS, PROFILES } from "./profiles.ts";
import type { ErasedArtifact, ExportSummary, VerifyReport } from "./report.ts";
import { checkRecords, fromBase64url, type NotableEvent } from "./rows.ts";
import { KIND, LISTED, PRESENT, REFERENCED } from "./tables.ts";
import type { Verification } from "./verification.ts";

const encoder = new TextEncoder();

/** Draws them all. What could not be concluded has failed, or, in an export that was never signed, was not checked. */
export async function conclude(v: Verification): Promise<VerifyReport> {
  const erased = v.damaged ? [] : await concludeAll(v);
  const first = v.first ?? scopeOf(v.manifest?.members ?? new Map())?.from;
  const checks = v.findings.checks(first);
  const ok = checks.every(({ status }) => status === "passed");
  const kids = [...new Set([...v.kids, ...(v.manifest?.signatures ?? []).map(({ key_id }) => key_id)])];
  return {
    ok,
    checks,
    first_bad: v.findings.firstBad(first),
    export: summary(v),
    erased,
    keys: { pinned: v.pins !== undefined, kids },
  };
}

async function concludeAll(v: Verification): Promise<ErasedArtifact[]> {
  if (!v.has("manifest.json")) v.findings.fault("manifest", "there is no manifest.json", { file: "manifest.json" });
  else if (v.manifest !== undefined) v.findings.done("manifest");
  concludeMethods(v);
  concludeKeys(v);
  concludeEvents(v);
  concludeRecords(v);
  concludeSegment(v);
  await concludeSignatures(v);
  await concludeRotations(v);
  await concludeCheckpoint(v);
  concludeInclusion(v);
  const erased = await concludeArtifacts(v);
  concludePolicies(v, erased);
  concludeFiles(v);
  concludeProfile(v);
  return erased;
}

function summary({ manifest, events }: Verification): ExportSummary {
  const text = (name: string): string | null =>
    typeof manifest?.members.get(name) === "string" ? (manifest.members.get(name) as string) : null;
  const scope = scopeOf(manifest?.members ?? new Map());
  return {
    export_id: text("export_id"),
    tenant_id: text("tenant_id"),
    chain_id: text("chain_id"),
    evidence_profile_id: text("evidence_profile_id"),
    from_sequence: scope?.from ?? null,
    to_sequence: scope?.to ?? null,
    events,
  };
}

function concludeMethods({ findings, methods, manifest, digests }: Verification): void {
  const file = "verifier-inputs.json";
  if (!digests.has(file)) return findings.unchecked("methods", "there is no verifier-inputs.json");
  const stated = (methods ?? {}) as Record<string, unknown>;
  for (const [name, method] of Object.entries(METHODS)) {
    if (stated[name] === method) continue;
    const message = `${name} is ${JSON.stringify(stated[name] ?? null)}; ${method} was applied`;
    if (manifest?.signatures === undefined && typeof stated[name] === "string") findings.unchecked("methods", message);
    else findings.fault("methods", message, { file });
  }
  const profile = manifest?.members.get("hash_profile_id");
  if (profile !== undefined && profile !== HASH_PROFILE)
    findings.fault(
      "methods",
      `hash_profile_id is ${JSON.stringify(profile)}, and this verifier knows ${HASH_PROFILE}`,
      { file: "manifest.json" },
    );
  findings.done("methods");
}

function concludeKeys(v: Verification): void {
  const { findings, keys, pins } = v;
  if (keys === undefined) return findings.unchecked("keys", "there is no keys.json");
  for (const kid of usedKids(v))
    if (pins !== undefined && !pins.has(kid))
      findings.fault("keys", `${kid} signed, and is none of the pinned keys`, { file: "keys.json" });
  if (!keys.some(({ role }) => role === "event"))
    findings.fault("keys", "there is no event key", { file: "keys.json" });
  findings.done(
    "keys",
    pins === undefined
      ? "they are what they are called; they come with the export itself, so pin them (--jwks) to know whose they are"
      : "they are what they are called, and all that signed are pinned",
  );
}

const usedKids = (v: Verification): Set<string> =>
  new Set([...v.kids, ...(v.manifest?.signatures ?? []).map(({ key_id }) => key_id)]);

function concludeEvents(v: Verification): void {
  const { findings, manifest } = v;
  if (!v.has("events.jsonl")) return findings.fault("events", "there is no events.jsonl", { file: "events.jsonl" });
  findings.done("events");
  findings.done("event_hashes");
  const scope = scopeOf(manifest?.members ?? new Map());
  const file = "events.jsonl";
  if (v.events === 0) findings.fault("events", "it holds no event", { file });
  if (scope !== undefined && v.first !== undefined && v.first !== scope.from)
    findings.fault("chain", `the range begins with ${scope.from}, and the events with ${v.first}`, { file, index: 0 });
  if (scope !== undefined && v.events < scope.to - scope.from + 1)
    findings.fault("chain", `the range has ${scope.to - scope.from + 1} events, and ${v.events} are there`, {
      file,
      index: v.events,
    });
  if (scope !== undefined && v.events > scope.to - scope.from + 1)
    findings.fault("chain", `more events are there than the range has`, { file, index: scope.to - scope.from + 1 });
  checkChains(v);
  findings.done("chain");
}

/** All events belong to the one stream that the manifest names, and that stream to its tenant. */
function checkChains({ chains, manifest, findings }: Verification): void {
  const [tenant, chain] = [manifest?.members.get("tenant_id"), manifest?.members.get("chain_id")];
  for (const { chain_id, tenant_id, index } of chains) {
    const place = { file: "events.jsonl", index };
    if (manifest !== undefined && chain_id !== chain)
      findings.fault(
        "chain",
        `the event is of the stream ${JSON.stringify(chain_id ?? null)}, not of ${JSON.stringify(chain)}`,
        place,
      );
    if (manifest !== undefined && tenant_id !== tenant)
      findings.fault(
        "chain",
        `the event is of the tenant ${JSON.stringify(tenant_id ?? null)}, not of ${JSON.stringify(tenant)}`,
        place,
      );
    if (typeof chain_id === "string" && !chain_id.startsWith(`${String(tenant_id)}/`))
      findings.fault("chain", "the event's stream is not its tenant's", place);
  }
}

function concludeRecords(v: Verification): void {
  const { findings } = v;
  if (!v.has("records.jws")) {
    for (const check of ["records", "record_signatures", "key_ranges"] as const)
      findings.unchecked(check, "there is no records.jws, so nobody vouches for the events");
    return;
  }
  if (v.keys === undefined) return;
  const [events, records] = v.eventsAndRecords.lengths;
  if (events !== records)
    findings.fault("records", `there are ${events} events and ${records} records`, {
      file: "records.jws",
      index: Math.min(events, records),
    });
  findings.done("records");
  findings.done("record_signatures");
  checkRanges(v);
  findings.done("key_ranges");
}

function checkRanges(v: Verification): void {
  const { findings, keys = [], kids, keyNumbers, first = 0, times, pins } = v;
  const byNumber = kids.map((kid) => ({
    key: keys.find((key) => key.role === "event" && key.kid === kid),
    endedAtMs: pins?.get(kid)?.endedAtMs,
  }));
  for (let index = 0; index < keyNumbers.length; index++) {
    const { key, endedAtMs } = byNumber[keyNumbers[index]!] ?? {};
    if (key === undefined) continue;
    const place = { file: "records.jws", index };
    const sequence = first + index;
    if (sequence < key.from || (key.to !== null && sequence > key.to))
      findings.fault(
        "key_ranges",
        `it is signed by ${key.kid}, which was valid from ${key.from} to ${key.to ?? "now"}`,
        place,
      );
    if (key.compromisedAtMs !== undefined && !(times[index]! < key.compromisedAtMs))
      findings.fault("key_ranges", `it is signed by ${key.kid} after that key was known to others`, place);
    if (endedAtMs !== undefined && !(times[index]! <= endedAtMs))
      findings.fault("key_ranges", `it is signed by ${key.kid} after that key's end, by the pinned keys`, place);
  }
  checkRotations(v);
}

/** A key takes over only where its predecessor said so, in the last event that it signed (spec evidence §5). */
function checkRotations({ findings, keys = [], first = 0, events, notable }: Verification): void {
  const ordered = keys.filter(({ role }) => role === "event").sort((a, b) => a.from - b.from);
  for (const [at, key] of ordered.entries()) {
    const before = ordered[at - 1];
    if (before === undefined || key.from <= first || key.from >= first + events) continue;
    const index = key.from - 1 - first;
    const rotation = notable.find((event) => event.index === index && event.event_type === "key.rotate");
    if (rotation?.details["new_kid"] !== key.kid || before.to !== key.from - 1) {
      findings.fault("key_ranges", `${key.kid} takes over, and the event before it does not say so`, {
        file: "records.jws",
        index: index + 1,
      });
    }
  }
}

function concludeSegment(v: Verification): void {
  const { findings, segment, manifest, events } = v;
  const file = "chain-segment.json";
  if (!v.has(file)) {
    findings.fault("segment", "there is no chain-segment.json", { file });
    return findings.fault("segment_hash", "there is no chain-segment.json", { file });
  }
  const scope = scopeOf(manifest?.members ?? new Map());
  const [listedEvents, listedSegment] = v.eventsAndSegment.lengths;
  if (listedEvents !== listedSegment)
    findings.fault("segment", `it lists ${listedSegment} events, and there are ${listedEvents}`, {
      file,
      index: Math.min(listedEvents, listedSegment),
    });
  if (segment.get("from_sequence") !== scope?.from || segment.get("to_sequence") !== scope?.to)
    findings.fault("segment", "its range is not the manifest's", { file });
  if (segment.get("tenant_id") !== manifest?.members.get("tenant_id"))
    findings.fault("segment", "its tenant is not the manifest's", { file });
  if (typeof segment.get("segment_id") !== "string" || typeof segment.get("algorithm") !== "string")
    findings.fault("segment", "it has no segment_id or no algorithm", { file });
  findings.done("segment");
  const root = digestText(v.eventRoot.root);
  if (segment.get("segment_hash") !== root || digestText(v.segmentRoot.root) !== root)
    findings.fault("segment_hash", "segment_hash is not the Merkle root over the event hashes", { file });
  if (events > 0) findings.done("segment_hash");
  if (manifest === undefined) return;
  if (manifest.members.get("bundle_hash") !== root)
    findings.fault("bundle_hash", "bundle_hash is not the Merkle root over the event hashes", {
      file: "manifest.json",
    });
  findings.done("bundle_hash");
}

async function concludeSignatures(v: Verification): Promise<void> {
  const { findings, manifest, segment } = v;
  if (manifest === undefined) return;
  const { signatures, signed } = manifest;
  if (signatures === undefined) findings.unchecked("manifest_signature", "the manifest is not signed");
  else await checkManifestSignatures(v, signatures, signed);
  const signature = segment.get("signature") as { key_id?: unknown; signature?: unknown } | undefined;
  if (signature === undefined && signatures === undefined)
    return findings.unchecked("segment_signature", "the chain segment is not signed");
  const { events: _, signature: __, ...rest } = Object.fromEntries(segment);
  const text = canonicalText(rest);
  const good =
    text !== undefined &&
    signature?.key_id === signatures?.[0]?.key_id &&
    (await verifies(v, signature?.key_id, [encoder.encode(text)], signature?.signature));
  if (!good)
    findings.fault(
      "segment_signature",
      "the chain segment's signature does not verify with the key that signed the manifest",
      { file: "chain-segment.json" },
    );
  findings.done("segment_signature");
}

async function checkManifestSignatures(
  v: Verification,
  signatures: readonly { key_id: string; signature: string }[],
  signed: readonly Uint8Array[],
): Promise<void> {
  const { findings, keys, pins } = v;
  const file = "manifest.json";
  if (keys === undefined) return findings.unchecked("manifest_signature", "there is no keys.json");
  for (const { key_id, signature } of signatures) {
    const key = keys.find(({ kid, role }) => kid === key_id && role === "event");
    if (key === undefined)
      findings.fault("manifest_signature", `it is signed by ${key_id}, which is no event key of keys.json`, { file });
    else if (key.to !== null || key.compromisedAtMs !== undefined || pins?.get(key_id)?.endedAtMs !== undefined)
      findings.fault("manifest_signature", `it is signed by ${key_id}, which is retired`, { file });
    else if (!(await verifies(v, key_id, signed, signature)))
      findings.fault("manifest_signature", "its signature does not verify", { file });
  }
  findings.done("manifest_signature");
}

/** Keys that came after the range, and so may have signed the manifest, follow from those of the range by rotations on record. */
async function concludeRotations(v: Verification): Promise<void> {
  const { findings, keys, manifest, first = 0, events } = v;
  if (keys === undefined || manifest === undefined || events === 0) return;
  const rotations = await Promise.all(manifest.rotations.map((record) => readRecord(v, record, "key.rotate")));
  const ordered = keys.filter(({ role }) => role === "event").sort((a, b) => a.from - b.from);
  for (const [at, key] of ordered.entries()) {
    if (key.from < first + events) continue;
    const before = ordered[at - 1];
    const said =
      before?.to === key.from - 1 &&
      (rotations.some(
        (event) => event?.details["new_kid"] === key.kid && event.kid === before.kid && event.sequence === key.from - 1,
      ) ||
        // The range may end with the rotation; that its record is signed by the key before is checked with all others.
        v.notable.some(
          (event) =>
            event.event_type === "key.rotate" &&
            event.details["new_kid"] === key.kid &&
            first + event.index === key.from - 1,
        ));
    if (!said)
      findings.fault("keys", `${key.kid} came after the range, and no rotation on record says so`, {
        file: "keys.json",
      });
  }
}

async function verifies(
  { keys, primitives }: Verification,
  kid: unknown,
  messages: readonly Uint8Array[],
  signature: unknown,
): Promise<boolean> {
  const key = keys?.find((candidate) => candidate.kid === kid && candidate.role === "event");
  const bytes = typeof signature === "string" ? fromBase64url(signature) : undefined;
  if (key === undefined || bytes?.length !== 64) return false;
  for (const message of messages) if (await primitives.verifyEd25519(key.publicKey, message, bytes)) return true;
  return false;
}

async function concludeCheckpoint(v: Verification): Promise<void> {
  const { findings, note, checkpoint, keys, manifest, primitives } = v;
  const file = "checkpoint";
  if (!v.has(file)) return findings.unchecked("checkpoint", "there is no checkpoint");
  if (note === undefined || checkpoint === undefined || keys === undefined || manifest === undefined) return;
  const logKeys = keys
    .filter(({ role }) => role === "log")
    .map(({ publicKey }) => noteKey(primitives.sha256, checkpoint.origin, SIGNATURE_TYPES.ed25519, publicKey));
  const verified = await verifyNote(note, logKeys, primitives.verifyEd25519);
  if (verified === undefined) findings.fault("checkpoint", "it is signed by no log key of keys.json", { file });
  const chain = String(manifest.members.get("chain_id"));
  if (checkpoint.origin !== chain && !checkpoint.origin.endsWith(`/${chain}`))
    findings.fault("checkpoint", `it is of the log ${JSON.stringify(checkpoint.origin)}, not of ${chain}`, { file });
  const end = (v.first ?? 0) + v.events;
  if (checkpoint.size < end)
    findings.fault("checkpoint", `it covers ${checkpoint.size} records, and the range ends at ${end - 1}`, {
      file,
      index: Math.max(0, checkpoint.size - (v.first ?? 0)),
    });
  findings.done("checkpoint", `${checkpoint.origin} had ${checkpoint.size} records, with this root`);
}

function concludeInclusion(v: Verification): void {
  const { findings, inclusion, checkpoint, leaves, events } = v;
  const file = "proofs.json";
  if (!v.has(file)) return findings.unchecked("inclusion", "there is no proofs.json");
  if (inclusion === undefined || checkpoint === undefined) return;
  if (v.proofs !== events)
    return findings.fault("inclusion", `there are ${events} events and ${v.proofs} proofs`, {
      file,
      index: Math.min(events, v.proofs),
    });
  if (v.treeSize !== undefined && v.treeSize !== checkpoint.size)
    findings.fault("inclusion", "the proofs are for a tree of another size than the checkpoint's", { file });
  if (leaves.length !== events)
    return findings.fault("inclusion", "there is not one record for each proof", {
      file,
      index: Math.min(leaves.length, events),
    });
  const fault = findings.hasFault("inclusion")
    ? undefined
    : inclusion.finish((index) => leaves.at(index), checkpoint.root);
  if (fault !== undefined)
    findings.fault("inclusion", fault.message, { file, ...(fault.index !== undefined && { index: fault.index }) });
  findings.done("inclusion");
}

/** Artifacts that events point to and that are gone: where an event says so, and on what basis, that is no fault. */
async function concludeArtifacts(v: Verification): Promise<ErasedArtifact[]> {
  const { findings, artifacts, first = 0 } = v;
  const erasures = await readErasures(v);
  const erased: ErasedArtifact[] = [];
  for (const { digest, marks, number } of artifacts.entries()) {
    if ((marks & REFERENCED) === 0 || (marks & PRESENT) !== 0) continue;
    const artifact = digestText(digest);
    const erasure = erasures.get(artifact);
    if (erasure === undefined)
      findings.fault("artifacts", `the artifact ${artifact} is not there, and no event says that it was erased`, {
        file: "events.jsonl",
        index: number,
      });
    else
      erased.push({
        sequence: first + number,
        artifact,
        basis: String(erasure.details["basis"]),
        erasure_event_id: erasure.id,
      });
  }
  findings.done(
    "artifacts",
    erased.length === 0
      ? undefined
      : `all are there, but ${erased.length} that ${erased.length === 1 ? "was" : "were"} erased, on record`,
  );
  return erased.sort((a, b) => a.sequence - b.sequence);
}

/** By artifact: events in the range, and records of later ones that the manifest brings, if they verify. */
async function readErasures(v: Verification): Promise<Map<string, NotableEvent>> {
  const found = new Map<string, NotableEvent>();
  const { manifest, findings } = v;
  const later: NotableEvent[] = [];
  for (const record of manifest?.erasures ?? []) {
    const event = await readRecord(v, record, "chain.anchor");
    if (event !== undefined) later.push(event);
    else findings.fault("artifacts", "erasures holds a record that proves no erasure", { file: "manifest.json" });
  }
  for (const event of [...v.notable, ...later]) {
    const { action, artifact_digest, basis } = event.details ?? {};
    if (
      action === "artifact_erased" &&
      typeof artifact_digest === "string" &&
      typeof basis === "string" &&
      basis !== ""
    )
      found.set(artifact_digest, event);
  }
  return found;
}

type RecordedEvent = NotableEvent & { readonly sequence: number; readonly kid: string };

/** The event of a record that stands outside the range, if its signature verifies and it is of this stream and type. */
async function readRecord(
  { keys = [], manifest, primitives }: Verification,
  record: string,
  type: string,
): Promise<RecordedEvent | undefined> {
  const eventKeys = new Map(keys.filter(({ role }) => role === "event").map(({ kid, publicKey }) => [kid, publicKey]));
  const { faults, kids } = await checkRecords({ bytes: encoder.encode(record), first: 0 }, eventKeys, primitives);
  if (faults.length > 0 || kids.length !== 1) return undefined;
  const event = JSON.parse(new TextDecoder().decode(fromBase64url(record.split(".")[1]!))) as RecordedEvent & {
    chain_id?: unknown;
  };
  if (event.chain_id !== manifest?.members.get("chain_id") || event.event_type !== type) return undefined;
  return { ...event, kid: kids[0]! };
}

/** The bundles that decided, and the authority material that was used, are among the artifacts. */
function concludePolicies({ findings, snapshots, artifacts }: Verification, erased: readonly ErasedArtifact[]): void {
  for (const { digest, index, member } of snapshots.values()) {
    const bytes = digestBytes(digest);
    const what = member === "policy" ? "the policy bundle" : "the authority material";
    if (bytes === undefined)
      findings.fault("policies", `${member}_snapshot_id is no digest`, { file: "events.jsonl", index });
    else if (
      digest !== EMPTY_SNAPSHOT &&
      (artifacts.marks(bytes) & PRESENT) === 0 &&
      !erased.some(({ artifact }) => artifact === digest)
    ) {
      findings.fault("policies", `${what} ${digest} is not there`, { file: "events.jsonl", index });
    }
  }
  findings.done("policies");
}

function concludeFiles(v: Verification): void {
  const { findings, manifest, digests, artifacts } = v;
  if (manifest === undefined) return;
  for (const [path, digest] of manifest.files) {
    const found = digests.get(path);
    if (found === undefined) findings.fault("files", `${path} is listed, and not there`, { file: path });
    else if (found.some((byte, at) => byte !== digest[at]))
      findings.fault("files", `${path} is not the file that is listed`, { file: path });
  }
  for (const path of digests.keys())
    if (path !== "manifest.json" && !manifest.files.has(path))
      findings.fault("files", `${path} is there, and not listed`, { file: path });
  if (manifest.files.has("manifest.json"))
    findings.fault("files", "the manifest lists itself", { file: "manifest.json" });
  for (const { digest, marks } of artifacts.entries()) {
    const path = `artifacts/${hexOf(digest)}`;
    const [present, listed, kind] = [(marks & PRESENT) !== 0, (marks & LISTED) !== 0, (marks & KIND) !== 0];
    if (present && !listed) findings.fault("files", `${path} is there, and not listed`, { file: path });
    if (listed && !present) findings.fault("files", `${path} is listed, and not there`, { file: path });
    if (listed && !kind) findings.fault("files", `${path} is listed under no kind of artifact`, { file: path });
    if (kind && !listed)
      findings.fault("files", `${path} is an artifact of the manifest, and not listed`, { file: path });
  }
  findings.done("files");
}

function concludeProfile(v: Verification): void {
  const { findings, manifest, unchained } = v;
  if (manifest === undefined) return;
  const name = String(manifest.members.get("evidence_profile_id"));
  const demands = PROFILES[name];
  const file = "manifest.json";
  if (demands === undefined)
    return findings.fault("profile", `${JSON.stringify(name)} is no profile that this verifier knows`, { file });
  for (const kind of demands.artifacts)
    if (!manifest.kinds.has(kind)) findings.fault("profile", `${name} demands artifacts of the kind ${kind}`, { file });
  if (demands.chained && unchained !== undefined)
    findings.fault("profile", `${name} demands chained events: ${unchained.message}`, {
      file: "events.jsonl",
      index: unchained.index,
    });
  findings.done(
    "profile",
    `${name}: ${BASELINE_FIELDS.length + (demands.chained ? CHAIN_FIELDS.length : 0)} fields of each event${demands.artifacts.length > 0 ? `, and artifacts of the kinds ${demands.artifacts.join(", ")}` : ""}`,
  );
}
