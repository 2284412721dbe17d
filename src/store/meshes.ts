// Meshes as they are stored: whole, for whoever wants to see them. No command reads them so.
import { meshOf, type MeshState, type MeshPart } from "../core/mesh.ts";
import type { StoreReader } from "./store.ts";

/** A page ends early where it would show more placements than this. */
const PAGE_PLACEMENTS_MAX = 10_000;
/** Above the space behind an identifier, and below everything that an identifier can go on with. */
const BEHIND = "!";

/** A mesh at one revision, as far as it is durable; null where it was never defined. */
export async function readMesh(reader: StoreReader, tenantId: string, meshId: string): Promise<MeshState | null> {
  return meshOf(
    (await reader.within("mesh", tenantId, `${meshId} `)).map(({ key, value }) => {
      const [, part, partKey] = key.split(" ");
      return { part, key: partKey, value: JSON.parse(value) } as MeshPart;
    }),
  );
}

/** A page of a tenant's meshes by id, as far as they are durable. @param after the id that the page before ended with. */
export async function readMeshes(
  reader: StoreReader,
  tenantId: string,
  limit: number,
  after?: string,
): Promise<{ items: MeshState[]; next: string | null }> {
  const items: MeshState[] = [];
  let placements = 0;
  for (let id = await idBehind(reader, tenantId, after); id !== undefined; id = await idBehind(reader, tenantId, id)) {
    placements += await placementsIn(reader, tenantId, id);
    if (items.length === limit || (items.length > 0 && placements > PAGE_PLACEMENTS_MAX))
      return { items, next: items.at(-1)!.mesh_id };
    const mesh = await readMesh(reader, tenantId, id);
    if (mesh) items.push(mesh);
  }
  return { items, next: null };
}

async function idBehind(reader: StoreReader, tenantId: string, id: string | undefined): Promise<string | undefined> {
  const behind = { tenant_id: tenantId, key: id === undefined ? "" : id + BEHIND };
  return (await reader.states("mesh", tenantId, 1, behind))[0]?.key.split(" ", 1)[0];
}

async function placementsIn(reader: StoreReader, tenantId: string, id: string): Promise<number> {
  const rails = await reader.within("mesh", tenantId, `${id} rail `);
  return rails.reduce((sum, { value }) => sum + (JSON.parse(value) as { active_count: number }).active_count, 0);
}
