// State rebuilt from events alone, to be compared with what the store keeps. It lies in a temporary database, so that a million workloads take no more memory than one.
import { placedWith, type Placed } from "../../core/mesh-state.ts";
import { canonicalJson } from "../../core/json.ts";
import { namespaceAt, stepNamespace } from "../../core/kubernetes/namespace.ts";
import {
  MESH_EVENT_TYPES,
  meshChanges,
  meshOf,
  step,
  type MeshState,
  type MeshDetails,
  type MeshPart,
} from "../../core/mesh.ts";
import { entityOf, type Entity } from "../../core/revisions.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import { stepWorkload, type Workload } from "../../core/workload.ts";
import { Scratch } from "../../store/scratch.ts";
import type { StoreReader } from "../../store/store.ts";
import { InOrder } from "./in-order.ts";

const PAGE = 500;

const KINDS = ["workload", "mesh", "placed", "namespace"] as const;
type Kind = (typeof KINDS)[number];
type Row = { tenant_id: string; key: string; value: string };
type Place = { tenant_id: string; key: string };

export class FoldedStates implements Disposable {
  readonly #scratch = new Scratch();
  readonly #order = new InOrder(this.#scratch, (entity, event) => this.#foldOne(entity, event));

  /** Folds one event, if it is about a workload, a mesh or a namespace: once all that leads up to it was given, in whatever order. */
  fold(event: EvidenceEvent): void {
    const entity = entityOf(event);
    if (entity !== undefined) this.#order.take(entity, event);
  }

  /** What is wrong with the order of what was folded so far, e.g. `workload a of acme: a gap, no event leads to revision 3`. */
  faults(): string[] {
    return this.#order.faults();
  }

  /** Workloads, meshes and namespaces whose stored state is not what their events say, e.g. `workload a of acme`. */
  async differing(store: StoreReader): Promise<string[]> {
    const differing = new Set<string>();
    for (const kind of store.format === 1 ? (["workload", "mesh"] as const) : KINDS) {
      const stored = storedRows(store, kind);
      const folded = rows((after) => this.#scratch.page(kind, PAGE, after));
      for await (const place of unequal(stored, folded)) differing.add(nameOf(kind, place));
    }
    return [...differing];
  }

  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]();
  }

  /** @returns whether it changed anything. @throws InvariantError it does not continue what the events before it led to. */
  #foldOne({ kind, id }: Entity, event: EvidenceEvent): boolean {
    if (kind === "workload") return this.#foldWorkload(event, id);
    if (kind === "mesh") return this.#foldMesh(event, id);
    const at = namespaceAt(id);
    this.#write("namespace", at.tenant_id, at.key, stepNamespace(event));
    return true;
  }

  #foldWorkload(event: EvidenceEvent, id: string): boolean {
    const before = this.#read("workload", event.tenant_id, id) as Workload | null;
    const after = stepWorkload(before, event);
    if (after === before) return false;
    this.#write("workload", event.tenant_id, id, after);
    return true;
  }

  #foldMesh(event: EvidenceEvent, id: string): boolean {
    if (event.outcome !== "accepted") return false;
    const before =
      event.event_type === MESH_EVENT_TYPES.reload ? this.#wholeMesh(event.tenant_id, id) : this.#sliceOf(event, id);
    const after = step(before, event);
    if (after === null) return false;
    for (const { part, key, value } of meshChanges(before, after, event)) {
      this.#write("mesh", event.tenant_id, `${id} ${part} ${key}`, value);
      if (part !== "placement") continue;
      const placed = this.#read("placed", event.tenant_id, key) as Placed | null;
      this.#write("placed", event.tenant_id, key, placedWith(placed, id, value));
    }
    return true;
  }

  /** As much of the mesh as an event about one workload touches. */
  #sliceOf({ tenant_id, details }: EvidenceEvent, id: string): MeshState | null {
    const { workload_id, rail_id, from_rail_id, to_rail_id } = details as Partial<Record<string, string>> & MeshDetails;
    const rails = [rail_id, from_rail_id, to_rail_id].filter((rail) => typeof rail === "string");
    const named = [
      ["mesh", ""],
      ...rails.map((rail) => ["rail", rail]),
      ["placement", workload_id],
      ["departed", workload_id],
    ] as const;
    return meshOf(
      named.map(
        ([part, key]) => ({ part, key, value: this.#read("mesh", tenant_id, `${id} ${part} ${key}`) }) as MeshPart,
      ),
    );
  }

  /** Without the departed, on which no reload depends. */
  #wholeMesh(tenantId: string, id: string): MeshState | null {
    const parts: MeshPart[] = [];
    for (const prefix of ["mesh", "placement", "rail"]) {
      const start = `${id} ${prefix} `;
      // The head's own key is the prefix itself, so the search begins just before it.
      const behind = { tenant_id: tenantId, key: start.slice(0, -1) };
      for (const { tenant_id, key, value } of rows((after) => this.#scratch.page("mesh", PAGE, after ?? behind))) {
        if (tenant_id !== tenantId || !key.startsWith(start)) break;
        parts.push({ part: prefix, key: key.slice(start.length), value: JSON.parse(value) } as MeshPart);
      }
    }
    return meshOf(parts);
  }

  #read(kind: Kind, tenant_id: string, key: string): unknown {
    const value = this.#scratch.get(kind, { tenant_id, key });
    return value === undefined ? null : JSON.parse(value);
  }

  #write(kind: Kind, tenant_id: string, key: string, value: unknown): void {
    this.#scratch.set(kind, { tenant_id, key }, value === null ? null : canonicalJson(value));
  }
}

/** A part of a mesh is named for its mesh. */
function nameOf(kind: Kind, { tenant_id, key }: Place): string {
  if (kind === "placed") return `the placements of ${key} of ${tenant_id}`;
  return `${kind} ${kind === "mesh" ? key.split(" ", 1)[0] : key} of ${tenant_id}`;
}

function* rows(page: (after: Place | undefined) => Row[]): Generator<Row, void, undefined> {
  let last: Row | undefined;
  do {
    const found = page(last);
    yield* found;
    last = found.length < PAGE ? undefined : found.at(-1);
  } while (last);
}

async function* storedRows(store: StoreReader, kind: Kind): AsyncGenerator<Row, void, undefined> {
  let last: Row | undefined;
  do {
    const found: Row[] = await store.states(kind, undefined, PAGE, last);
    yield* found;
    last = found.length < PAGE ? undefined : found.at(-1);
  } while (last);
}

/** Where two sorted listings differ. */
async function* unequal(a: AsyncIterator<Row, void>, b: Iterator<Row, void>): AsyncGenerator<Place, void, undefined> {
  let [left, right] = [await a.next(), b.next()];
  while (!left.done || !right.done) {
    const order = compare(left.value, right.value);
    if (order !== 0) yield (order < 0 ? left.value : right.value) as Row;
    else if (canonicalOf(left.value!.value) !== right.value!.value) yield left.value!;
    if (order <= 0) left = await a.next();
    if (order >= 0) right = b.next();
  }
}

/** undefined for what is no JSON. */
function canonicalOf(stored: string): string | undefined {
  try {
    return canonicalJson(JSON.parse(stored));
  } catch {
    return undefined;
  }
}

/** By tenant, then key; what has ended comes last. Identifiers are ASCII, so this is the database's order too. */
function compare(a: Row | void, b: Row | void): number {
  if (!a || !b) return a ? -1 : b ? 1 : 0;
  if (a.tenant_id !== b.tenant_id) return a.tenant_id < b.tenant_id ? -1 : 1;
  return a.key === b.key ? 0 : a.key < b.key ? -1 : 1;
}
