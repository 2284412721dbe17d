// State as the next decision must see it: what is stored, overlaid with what was decided and is not durable yet.
import { EvidenceUnavailableError } from "../../core/errors.ts";
import { meshOf, type Mesh, type MeshPart } from "../../core/mesh.ts";
import type { Workload } from "../../core/workload.ts";
import type { StateWrite, StoreReader } from "../../store/store.ts";

/** Workloads kept for quick reading, beyond those that are not durable yet. */
const KEPT_MAX = 10_000;
/** Tenants whose meshes are kept, beyond those with commands that are not durable yet. */
const TENANTS_KEPT_MAX = 1000;
const MESH_PARTS_READ = 10_000;

interface Kept {
  readonly workload: Workload | undefined;
  /** Durable once the ledger has committed this many events. */
  readonly ticket: number;
}

/** All meshes of one tenant: as the next decision must see them, and as far as they are durable. */
interface KeptMeshes {
  readonly decided: Map<string, Mesh>;
  readonly durable: Map<string, Mesh>;
  /** Commands that are not durable yet. */
  waiting: number;
}

/** A mesh as a command left it, until the command is durable. */
interface MeshStep {
  readonly of: KeptMeshes;
  readonly mesh: Mesh;
  readonly ticket: number;
}

export class StateView {
  readonly #reader: StoreReader;
  readonly #workloads = new Map<string, Kept>();
  /** Of each tenant that was asked about. */
  readonly #meshes = new Map<string, KeptMeshes>();
  /** In the order in which they become durable. */
  #meshSteps: MeshStep[] = [];
  /** How to take back what the running `attempt` has set, last first. */
  #undo: (() => void)[] | undefined;

  constructor(reader: StoreReader) {
    this.#reader = reader;
  }

  /** A workload, live or destroyed; undefined where it was never admitted. @throws EvidenceUnavailableError the store cannot be read. */
  workload(tenantId: string, workloadId: string): Workload | undefined {
    const name = `${tenantId} ${workloadId}`;
    const kept = this.#workloads.get(name);
    if (kept) return kept.workload;
    const stored = this.#read(() => this.#reader.state("workload", tenantId, workloadId));
    const workload = stored === undefined ? undefined : (JSON.parse(stored) as Workload);
    this.#workloads.set(name, { workload, ticket: 0 });
    return workload;
  }

  /**
   * Overlays a workload.
   * @param ticket the count of appended events with which it becomes durable.
   * @returns the write that makes it so.
   */
  setWorkload(workload: Workload, ticket: number): StateWrite {
    const { tenant_id, workload_id, reattestation } = workload;
    const name = `${tenant_id} ${workload_id}`;
    const before = this.#workloads.get(name);
    this.#undo?.push(() => (before ? this.#workloads.set(name, before) : this.#workloads.delete(name)));
    this.#workloads.delete(name);
    this.#workloads.set(name, { workload, ticket });
    const due = reattestation && !reattestation.missed ? { due_ms: Date.parse(reattestation.by) } : {};
    return { kind: "workload", tenant_id, key: workload_id, value: JSON.stringify(workload), ...due };
  }

  /** A tenant's meshes by id, as the next decision must see them. @throws EvidenceUnavailableError the store cannot be read. */
  meshes(tenantId: string): ReadonlyMap<string, Mesh> {
    return this.#meshesOf(tenantId).decided;
  }

  /** A tenant's meshes by id, as far as they are durable. @throws EvidenceUnavailableError the store cannot be read. */
  durableMeshes(tenantId: string): ReadonlyMap<string, Mesh> {
    return this.#meshesOf(tenantId).durable;
  }

  /**
   * Overlays a mesh.
   * @param ticket the count of appended events with which it becomes durable.
   * @returns the writes that make it so.
   */
  setMesh(tenantId: string, mesh: Mesh, changes: readonly MeshPart[], ticket: number): StateWrite[] {
    const of = this.#meshesOf(tenantId);
    const before = of.decided.get(mesh.mesh_id);
    this.#undo?.push(() => {
      if (before) of.decided.set(mesh.mesh_id, before);
      else of.decided.delete(mesh.mesh_id);
      of.waiting--;
      this.#meshSteps.pop();
    });
    of.decided.set(mesh.mesh_id, mesh);
    of.waiting++;
    this.#meshSteps.push({ of, mesh, ticket });
    return changes.map(({ part, key, value }) => ({
      kind: "mesh",
      tenant_id: tenantId,
      // Identifiers have no space.
      key: `${mesh.mesh_id} ${part} ${key}`,
      value: value === null ? null : JSON.stringify(value),
    }));
  }

  /** Runs synchronous work; if it throws, what it set is as it was before. */
  attempt<T>(work: () => T): T {
    const undo: (() => void)[] = (this.#undo = []);
    try {
      return work();
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    } finally {
      this.#undo = undefined;
    }
  }

  /** Takes note of what is durable, and lets go of what was asked about longest ago. */
  trim(committed: number): void {
    this.#settleMeshes(committed);
    for (const [name, { ticket }] of this.#workloads) {
      if (this.#workloads.size <= KEPT_MAX || ticket > committed) return;
      this.#workloads.delete(name);
    }
  }

  /** Forgets everything, so that it is read from the store again. */
  reset(): void {
    this.#workloads.clear();
    this.#meshes.clear();
    this.#meshSteps = [];
  }

  #settleMeshes(committed: number): void {
    let settled = 0;
    for (const { of, mesh, ticket } of this.#meshSteps) {
      if (ticket > committed) break;
      of.durable.set(mesh.mesh_id, mesh);
      of.waiting--;
      settled++;
    }
    if (settled > 0) this.#meshSteps.splice(0, settled);
  }

  #meshesOf(tenantId: string): KeptMeshes {
    let kept = this.#meshes.get(tenantId);
    if (!kept) {
      const durable = this.#read(() => readMeshes(this.#reader, tenantId));
      kept = { decided: new Map(durable), durable, waiting: 0 };
      this.#meshes.set(tenantId, kept);
      this.#trimTenants(kept);
    }
    return kept;
  }

  #trimTenants(latest: KeptMeshes): void {
    for (const [tenantId, kept] of this.#meshes) {
      if (this.#meshes.size <= TENANTS_KEPT_MAX) return;
      if (kept.waiting === 0 && kept !== latest) this.#meshes.delete(tenantId);
    }
  }

  #read<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw new EvidenceUnavailableError(`the store cannot be read: ${(error as Error).message}`, { cause: error });
    }
  }
}

/** A tenant's meshes as they are stored. */
export function readMeshes(reader: StoreReader, tenantId: string): Map<string, Mesh> {
  const parts = new Map<string, MeshPart[]>();
  let after: { tenant_id: string; key: string } | undefined;
  do {
    const rows = reader.states("mesh", tenantId, MESH_PARTS_READ, after);
    for (const { key, value } of rows) {
      const [meshId, part, partKey] = key.split(" ") as [string, string, string];
      const of = parts.get(meshId) ?? [];
      of.push({ part, key: partKey, value: JSON.parse(value) } as MeshPart);
      parts.set(meshId, of);
    }
    after = rows.length < MESH_PARTS_READ ? undefined : rows.at(-1);
  } while (after);
  return new Map([...parts].map(([meshId, of]) => [meshId, meshOf(of)!]));
}
