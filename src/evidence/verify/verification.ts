// Verifies an export (spec evidence §6): reads it once as it streams by, keeping digests and nothing else, then draws conclusions check by check.
import type { ArchiveEntry } from "../../archive/tar.ts";
import { checkArtifacts, checkPolicies } from "./checks/artifacts.ts";
import { checkEvents, checkSegment } from "./checks/chain.ts";
import { type JudgedExport, membersOf, signersOf } from "./checks/judged.ts";
import { checkCheckpoint, checkInclusion } from "./checks/log.ts";
import { checkFiles, checkManifest, checkMethods } from "./checks/manifest.ts";
import { checkEcs, checkProfile } from "./checks/profile.ts";
import {
  checkHandOvers,
  checkKeys,
  checkManifestSignatures,
  checkRecords,
  checkRotations,
  checkSegmentSignature,
  checkSigner,
} from "./checks/signatures.ts";
import { checkSince, headOf, readEarlierHead } from "./checks/since.ts";
import type { Checker, ReadingContext } from "./context.ts";
import { type ArchiveLimits, DEFAULT_ARCHIVE_LIMITS, isFileName } from "./files.ts";
import { type PinnedKeys, readPins } from "./keys.ts";
import type { Primitives } from "./primitives.ts";
import { readFacts } from "./reading.ts";
import { type ErasedArtifact, type ExportSummary, Findings, type VerifyReport } from "./report.ts";
import { checkerHere } from "./row-checks.ts";
import { DigestMarks } from "./digest-marks.ts";
import { IN_MEMORY, type PageStore } from "./pages.ts";
import { Paired } from "./tables.ts";

export interface VerifyOptions {
  /** A JWKS of keys that the auditor holds; only these may have signed. */
  readonly jwks?: PinnedKeys | undefined;
  /** Keys of the node that verifies: an export of its own is known by them. */
  readonly ownKeys?: PinnedKeys | undefined;
  /** Take the keys that came with the export for the producer's. This proves nothing about who signed. */
  readonly trustEmbeddedKeys?: boolean | undefined;
  /** Where an earlier audit ended: the text of a checkpoint of this log. What it is over is not looked at again. */
  readonly since?: string | undefined;
  /** Whether the report is to say where this one ends. */
  readonly keepHead?: boolean | undefined;
  /** Bounds of the archive. */
  readonly limits?: Partial<ArchiveLimits> | undefined;
  /** Called now and then with how many events were read. */
  readonly progress?: ((events: number) => void) | undefined;
}

/** What the verification runs on. */
export interface Machine {
  readonly primitives: Primitives;
  /** Default: in this thread. */
  readonly checker?: Checker | undefined;
  /** Default: in memory, which then grows with the export. */
  readonly scratch?: PageStore | undefined;
}

/**
 * @param open gives the export's files, from the start again when called again; null on the second call if that cannot be.
 * @throws TypeError when the keys that the caller gives are no keys, or the checkpoint is none.
 */
export async function verify(
  open: () => AsyncIterable<ArchiveEntry> | null,
  options: VerifyOptions,
  machine: Machine,
): Promise<VerifyReport> {
  const known = {
    pins: options.jwks && readPins(options.jwks, machine.primitives),
    own: options.ownKeys && readPins(options.ownKeys, machine.primitives),
    trustsEmbedded: options.trustEmbeddedKeys === true,
  };
  const earlier = options.since === undefined ? undefined : readEarlierHead(options.since);
  const context = contextOf(options, machine);
  if (earlier !== undefined) context.findings.request("since");
  const { facts, whole } = await readFacts(context, open);
  const judged: JudgedExport = { ...context, ...known, facts, ...membersOf(facts) };
  const erased = whole ? await judge(judged) : [];
  if (whole && earlier !== undefined) await checkSince(judged, earlier);
  const report = reportOf(judged, erased);
  return options.keepHead === true ? { ...report, head: report.ok ? (headOf(judged) ?? null) : null } : report;
}

/** What could not be concluded has failed, or, in an export that was never signed, was not checked. */
async function judge(judged: JudgedExport): Promise<ErasedArtifact[]> {
  checkManifest(judged);
  checkMethods(judged);
  checkKeys(judged);
  checkSigner(judged);
  checkEvents(judged);
  checkRecords(judged);
  checkSegment(judged);
  const handedOver = await checkHandOvers(judged);
  await checkManifestSignatures(judged, handedOver);
  await checkSegmentSignature(judged, handedOver);
  await checkRotations(judged);
  await checkCheckpoint(judged);
  checkInclusion(judged);
  const erased = await checkArtifacts(judged);
  checkPolicies(judged, erased);
  checkFiles(judged);
  checkProfile(judged);
  checkEcs(judged, erased);
  return erased;
}

function contextOf(
  { limits, progress }: VerifyOptions,
  { primitives, checker, scratch = IN_MEMORY }: Machine,
): ReadingContext {
  const findings = new Findings();
  const differing = (check: "records" | "segment", file: string, message: string) =>
    new Paired(scratch, (index) => findings.fault(check, message, { file, index }));
  return {
    findings,
    primitives,
    checker: checker ?? checkerHere(primitives),
    limits: { ...DEFAULT_ARCHIVE_LIMITS, ...limits },
    progress: progress ?? (() => {}),
    scratch,
    artifacts: new DigestMarks(scratch),
    eventsAndRecords: differing(
      "records",
      "records.jws",
      "the record holds another event than this line of events.jsonl",
    ),
    eventsAndSegment: differing("segment", "chain-segment.json", "the chain segment says something else of this event"),
  };
}

function reportOf(judged: JudgedExport, erased: readonly ErasedArtifact[]): VerifyReport {
  const { findings, facts, scope, pins, own } = judged;
  const first = facts.events?.first ?? scope?.from;
  const checks = findings.checks(first);
  const kids = signersOf(facts);
  const pinned = pins !== undefined || (own !== undefined && kids.length > 0 && kids.every((kid) => own.has(kid)));
  return {
    ok: checks.every(({ status }) => status === "passed"),
    is_export: [...facts.digests.keys()].some(isFileName) || !judged.artifacts.isEmpty,
    checks,
    first_bad: findings.firstBad(first),
    export: summary(judged),
    erased,
    keys: { pinned, kids },
  };
}

function summary({ facts, members, scope }: JudgedExport): ExportSummary {
  const text = (name: string): string | null => {
    const value = members.get(name);
    return typeof value === "string" ? value : null;
  };
  return {
    export_id: text("export_id"),
    tenant_id: text("tenant_id"),
    chain_id: text("chain_id"),
    evidence_profile_id: text("evidence_profile_id"),
    from_sequence: scope?.from ?? null,
    to_sequence: scope?.to ?? null,
    events: facts.events?.count ?? 0,
  };
}
