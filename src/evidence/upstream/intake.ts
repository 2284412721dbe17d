// Takes the records of other nodes: checked on threads of their own, each node's in order, in one commit a request; equivocation is kept as proof.
import { RecordsRefusedError } from "../../core/errors.ts";
import { digestOf, eventTextOf } from "../../core/event.ts";
import { canonicalJson } from "../../core/json.ts";
import { cosign, formatNote, noteKey, parseCheckpoint, parseNote, SIGNATURE_TYPES } from "../../core/note.ts";
import { equalBytes } from "../../core/bytes.ts";
import { rootAt } from "../../core/merkle.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { Replication, ReplicationAnswer } from "../../core/schema/replication.ts";
import type { SupersededDetails } from "../../core/workload.ts";
import { sha256, TREE_HASHER } from "../../core/sha256.ts";
import { nodesOfTiles, overTiles } from "../../core/tiles.ts";
import type { KeyRow, StoredEvent, StoreReader } from "../../store/store.ts";
import type { StoreAt } from "../../store/open.ts";
import { loadKey, type SigningKey } from "../keys/keys.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { recordsIn, type Parcel } from "../ledger/parcel.ts";
import type { Recorder } from "../ledger/recorder.ts";
import { ed25519Sign, rawPublicKey } from "../log/note-signing.ts";
import { Checkers, type Settle } from "./checkers.ts";
import type { Equivocation } from "./check.ts";
import type { KnownNode } from "./key-ring.ts";
import { mayBring, mayBringNode } from "./senders.ts";
import type { Conflicts, Encoding } from "./messages.ts";
import type { Refused } from "./record.ts";

export interface IntakeParts {
  readonly dataDir: string;
  readonly storePath: StoreAt;
  readonly nodeId: string;
  readonly ownIds: readonly string[];
  readonly nodes: readonly KnownNode[];
  readonly store: StoreReader;
  readonly ledger: Ledger;
  readonly recorder: Recorder;
  /** Named in cosignatures. */
  readonly witnessName: string;
  readonly now: () => number;
  /** Told in commit order of what became durable. */
  readonly taken: (arrived: Arrived) => void;
  /** Threads that check, at most; default: one a core, and eight. */
  readonly checkers?: number | undefined;
}

/** Records that became durable. */
export interface Arrived {
  /** The position of the last. */
  readonly last: number;
  /** All of them, for those who look into them. */
  events(): readonly StoredEvent[];
}

export interface Offer {
  readonly chainId: string;
  readonly bytes: Uint8Array;
  readonly encoding: Encoding;
  readonly bytesMax: number;
  /** The node that sends; null: whoever may send for any. */
  readonly sender: string | null;
  /** Whether the records of a node that nobody has heard of are believed. */
  readonly firstUse: boolean;
}

/** Requests of one node that may wait for the one before them. */
const WAITING_MAX = 5;
/** Of all nodes, those that are read and verified meanwhile: each is kept in memory, unpacked, until its turn comes. */
const AHEAD_MAX = 4;
/** Resolutions in one answer. */
const SUPERSEDED_MAX = 100;

export class Intake {
  readonly #parts: IntakeParts;
  readonly #checkers: Checkers;
  /** By the last part of a stream's id, which all streams of a node share. */
  readonly #lanes = new Map<string, { waiting: number; last: Promise<unknown> }>();
  #ahead = 0;
  #witness: SigningKey | undefined;

  constructor(parts: IntakeParts) {
    this.#parts = parts;
    const { storePath, ownIds, nodes, checkers } = parts;
    this.#checkers = new Checkers({ storePath, ownIds, nodes }, checkers);
  }

  /**
   * @returns when all that is new is durable.
   * @throws RequestError the body cannot be read. @throws RecordsRefusedError nothing of it was taken.
   * @throws EvidenceUnavailableError it could not be made durable; to send it again is safe.
   */
  async take(offer: Offer): Promise<ReplicationAnswer> {
    const { chainId, sender } = offer;
    if (this.#parts.store.shared)
      throw new RecordsRefusedError("node_forbidden", "replicas that share a database take no records of others", 0);
    if (sender !== null && !mayBring(sender, chainId, this.#parts.nodes))
      throw new RecordsRefusedError("node_forbidden", `${sender} may not send the stream ${chainId}`, 0);
    const name = chainId.slice(chainId.lastIndexOf("/") + 1);
    const lane = this.#lanes.get(name) ?? { waiting: 0, last: Promise.resolve() };
    this.#lanes.set(name, lane);
    if (lane.waiting > WAITING_MAX)
      throw new RecordsRefusedError("records_busy", "as much of this node is under way as may be; ask again", 0);
    const read = () => this.#checkers.offer({ ...offer, nowMs: this.#parts.now() });
    const isFirst = lane.waiting === 0;
    const offered = isFirst ? read() : this.#readAhead(lane.last, read);
    lane.waiting++;
    const taken = this.#inTurn(lane.last, offered).then((settle) => this.#take(offer, settle));
    lane.last = taken.catch(() => {});
    try {
      return await taken;
    } finally {
      if (--lane.waiting === 0) this.#lanes.delete(name);
    }
  }

  /** While what came before is under way, if not too much is ahead already. */
  async #readAhead(before: Promise<unknown>, read: () => Promise<Settle>): Promise<Settle> {
    if (this.#ahead >= AHEAD_MAX) return before.then(read);
    this.#ahead++;
    const offered = read();
    void before.finally(() => this.#ahead--);
    return offered;
  }

  /** Behind what came before, and not sooner where this one fails. */
  async #inTurn(before: Promise<unknown>, offered: Promise<Settle>): Promise<Settle> {
    const [read] = await Promise.allSettled([offered, before]);
    if (read.status === "rejected") throw read.reason;
    return read.value;
  }

  /** Workloads that nodes have decided on differently, as far as that is on record behind a position. */
  conflicts(after: number): Promise<Conflicts> {
    return this.#checkers.conflicts(after, this.#parts.nodeId);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#lanes.values()].map(({ last }) => last));
    await this.#checkers.close();
  }

  async #take({ chainId, sender }: Offer, settle: Settle): Promise<ReplicationAnswer> {
    const { nodeId, now } = this.#parts;
    const { verdict, size, checkpoint, superseded } = await settle(now());
    if (verdict.kind === "refused")
      throw new RecordsRefusedError(verdict.code, messageOf(verdict), size, verdict.pointer);
    if (verdict.kind === "equivocation") {
      await this.#quarantine(verdict, chainId);
      const told = `${verdict.nodeId} has signed two histories of ${chainId}; the proof is on record`;
      throw new RecordsRefusedError("node_equivocation", told, size);
    }
    await this.#commit(verdict.parcels);
    return {
      chain_id: chainId,
      node_id: nodeId,
      next_sequence: verdict.nextSequence,
      accepted: verdict.accepted,
      ...(checkpoint !== undefined && { checkpoint: await this.#cosigned(chainId, checkpoint) }),
      ...(superseded && { superseded: await this.#superseded(superseded, sender) }),
    };
  }

  /** In as few commits as may be; a crash between two leaves the beginning, and the rest is asked for again. */
  async #commit(parcels: readonly Parcel[]): Promise<void> {
    let witness = await this.#readyWitness();
    for (const parcel of parcels) {
      const first = await this.#parts.ledger.replicate({ ...parcel, keys: [...parcel.keys, ...witness] });
      witness = [];
      this.#parts.taken({
        last: first + parcel.id.length - 1,
        events: () => recordsIn(parcel).map((record, i) => ({ position: first + i, record })),
      });
    }
  }

  /** Both records, kept for good; nothing more of the node is taken. */
  async #quarantine({ nodeId, sequence, first, second }: Equivocation, chainId: string): Promise<void> {
    const bytes = Buffer.from(canonicalJson({ chain_id: chainId, first, second }));
    const proof = { digest: digestOf(bytes), bytes };
    const details = { node_id: nodeId, chain_id: chainId, sequence, records: [digestOf(first), digestOf(second)] };
    await this.#parts.recorder.record(
      "node.equivocation",
      details,
      undefined,
      [{ kind: "peer", tenant_id: "default", key: nodeId, value: JSON.stringify({ quarantined: details }) }],
      proof,
    );
  }

  /** The checkpoint with our signature, where it is over what we hold; null where it is not. */
  async #cosigned(chainId: string, given: string): Promise<string | null> {
    const { store, now, witnessName } = this.#parts;
    const note = parseNote(given);
    const checkpoint = note && parseCheckpoint(note.text);
    const size = (await store.log.stream(chainId))?.size ?? 0;
    if (!checkpoint || checkpoint.size > size || checkpoint.size === 0 || !checkpoint.origin.endsWith(`/${chainId}`))
      return null;
    const root = await overTiles(
      (level, n) => store.log.tile(chainId, level, n),
      (tile) => rootAt(TREE_HASHER, nodesOfTiles(TREE_HASHER, tile), checkpoint.size),
    );
    if (!equalBytes(root, checkpoint.root)) return null;
    if (!this.#witness) return null;
    const { privateKey } = this.#witness;
    const key = noteKey(sha256, witnessName, SIGNATURE_TYPES.cosignature, rawPublicKey(privateKey));
    const ours = cosign(note.text, key, Math.floor(now() / 1000), ed25519Sign(privateKey));
    return formatNote({ text: note.text, signatures: [...note.signatures, ours] });
  }

  /** Made when the first record is taken, as a node that cosigns nothing needs none. @returns its row, where it is new. */
  async #readyWitness(): Promise<readonly KeyRow[]> {
    if (this.#witness) return [];
    const { dataDir, store, now } = this.#parts;
    const known = (await store.keys()).some(
      ({ role, node_id, retired_at_ms }) => role === "witness" && node_id === undefined && retired_at_ms === null,
    );
    const key = await loadKey(dataDir, "witness", !known);
    this.#witness = key;
    const row: KeyRow = {
      kid: key.kid,
      role: "witness",
      jwk: key.publicJwk,
      created_at_ms: now(),
      retired_at_ms: null,
    };
    return known ? [] : [row];
  }

  /** Resolutions on our record that concern these nodes. */
  async #superseded({ after, nodes }: NonNullable<Replication["superseded"]>, sender: string | null) {
    const { store, nodeId } = this.#parts;
    const mine = nodes.filter((node) => sender === null || mayBringNode(sender, node, this.#parts.nodes));
    const { events, next } = await store.page({
      event_type: "decision.superseded",
      order: "asc",
      limit: SUPERSEDED_MAX,
      after,
    });
    const records = events.flatMap(({ record }) => {
      const event = JSON.parse(eventTextOf(record)) as EvidenceEvent;
      if (event.outcome !== "accepted") return [];
      const { standing, superseded, alike } = event.details as unknown as SupersededDetails;
      const parties = [standing, ...superseded, ...alike].map(({ node_id }) => node_id);
      const ours = event.chain_id === `${event.tenant_id}/${nodeId}`;
      return ours && parties.some((party) => mine.includes(party)) ? [record] : [];
    });
    return { records, next: next ?? events.at(-1)?.position ?? after };
  }
}

const messageOf = ({ pointer, message }: Refused): string => (pointer === "" ? message : `${pointer} ${message}`);
