// Artifacts that are gone must have been erased on record: the events that say so.
import { eventTextOf } from "../../core/event.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { StoreReader } from "../../store/store.ts";
import type { Range } from "./source.ts";

const PAGE = 256;

/**
 * @param erased digests of artifacts that are not there, each with the sequence of an event that points to it.
 * @returns `later`: records behind the range that say of some of them that they were erased; `unexplained`: those of which no event says it.
 */
export async function findErasures(
  store: StoreReader,
  { chainId, to }: Range,
  erased: ReadonlyMap<string, number>,
): Promise<{ readonly later: readonly string[]; readonly unexplained: ReadonlyMap<string, number> }> {
  const later: string[] = [];
  const left = new Map(erased);
  for (let after: number | undefined; left.size > 0; ) {
    const page = await store.events({
      chain_id: chainId,
      event_type: "chain.anchor",
      order: "asc",
      limit: PAGE,
      after,
    });
    if (page.length === 0) break;
    for (const { record } of page) {
      const { details, sequence } = JSON.parse(eventTextOf(record)) as EvidenceEvent;
      const gone = goneBy(details, left);
      for (const digest of gone) left.delete(digest);
      if (gone.length > 0 && sequence > to) later.push(record);
    }
    after = page.at(-1)!.position;
  }
  return { later, unexplained: left };
}

/** Which of the artifacts that are not there an event says to be gone: one that was erased, or a range that was kept no longer. */
function goneBy(details: EvidenceEvent["details"], left: ReadonlyMap<string, number>): string[] {
  const { action, artifact_digest, from_sequence, to_sequence } = (details ?? {}) as Record<string, unknown>;
  if (action === "artifact_erased") return left.has(String(artifact_digest)) ? [String(artifact_digest)] : [];
  if (action !== "artifacts_expired") return [];
  const isWithin = (sequence: number) => sequence >= Number(from_sequence) && sequence <= Number(to_sequence);
  return [...left].flatMap(([digest, sequence]) => (isWithin(sequence) ? [digest] : []));
}
