// Retention: inputs and decisions that are older than their evidence profile keeps them are erased, a range in one event; records and proofs stand (spec evidence §8).
import { chainId, eventTextOf, isDecided } from "../core/event.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { Ledger } from "../evidence/ledger/ledger.ts";
import type { Recorder } from "../evidence/ledger/recorder.ts";
import { forgetOutcome } from "../gate/retries.ts";
import type { StateWrite, StoreReader } from "../store/store.ts";
import { every, type Service } from "./services.ts";

export interface Retention {
  /** By evidence profile: how long inputs and decisions are kept, in seconds. Of others they are kept for ever. */
  readonly artifacts: Readonly<Record<string, number>>;
  /** How often what is too old is looked for, in milliseconds; default: each hour. */
  readonly everyMs?: number | undefined;
}

export interface RetentionParts {
  readonly ledger: Ledger;
  readonly recorder: Recorder;
  readonly store: StoreReader;
  readonly nodeId: string;
  readonly now: () => number;
  readonly failed: (message: string) => void;
}

const EVERY_MS = 3_600_000;
/** Artifacts that are looked at, and so erased by one event, at once. */
const AT_ONCE = 500;

interface Old {
  readonly position: number;
  readonly event: EvidenceEvent;
}

export function retention(of: Retention, parts: RetentionParts): Service {
  return every(of.everyMs ?? EVERY_MS, () => expire(of, parts));
}

/** Never rejects: what could not be recorded is not erased, and is too old the next time as well. */
async function expire({ artifacts }: Retention, parts: RetentionParts): Promise<void> {
  try {
    const nowMs = parts.now();
    const beforeMs = nowMs - Math.min(...Object.values(artifacts)) * 1000;
    for (let after: number | undefined = 0; after !== undefined; ) {
      const page: Old[] = (await parts.store.artifactsBefore(beforeMs, after, AT_ONCE)).map(({ position, record }) => ({
        position,
        event: JSON.parse(eventTextOf(record)) as EvidenceEvent,
      }));
      const old = page.filter(({ event }) => isOld(event, artifacts, nowMs) && isOwn(event, parts.nodeId));
      const groups = Map.groupBy(old, ({ event }) => `${event.tenant_id} ${event.evidence_profile_id}`);
      for (const group of groups.values())
        await erase(
          group.map(({ event }) => event),
          artifacts,
          nowMs,
          parts,
        );
      after = page.at(-1)?.position;
    }
  } catch (error) {
    parts.failed((error as Error).message);
  }
}

function isOld(
  { event_type, evidence_profile_id, occurred_at }: EvidenceEvent,
  kept: Retention["artifacts"],
  nowMs: number,
): boolean {
  const keptS = kept[evidence_profile_id];
  return keptS !== undefined && isDecided(event_type) && Date.parse(occurred_at) < nowMs - keptS * 1000;
}

const isOwn = ({ tenant_id, chain_id }: EvidenceEvent, nodeId: string): boolean =>
  chain_id === chainId(tenant_id, nodeId);

/** Of one tenant and profile, in order. */
async function erase(
  events: readonly EvidenceEvent[],
  kept: Retention["artifacts"],
  nowMs: number,
  { ledger, recorder, store }: RetentionParts,
): Promise<void> {
  const { tenant_id: tenantId, evidence_profile_id: profile } = events[0]!;
  const keptS = kept[profile]!;
  const sequences = events.map(({ sequence }) => sequence);
  const details = {
    action: "artifacts_expired",
    basis: `retention: ${profile} keeps inputs and decisions for ${keptS / 86_400} days`,
    profile,
    before: new Date(nowMs - keptS * 1000).toISOString(),
    from_sequence: sequences[0],
    to_sequence: sequences.at(-1),
    artifacts: sequences.length,
  };
  const states: StateWrite[] = [];
  for (const { id } of events) states.push(...(await forgetOutcome(store, tenantId, id)));
  await ledger.append([
    {
      ...recorder.entry("chain.anchor", details, { tenantId, actor: "node" }),
      erases: sequences,
      states,
    },
  ]);
}
