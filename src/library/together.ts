// Several exports looked at together: whether the events on each workload and mesh, over all of their streams, are one history (spec replicas §4).
import type { EvidenceEvent } from "../core/schema/event.ts";
import { FoldedStates } from "../evidence/fsck/folded-states.ts";
import { Scratch } from "../store/scratch.ts";
import { exportedEvents } from "./exports.ts";

const PLACES = "places";
/** More tell nothing new. */
const FAULTS_MAX = 1000;

/**
 * Folds the events of exports in the order of the versions that they tell. Nothing of them is verified here.
 * @returns what makes them no one history: gaps, twins, forks; none where they are. @throws NoExportError
 */
export async function foldTogether(paths: readonly string[]): Promise<string[]> {
  using folded = new FoldedStates();
  using places = new Scratch();
  const forks = new Set<string>();
  for (const path of paths)
    for await (const event of exportedEvents(path)) {
      const known = knownAs(places, event);
      if (known === undefined) folded.fold(event);
      else if (known !== event.event_hash && forks.size < FAULTS_MAX)
        forks.add(`a fork, two events are number ${event.sequence} of ${event.chain_id}`);
    }
  return [...forks, ...folded.faults()];
}

/** The hash of the event that came in this place before; the first that comes is kept. */
function knownAs(places: Scratch, { chain_id, sequence, event_hash }: EvidenceEvent): string | undefined {
  const place = { tenant_id: String(chain_id), key: String(sequence) };
  const known = places.get(PLACES, place);
  if (known === undefined) places.set(PLACES, place, String(event_hash));
  return known;
}
