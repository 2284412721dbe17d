// Erasing an artifact: an event's input and decision go for good, on record; the event, its signature, the chain and every proof stand.
import { NotFoundError, RequestError } from "../core/errors.ts";
import { chainId, eventTextOf } from "../core/event.ts";
import { saysNothing } from "../core/text.ts";
import { COMPANION_TYPES, type CompanionType } from "../core/event-types.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { Receipt } from "../evidence/ledger/entry.ts";
import type { Ledger } from "../evidence/ledger/ledger.ts";
import type { ActedBy, Recorder } from "../evidence/ledger/recorder.ts";
import { forgetOutcome } from "../gate/retries.ts";
import type { StoreReader } from "../store/store.ts";

/** It becomes part of an event. */
const BASIS_CHARS_MAX = 1024;

export interface ErasureParts {
  readonly ledger: Ledger;
  readonly recorder: Recorder;
  readonly store: StoreReader;
  readonly nodeId: string;
}

/** See RailgateNode.eraseArtifact. */
export async function eraseArtifact(
  { ledger, recorder, store, nodeId }: ErasureParts,
  eventId: string,
  basis: string,
  by: ActedBy,
): Promise<Receipt> {
  const stored = await store.event(eventId);
  const event = stored && (JSON.parse(eventTextOf(stored.record)) as EvidenceEvent);
  const chain = chainId(by.tenantId, nodeId);
  if (!event || event.chain_id !== chain || (await store.log.artifactAt(chain, event.sequence)) === undefined) {
    throw new NotFoundError(
      "artifact_unknown",
      `the stream ${chain} has no event ${eventId} with an artifact of its own`,
    );
  }
  if (saysNothing(basis) || basis.length > BASIS_CHARS_MAX)
    throw new RequestError(422, [
      { pointer: "/basis", message: `must say why, in ${BASIS_CHARS_MAX} characters at most` },
    ]);
  const { id: event_id, sequence } = await ownerOfArtifact(store, event);
  const details = {
    action: "artifact_erased",
    artifact_digest: stored!.artifact_digest,
    event_id,
    sequence,
    basis,
  };
  const [receipt] = await ledger.append([
    {
      ...recorder.entry("chain.anchor", details, by),
      erases: [sequence],
      states: await forgetOutcome(store, by.tenantId, event_id),
    },
  ]);
  return receipt!;
}

/** The event that an artifact lies with: the event itself, or the admission that it accompanies. */
async function ownerOfArtifact(store: StoreReader, event: EvidenceEvent): Promise<EvidenceEvent> {
  const { chain_id, sequence, event_type, evidence_pointer } = event;
  if (!COMPANION_TYPES.includes(event_type as CompanionType)) return event;
  return (await store.log.records(chain_id, Math.max(0, sequence - COMPANION_TYPES.length), sequence + 1))
    .map((record) => JSON.parse(eventTextOf(record)) as EvidenceEvent)
    .find((before) => before.evidence_pointer === evidence_pointer)!;
}
