// Which streams in a store are its node's own: those of others are kept and served here, and change nothing of its state.
import type { StoreReader } from "../../store/store.ts";

/** Ids that this store's node writes and wrote under, the present one first. */
export async function ownIds(store: Pick<StoreReader, "meta">): Promise<string[]> {
  const present = await store.meta("node_id");
  const noted = JSON.parse((await store.meta("logs")) ?? "[]") as readonly { readonly nodeId: string }[];
  const all = [...(present === undefined ? [] : [present]), ...noted.map(({ nodeId }) => nodeId)];
  return [...new Set(all)];
}

/** Whether a stream is among the node's own. @param ids see {@link ownIds}; where there are none, all are. */
export function isOwnStream(ids: readonly string[], tenantId: string, chainId: string): boolean {
  return ids.length === 0 || ids.some((id) => chainId === `${tenantId}/${id}`);
}

/** Whether records of other nodes are kept here: of any that was believed, a key is. */
export const hasOthers = async (store: Pick<StoreReader, "keys">): Promise<boolean> =>
  (await store.keys()).some(({ role }) => role === "peer");
