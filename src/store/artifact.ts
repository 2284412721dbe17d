// An artifact is found by the word of its event, which is signed, and told apart from whatever else may lie in its place.
import { digestOfPointer } from "../core/digest.ts";
import { ArtifactAlteredError } from "../core/errors.ts";
import { digestOf, eventTextOf } from "../core/event.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { StoredArtifact } from "./store.ts";

/**
 * @param bytes that lie with the event; null: none do.
 * @param shared finds what several events point to, by its digest.
 * @returns undefined where it is gone. @throws ArtifactAlteredError it is not what the event points to.
 */
export async function artifactOfEvent(
  eventId: string,
  record: string,
  bytes: Uint8Array | null,
  shared: (digest: string) => Promise<Uint8Array | undefined>,
): Promise<StoredArtifact | undefined> {
  const { evidence_pointer } = JSON.parse(eventTextOf(record)) as EvidenceEvent;
  const digest = digestOfPointer(evidence_pointer);
  if (digest === undefined) throw new ArtifactAlteredError(`the event ${eventId} points to no artifact`);
  const found = bytes ?? (await shared(digest));
  if (found && digestOf(found) !== digest)
    throw new ArtifactAlteredError(
      `The artifact of the event ${eventId} is not the one that it points to (${digest}): the store was changed.`,
    );
  return found && { digest, bytes: found };
}
