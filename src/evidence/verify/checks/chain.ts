// Checks of the events as a chain: in order, without a gap, of one stream, and as the chain segment lists them.
import { counted } from "../../../core/counted.ts";
import { digestText } from "../../../core/digest.ts";
import { FILE } from "../events.ts";
import { FILE as MANIFEST } from "../manifest.ts";
import { FILE as SEGMENT } from "../segment.ts";
import type { JudgedExport } from "./judged.ts";
import { declaredMethod } from "./manifest.ts";

export function checkEvents(judged: JudgedExport): void {
  const { findings, facts, scope, isOthers } = judged;
  const { events, digests } = facts;
  if (!digests.has(FILE) || events === undefined)
    return findings.fault("events", "there is no events.jsonl", { file: FILE });
  const { count, first, unaddressed } = events;
  if (unaddressed !== undefined && !isOthers)
    findings.fault("events", unaddressed.message, { file: FILE, index: unaddressed.index });
  findings.done("events");
  findings.done("event_hashes");
  if (count === 0) findings.fault("events", "it holds no event", { file: FILE });
  checkStart(judged);
  if (scope !== undefined && first !== undefined && first !== scope.from)
    findings.fault("chain", `the range begins with ${scope.from}, and the events with ${first}`, {
      file: FILE,
      index: 0,
    });
  const expected = scope && scope.to - scope.from + 1;
  if (expected !== undefined && count < expected)
    findings.fault("chain", `the range has ${counted(expected, "event")}, and ${count} are there`, {
      file: FILE,
      index: count,
    });
  if (expected !== undefined && count > expected)
    findings.fault("chain", "more events are there than the range has", { file: FILE, index: expected });
  checkStreams(judged);
  findings.done("chain");
}

/** Only the first event of a stream follows none. Other producers may leave the hash out where their export begins. */
function checkStart({ findings, facts, isOthers }: JudgedExport): void {
  const { count, first, startsUnlinked, bareStart } = facts.events!;
  if (count === 0 || startsUnlinked === (first === 0) || (isOthers && bareStart)) return;
  findings.fault("chain", first === 0 ? "the first event of a stream names one before it" : "prev_hash is missing", {
    file: FILE,
    index: 0,
  });
}

/** All events belong to the one stream that the manifest names, and that stream to its tenant. */
function checkStreams({ findings, facts, members, isOthers }: JudgedExport): void {
  const [tenant, chain] = [members.get("tenant_id"), members.get("chain_id")];
  for (const { chain_id, tenant_id, index } of facts.events!.chains) {
    const fault = (message: string): void => findings.fault("chain", message, { file: FILE, index });
    if (facts.manifest !== undefined && chain_id !== chain)
      fault(`the event is of the stream ${JSON.stringify(chain_id ?? null)}, not of ${JSON.stringify(chain)}`);
    if (facts.manifest !== undefined && tenant_id !== tenant)
      fault(`the event is of the tenant ${JSON.stringify(tenant_id ?? null)}, not of ${JSON.stringify(tenant)}`);
    if (typeof chain_id === "string" && !isOthers && !chain_id.startsWith(`${String(tenant_id)}/`))
      fault("the event's stream is not its tenant's");
  }
}

export function checkSegment(judged: JudgedExport): void {
  const { findings, facts, members, scope, eventsAndSegment } = judged;
  const { segment } = facts;
  if (segment === undefined) {
    findings.fault("segment", "there is no chain-segment.json", { file: SEGMENT });
    findings.fault("segment_hash", "there is no chain-segment.json", { file: SEGMENT });
    return;
  }
  const fault = (message: string, index?: number): void =>
    findings.fault("segment", message, { file: SEGMENT, ...(index !== undefined && { index }) });
  const [events, listed] = eventsAndSegment.lengths;
  if (events !== listed)
    fault(`it lists ${counted(listed, "event")}, and there are ${events}`, Math.min(events, listed));
  if (segment.members.get("from_sequence") !== scope?.from || segment.members.get("to_sequence") !== scope?.to)
    fault("its range is not the manifest's");
  if (segment.members.get("tenant_id") !== members.get("tenant_id")) fault("its tenant is not the manifest's");
  if (typeof segment.members.get("segment_id") !== "string" || typeof segment.members.get("algorithm") !== "string")
    fault("it has no segment_id or no algorithm");
  findings.done("segment");
  checkHashes(judged);
}

function checkHashes(judged: JudgedExport): void {
  const { findings, facts, members } = judged;
  const { segment, events, manifest } = facts;
  const listsThem = digestText(segment!.root) === digestText(events?.root ?? NO_EVENTS);
  checkHash(judged, "segment_hash", listsThem ? segment!.members.get("segment_hash") : undefined, SEGMENT);
  if ((events?.count ?? 0) > 0) findings.done("segment_hash");
  if (manifest === undefined) return;
  checkHash(judged, "bundle_hash", members.get("bundle_hash"), MANIFEST);
  findings.done("bundle_hash");
}

const METHOD_SAYS = {
  segment_hash: {
    merkle: "segment_hash is not the Merkle root over the event hashes",
    flat: "segment_hash is not the hash of the event hashes, joined by newlines",
  },
  bundle_hash: {
    merkle: "bundle_hash is not the Merkle root over the event hashes",
    flat: "bundle_hash is not the hash of the event hashes, joined by newlines",
  },
} as const;

/** A hash over all events, by the method that it is declared to be made by. */
function checkHash(judged: JudgedExport, check: "segment_hash" | "bundle_hash", stated: unknown, file: string): void {
  const { findings, facts } = judged;
  const { events } = facts;
  const byTree = stated === digestText(events?.root ?? NO_EVENTS);
  const byText = events !== undefined && stated === digestText(events.flat);
  const method = declaredMethod(judged, `${check}_method`);
  if (method === "unknown") {
    if (!byTree && !byText) findings.unchecked(check, `${check} is made by a method that this verifier does not know`);
  } else if (!(method === "flat" ? byText : byTree)) findings.fault(check, METHOD_SAYS[check][method], { file });
}

const NO_EVENTS = new Uint8Array(32);
