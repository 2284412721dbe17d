// What a mesh's evidence must show whatever happened: the fold of the events, with every invariant held at every step of it.
import { MESH_EVENT_TYPES, step, wireMesh, type MeshState } from "../../src/core/mesh.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { get } from "../../src/core/tree.ts";
import { FoldedStates } from "../../src/evidence/fsck/folded-states.ts";
import { openReader } from "../../src/store/open.ts";
import { join } from "node:path";
import { brokenInvariant } from "../mesh/explorer.ts";
import { rank, type Model, type Whereabouts } from "../mesh/model.ts";

const isMeshEvent = ({ event_type }: EvidenceEvent) =>
  (Object.values(MESH_EVENT_TYPES) as string[]).includes(event_type);

/**
 * Folds one mesh out of all events of a tenant, in order.
 * @throws Error for an event that breaks an invariant, and for a destroyed workload that was not taken off its rail at once.
 */
export function foldHistory(events: readonly EvidenceEvent[], meshId: string): MeshState | null {
  let mesh: MeshState | null = null;
  const floors = new Map<string, number>();
  events.forEach((event, i) => {
    if (event.event_type === "workload.envelope.destroy" && event.outcome === "accepted")
      mustLeave(mesh, event, events[i + 1]);
    if (!isMeshEvent(event) || event.details?.["mesh_id"] !== meshId) return;
    const before: ReturnType<typeof wireMesh> | null = mesh && wireMesh(mesh);
    mesh = step(mesh, event);
    if (mesh === null) return;
    const after = wireMesh(mesh);
    const where = new Map([...floors].map(([id, level]): [string, Whereabouts] => [id, { rail: null, level }]));
    const broken = brokenInvariant({ where } as unknown as Model, before ?? after, after);
    if (broken !== undefined) throw new Error(`${broken} at event ${event.sequence}`);
    for (const [id, { level }] of Object.entries(after.placements)) floors.set(id, rank(level));
  });
  return mesh;
}

function mustLeave(mesh: MeshState | null, event: EvidenceEvent, next: EvidenceEvent | undefined): void {
  const workload = event.subject!;
  if (mesh === null || get(mesh.placements, workload) === undefined) return;
  const left = next?.event_type === MESH_EVENT_TYPES.remove && next.outcome === "accepted" && next.subject === workload;
  if (!left) throw new Error(`${workload} was destroyed in event ${event.sequence} and stayed on its rail`);
}

/** Workloads and meshes whose stored state is not what the stored events say. */
export async function differingStates(dir: string): Promise<string[]> {
  await using store = await openReader(join(dir, "data", "railgate.db"));
  using folded = new FoldedStates();
  let after: number | undefined;
  for (;;) {
    const page = await store.events({ order: "asc", limit: 1000, after });
    for (const { record } of page)
      folded.fold(JSON.parse(Buffer.from(record.split(".")[1]!, "base64url").toString()) as EvidenceEvent);
    after = page.at(-1)?.position;
    if (page.length < 1000) return [...folded.faults(), ...(await folded.differing(store))];
  }
}
