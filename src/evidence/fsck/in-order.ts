// Events of several streams on one workload, mesh or namespace, brought into the order of its versions (spec replicas §4); what breaks that order is named.
import { nameOfEntity, revisionOf, type Entity } from "../../core/revisions.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { Scratch } from "../../store/scratch.ts";

/** How far each entity was folded, and what came before its turn. */
const [FOLDED, WAITING] = ["folded", "waiting"];
const PAGE = 500;
/** As many digits as a safe integer has, so that keys sort as numbers do. */
const DIGITS = 16;
/** Faults that are told; more tell nothing new. */
const FAULTS_MAX = 1000;

/** @returns whether the event changed anything. @throws Error it does not continue what was folded before. */
type Fold = (entity: Entity, event: EvidenceEvent) => boolean;

export class InOrder {
  readonly #scratch: Scratch;
  readonly #fold: Fold;
  readonly #faults = new Set<string>();

  /** @param scratch keeps what must wait, so that a million of them take no more memory than one. */
  constructor(scratch: Scratch, fold: Fold) {
    this.#scratch = scratch;
    this.#fold = fold;
  }

  /** Folds it once every version before its own was, and then whatever waited for it. Those that tell no version come as they are given. */
  take(entity: Entity, event: EvidenceEvent): void {
    const revision = revisionOf(event);
    if (revision === null) return;
    const folded = this.#folded(entity);
    if (revision === undefined) return this.#foldNow(entity, event, folded + 1, false);
    const waiting = revision > folded + 1 ? this.#waiting(entity, revision) : undefined;
    if (revision <= folded || waiting !== undefined)
      return this.#fault(entity, `a twin, ${placeOf(event)} leads to revision ${revision} as another event does`);
    if (revision > folded + 1) return this.#scratch.set(WAITING, at(entity, revision), JSON.stringify(event));
    this.#foldNow(entity, event, revision, true);
    this.#foldWaiting(entity, revision + 1);
  }

  /** What broke the order, and what still waits for an event that never came. */
  faults(): string[] {
    const found = [...this.#faults];
    let last: { name: string; revision: number } | undefined;
    for (const { tenant_id, key } of this.#allWaiting()) {
      const [kind, id, digits] = key.split(" ") as [Entity["kind"], string, string];
      const entity: Entity = { kind, tenant_id, id };
      const [name, revision] = [nameOfEntity(entity), Number(digits)];
      const expected = (last?.name === name ? last.revision : this.#folded(entity)) + 1;
      if (revision > expected && found.length < FAULTS_MAX)
        found.push(`${name}: a gap, no event leads to revision ${spanOf(expected, revision - 1)}`);
      last = { name, revision };
    }
    return found;
  }

  #foldWaiting(entity: Entity, from: number): void {
    for (let revision = from; ; revision++) {
      const text = this.#waiting(entity, revision);
      if (text === undefined) return;
      this.#scratch.set(WAITING, at(entity, revision), null);
      this.#foldNow(entity, JSON.parse(text) as EvidenceEvent, revision, true);
    }
  }

  /** @param told it says itself that it leads to this revision, and so it changes something. */
  #foldNow(entity: Entity, event: EvidenceEvent, revision: number, told: boolean): void {
    let changed = told;
    try {
      const changes = this.#fold(entity, event);
      if (told && !changes)
        this.#fault(entity, `${placeOf(event)} changes nothing, and says it leads to revision ${revision}`);
      changed ||= changes;
    } catch (error) {
      this.#fault(
        entity,
        `a fork, ${placeOf(event)} does not continue revision ${revision - 1}: ${(error as Error).message}`,
      );
    }
    if (changed) this.#scratch.set(FOLDED, at(entity), String(revision));
  }

  #folded(entity: Entity): number {
    return Number(this.#scratch.get(FOLDED, at(entity)) ?? 0);
  }

  #waiting(entity: Entity, revision: number): string | undefined {
    return this.#scratch.get(WAITING, at(entity, revision));
  }

  *#allWaiting(): Generator<{ tenant_id: string; key: string }, void, undefined> {
    for (let page = this.#scratch.page(WAITING, PAGE, undefined); page.length > 0; ) {
      yield* page;
      page = this.#scratch.page(WAITING, PAGE, page.at(-1));
    }
  }

  #fault(entity: Entity, message: string): void {
    if (this.#faults.size < FAULTS_MAX) this.#faults.add(`${nameOfEntity(entity)}: ${message}`);
  }
}

/** Identifiers have no space. */
const at = ({ kind, tenant_id, id }: Entity, revision?: number): { tenant_id: string; key: string } => ({
  tenant_id,
  key: revision === undefined ? `${kind} ${id}` : `${kind} ${id} ${String(revision).padStart(DIGITS, "0")}`,
});

const placeOf = ({ chain_id, sequence }: EvidenceEvent): string => `event ${sequence} of ${chain_id}`;
const spanOf = (from: number, to: number): string => (from === to ? String(from) : `${from} to ${to}`);
