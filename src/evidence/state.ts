// State as the next decision must see it: what is stored, overlaid with what was decided and is not durable yet.
import { EvidenceUnavailableError } from "../core/errors.ts";
import { meshOf, type Mesh, type MeshPart } from "../core/mesh.ts";
import type { Workload } from "../core/workload.ts";
import type { StateWrite, StoreReader } from "../store/store.ts";

/** Workloads kept for quick reading, beyond those that are not durable yet. */
const KEPT_MAX = 10_000;
const MESH_PARTS_READ = 100_000;

interface Kept {
  readonly workload: Workload | undefined;
  /** Durable once the ledger has committed this many events. */
  readonly ticket: number;
}

export class StateView {
  readonly #reader: StoreReader;
  readonly #workloads = new Map<string, Kept>();
  /** All meshes of each tenant that was asked about. */
  readonly #meshes = new Map<string, Map<string, Mesh>>();
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

  /** A tenant's meshes by id. @throws EvidenceUnavailableError the store cannot be read. */
  meshes(tenantId: string): ReadonlyMap<string, Mesh> {
    return this.#meshesOf(tenantId);
  }

  /** Overlays a mesh, kept until `reset`. @returns the writes that make it durable. */
  setMesh(tenantId: string, mesh: Mesh, changes: readonly MeshPart[]): StateWrite[] {
    const meshes = this.#meshesOf(tenantId);
    const before = meshes.get(mesh.mesh_id);
    this.#undo?.push(() => (before ? meshes.set(mesh.mesh_id, before) : meshes.delete(mesh.mesh_id)));
    meshes.set(mesh.mesh_id, mesh);
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

  /** Lets go of the oldest workloads that are durable. */
  trim(committed: number): void {
    for (const [name, { ticket }] of this.#workloads) {
      if (this.#workloads.size <= KEPT_MAX || ticket > committed) return;
      this.#workloads.delete(name);
    }
  }

  /** Forgets everything, so that it is read from the store again. */
  reset(): void {
    this.#workloads.clear();
    this.#meshes.clear();
  }

  #meshesOf(tenantId: string): Map<string, Mesh> {
    let meshes = this.#meshes.get(tenantId);
    if (!meshes) {
      meshes = this.#read(() => readMeshes(this.#reader, tenantId));
      this.#meshes.set(tenantId, meshes);
    }
    return meshes;
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
