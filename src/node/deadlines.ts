// The node itself notices when a re-attestation is overdue, and puts it on record; from then on `start` is refused (spec law §4).
import { tenantCaller } from "../core/caller.ts";
import { UndecidedError } from "../core/errors.ts";
import { lifecycleCommand } from "../gate/commands/lifecycle.ts";
import type { Gate } from "../gate/gate.ts";
import type { StoreReader } from "../store/store.ts";
import { every, type Service } from "./services.ts";

/** How soon after it passed a missed deadline is noticed. */
const CHECKED_MS = 1000;
const AT_ONCE = 100;

export interface DeadlineParts {
  readonly gate: Gate;
  readonly store: StoreReader;
  /** While no policy can decide, missed deadlines wait. */
  readonly decides: () => boolean;
  readonly now: () => number;
  readonly failed: (message: string) => void;
}

export const deadlines = (parts: DeadlineParts): Service => every(CHECKED_MS, () => recordMissed(parts));

async function recordMissed({ gate, store, decides, now, failed }: DeadlineParts): Promise<void> {
  if (!decides()) return;
  try {
    const due = await store.due("workload", now() - 1, AT_ONCE);
    await Promise.all(due.map(({ tenant_id, key }) => recordOne(gate, tenant_id, key)));
  } catch (error) {
    // What could not be recorded is still due the next time.
    failed((error as Error).message);
  }
}

async function recordOne(gate: Gate, tenantId: string, workload_id: string): Promise<void> {
  const command = lifecycleCommand({ command: "deadline", workload_id }, tenantId);
  try {
    await gate.run([command], { caller: tenantCaller(tenantId, "node") });
  } catch (error) {
    if (!(error instanceof UndecidedError)) throw error;
  }
}
