// What a node does where others share its store: it follows their policies, wakes its readers when they commit, and knows their logs.
import type { LogIdentity } from "../evidence/log/log.ts";
import type { Policies } from "../policies/activate.ts";
import type { StoreReader } from "../store/store.ts";
import { logsIn } from "./restore.ts";
import { every, type Service } from "./services.ts";
import type { Subscribers } from "./subscribers.ts";

/** What is active elsewhere is active here within two of these (spec replicas §7). */
const FOLLOWED_MS = 800;
/** Whoever follows the events of all nodes sees them within two of these (spec replicas §8). */
const LOOKED_FOR_MS = 250;

export type Logs = readonly (LogIdentity & { readonly publicKey: Uint8Array })[];

export interface SharingParts {
  readonly store: StoreReader;
  readonly policies: Policies;
  readonly subscribers: Subscribers;
  readonly logs: (logs: Logs) => void;
  readonly failed: (message: string) => void;
}

/** None where the store is this node's alone. */
export function sharing({ store, policies, subscribers, logs, failed }: SharingParts): Service[] {
  if (!store.shared) return [];
  let last = 0;
  // While the database is away, readiness tells of it.
  const quietly = (work: () => Promise<void>) => () => work().catch(() => {});
  return [
    every(FOLLOWED_MS, async () => {
      try {
        await policies.follow();
      } catch (error) {
        failed((error as Error).message);
      }
    }),
    every(
      LOOKED_FOR_MS,
      quietly(async () => {
        const settled = await store.settled();
        if (settled <= last) return;
        last = settled;
        subscribers.tell([]);
      }),
    ),
    every(
      FOLLOWED_MS,
      quietly(async () => logs(await logsIn(store))),
    ),
  ];
}
