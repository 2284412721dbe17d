// How each node stands to a workload, by its own evidence: the decision in force there, and which decisions it was made knowing of (docs/decisions/0131).
import type { EvidenceEvent } from "./schema/event.ts";
import type { AdmitDetails, Standing, SupersededDetails } from "./workload.ts";

/** What one node's stream says of a workload. */
interface Stand {
  standing: Standing | undefined;
  /** Ids of decisions that resolutions on its record have dealt with. */
  readonly known: Set<string>;
  /** Those among them that it knew when it decided. */
  basis: ReadonlySet<string>;
}

/** The types of event that are of any consequence here. */
export const STANDING_TYPES = [
  "workload.admit",
  "workload.refuse",
  "workload.envelope.destroy",
  "decision.superseded",
] as const;

/** Folds the events on one workload, of all nodes, each node's in their order. */
export class Standings {
  readonly #stands = new Map<string, Stand>();
  /** By the id of a decision, the one that stands in its place: by this node's own word. */
  readonly #replaced = new Map<string, Standing>();
  readonly #ownId: string;

  /** @param ownId the node whose resolutions hold even where the others do not know of them yet. */
  constructor(ownId: string) {
    this.#ownId = ownId;
  }

  fold(event: EvidenceEvent): void {
    const nodeId = event.chain_id.slice(event.tenant_id.length + 1);
    const stand = this.#stands.get(nodeId) ?? { standing: undefined, known: new Set(), basis: new Set() };
    this.#stands.set(nodeId, stand);
    if (event.event_type === "decision.superseded") return this.#resolve(nodeId, stand, event);
    if (event.event_type === "workload.envelope.destroy") {
      if (event.outcome === "accepted") stand.standing = undefined;
      return;
    }
    // A refusal leaves an admission that is in force (spec law §4).
    if (event.event_type === "workload.refuse" && stand.standing?.outcome === "accepted") return;
    stand.standing = standingOf(nodeId, event);
    stand.basis = new Set(stand.known);
  }

  #resolve(nodeId: string, stand: Stand, event: EvidenceEvent): void {
    if (event.outcome !== "accepted") return;
    const { standing, superseded, alike } = event.details as unknown as SupersededDetails;
    const ids = superseded.map(({ event_id }) => event_id);
    for (const { event_id } of [standing, ...superseded, ...alike]) stand.known.add(event_id);
    if (stand.standing && ids.includes(stand.standing.event_id)) {
      stand.standing = standing;
      stand.basis = new Set(stand.known);
    }
    if (nodeId === this.#ownId) for (const id of ids) this.#replaced.set(id, standing);
  }

  /** The decisions that differ and that no node has made knowing of the others; none where all are alike. */
  conflict(): Standing[] {
    const stands = [...this.#stands.values()].flatMap(({ standing, basis }) =>
      standing ? [{ standing: this.#inForce(standing), basis }] : [],
    );
    const open = stands.filter(
      ({ standing: { event_id } }) =>
        !stands.some((other) => other.standing.event_id !== event_id && other.basis.has(event_id)),
    );
    const left = [...new Map(open.map(({ standing }) => [standing.event_id, standing])).values()];
    return new Set(left.map(outcomeOf)).size > 1 ? left : [];
  }

  #inForce(standing: Standing): Standing {
    let found = standing;
    for (let hops = 0; hops <= this.#replaced.size; hops++) {
      const next = this.#replaced.get(found.event_id);
      if (next === undefined) break;
      found = next;
    }
    return found;
  }
}

const outcomeOf = ({ outcome, envelope, least_level }: Standing): string =>
  outcome === "refused" ? outcome : `${outcome} ${envelope} ${least_level}`;

function standingOf(node_id: string, event: EvidenceEvent): Standing {
  const details = event.details as unknown as AdmitDetails;
  const accepted = event.event_type === "workload.admit";
  return {
    node_id,
    event_id: event.id,
    at: event.occurred_at,
    outcome: accepted ? "accepted" : "refused",
    envelope: details.envelope?.declared ?? null,
    least_level: accepted ? details.least_level : null,
    refusal_reason_code: event.refusal_reason_code ?? null,
    policy_snapshot_id: event.policy_snapshot_id,
    admission: accepted ? details : null,
  };
}
