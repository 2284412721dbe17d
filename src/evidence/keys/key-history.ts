// Which event key was valid for which sequences of a stream: derived from the stream's own events (spec evidence §5).
import { eventTextOf } from "../../core/event.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { KeyRow, StoreReader } from "../../store/store.ts";

export interface KeyRange {
  readonly row: KeyRow;
  readonly from_sequence: number;
  /** Null: still in use. */
  readonly to_sequence: number | null;
  /** RFC 3339; from then on someone else may have signed with it. */
  readonly compromised_at?: string;
}

export interface KeyHistory {
  readonly keys: readonly KeyRange[];
  /** Records of rotations behind the range: they tie the present key to the one that the range ends with. */
  readonly later: readonly string[];
  /** Keys that signed and that the store does not have. */
  readonly missing: readonly string[];
}

const PAGE = 256;

/**
 * A key is valid up to the `key.rotate` event that it signed, that event included; the one it names is valid from the next on.
 * @param to the last sequence of the range that the history is for.
 */
export async function keyHistory(store: StoreReader, chainId: string, to: number): Promise<KeyHistory> {
  const rotations = await rotationsOf(store, chainId);
  const [first] = await store.log.records(chainId, 0, 1);
  const kids = [kidOf(first!), ...rotations.map(({ event }) => String(event.details?.["new_kid"]))];
  const rows = new Map((await store.keys()).map((row) => [row.kid, row]));
  const compromised = new Map(
    rotations.flatMap(({ event }) =>
      event.details?.["compromised_at"] === undefined
        ? []
        : [[String(event.details["old_kid"]), String(event.details["compromised_at"])]],
    ),
  );
  const keys = kids.flatMap((kid, i): KeyRange[] => {
    const row = rows.get(kid);
    if (!row) return [];
    const ends = rotations[i]?.event.sequence ?? null;
    const at = compromised.get(kid);
    return [
      {
        row,
        from_sequence: i === 0 ? 0 : rotations[i - 1]!.event.sequence + 1,
        to_sequence: ends,
        ...(at !== undefined && { compromised_at: at }),
      },
    ];
  });
  return {
    keys,
    later: rotations.filter(({ event }) => event.sequence > to).map(({ record }) => record),
    missing: kids.filter((kid) => !rows.has(kid)).map((kid) => `the public key ${kid}`),
  };
}

async function rotationsOf(store: StoreReader, chainId: string): Promise<{ record: string; event: EvidenceEvent }[]> {
  const found: { record: string; event: EvidenceEvent }[] = [];
  for (let after: number | undefined; ; ) {
    const page = await store.events({ chain_id: chainId, event_type: "key.rotate", order: "asc", limit: PAGE, after });
    found.push(...page.map(({ record }) => ({ record, event: JSON.parse(eventTextOf(record)) as EvidenceEvent })));
    if (page.length < PAGE) return found;
    after = page.at(-1)!.position;
  }
}

/** The kid of a record's header. */
function kidOf(record: string): string {
  return (JSON.parse(Buffer.from(record.slice(0, record.indexOf(".")), "base64url").toString()) as { kid: string }).kid;
}
