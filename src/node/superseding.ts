// Where nodes whose records are kept here have decided differently on one workload, one decision stands: by rule, on record, for all of them.
import { tenantCaller } from "../core/caller.ts";
import type { Intake } from "../evidence/upstream/intake.ts";
import { supersedeCommand } from "../gate/commands/reconciliation.ts";
import type { Gate } from "../gate/gate.ts";
import { every, type Service } from "./services.ts";

export interface SupersedingParts {
  readonly intake: Intake;
  readonly gate: Gate;
  /** Whether records of other nodes are kept here at all. */
  readonly others: () => Promise<boolean>;
  /** While no policy can decide, conflicts wait. */
  readonly decides: () => boolean;
  readonly failed: (message: string) => void;
}

const LOOK_MS = 250;
/** In one resolution; more are resolved in several. */
const DECISIONS_MAX = 16;

/** Looks from the beginning after each start: what was resolved is on record, and is found resolved. */
export function superseding({ intake, gate, others, decides, failed }: SupersedingParts): Service {
  let after = 0;
  let more = false;
  const look = async (): Promise<void> => {
    try {
      if (!decides() || !(await others())) return;
      do {
        const found = await intake.conflicts(after);
        for (const { tenantId, workloadId, decisions } of found.conflicts) {
          const command = supersedeCommand(workloadId, tenantId, decisions.slice(0, DECISIONS_MAX));
          await gate.run([command], { caller: tenantCaller(tenantId, "node") });
        }
        ({ next: after, more } = found);
      } while (more && decides());
    } catch (error) {
      failed((error as Error).message);
    }
  };
  return every(LOOK_MS, look);
}
