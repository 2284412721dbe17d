// Checks of artifacts: what events point to is there with its digest, or was erased on record; and so are policies and authority.
import { digestBytes, digestText, EMPTY_SNAPSHOT } from "../../../core/digest.ts";
import { FILE } from "../events.ts";
import { FILE as MANIFEST } from "../manifest.ts";
import type { ErasedArtifact } from "../report.ts";
import type { NotableEvent } from "../event-rows.ts";
import { NAMED, PRESENT, REFERENCED } from "../digest-marks.ts";
import { firstOf, type JudgedExport } from "./judged.ts";
import { readRecords } from "./signatures.ts";

/** Where an event says that an artifact was erased, and on what basis, its absence is no fault. @returns those. */
export async function checkArtifacts(judged: JudgedExport): Promise<ErasedArtifact[]> {
  const { findings, facts, artifacts, isOthers } = judged;
  const erasures = await readErasures(judged);
  const erased: ErasedArtifact[] = [];
  for (const { digest, marks, number } of artifacts.entries()) {
    if ((marks & REFERENCED) === 0 || isThere(judged, marks)) continue;
    const artifact = digestText(digest);
    const erasure = erasures.of(artifact, firstOf(facts) + number);
    if (erasure === undefined)
      findings.fault("artifacts", `the artifact ${artifact} is not there, and no event says that it was erased`, {
        file: FILE,
        index: number,
      });
    else
      erased.push({
        sequence: firstOf(facts) + number,
        artifact,
        basis: String(erasure.details["basis"]),
        erasure_event_id: erasure.id,
      });
  }
  const unaddressed = facts.manifest?.unaddressed ?? facts.events?.unaddressed?.message;
  if (isOthers && unaddressed !== undefined)
    findings.unchecked(
      "artifacts",
      `some are named by no digest, so nothing shows that they are the same: ${unaddressed}`,
    );
  findings.done(
    "artifacts",
    erased.length === 0
      ? undefined
      : `all are there, but ${erased.length} that ${erased.length === 1 ? "was" : "were"} erased, on record`,
  );
  return erased.sort((a, b) => a.sequence - b.sequence);
}

/** Other producers name the files of artifacts as they like. */
const isThere = ({ isOthers }: JudgedExport, marks: number): boolean =>
  (marks & (isOthers ? PRESENT | NAMED : PRESENT)) !== 0;

interface Erasures {
  /** The event that says that an artifact is gone, by its digest, or by the place of the event that points to it. */
  of(artifact: string, sequence: number): Erasing | undefined;
}

type Erasing = Pick<NotableEvent, "id" | "details">;

/** By artifact: events in the range, and records of later ones that the manifest brings, if they verify. */
async function readErasures(judged: JudgedExport): Promise<Erasures> {
  const { facts, findings } = judged;
  const claimed = facts.manifest?.erasures ?? [];
  const later = await readRecords(judged, claimed, "chain.anchor");
  if (later.length < claimed.length)
    findings.fault(
      "artifacts",
      "erasures holds a record that proves no erasure",
      { file: MANIFEST },
      claimed.length - later.length,
    );
  const found = new Map<string, Erasing>();
  const ranges: { readonly from: number; readonly to: number; readonly event: Erasing }[] = [];
  for (const event of [...(facts.events?.notable ?? []), ...later]) {
    const { action, artifact_digest, basis, from_sequence: from, to_sequence: to } = event.details ?? {};
    if (typeof basis !== "string" || basis === "") continue;
    if (action === "artifact_erased" && typeof artifact_digest === "string") found.set(artifact_digest, event);
    else if (action === "artifacts_expired" && typeof from === "number" && typeof to === "number")
      ranges.push({ from, to, event });
  }
  return {
    of: (artifact, sequence) =>
      found.get(artifact) ?? ranges.find(({ from, to }) => from <= sequence && sequence <= to)?.event,
  };
}

const SNAPSHOTS = { policy: "the policy bundle", authority: "the authority material", settings: "the settings" };

/** The bundles and settings that decided, and the authority material that was used, are among the artifacts. */
export function checkPolicies(judged: JudgedExport, erased: readonly ErasedArtifact[]): void {
  const { findings, facts, artifacts, isOthers } = judged;
  const gone = new Set(erased.map(({ artifact }) => artifact));
  for (const { digest, index, member } of facts.events?.snapshots.values() ?? []) {
    const place = { file: FILE, index };
    const bytes = digestBytes(digest);
    if (bytes === undefined && isOthers)
      findings.unchecked("policies", `a ${member}_snapshot_id is no digest, so nothing shows what it stands for`);
    else if (bytes === undefined) findings.fault("policies", `${member}_snapshot_id is no digest`, place);
    else if (digest !== EMPTY_SNAPSHOT && !isThere(judged, artifacts.marks(bytes)) && !gone.has(digest))
      findings.fault("policies", `${SNAPSHOTS[member]} ${digest} is not there`, place);
  }
  findings.done("policies");
}
