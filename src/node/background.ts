// What a node does of itself, for as long as it runs.
import { hasOthers } from "../evidence/upstream/own.ts";
import { bundleServices } from "./bundle-services.ts";
import { forgetting } from "./challenges.ts";
import { deadlines } from "./deadlines.ts";
import { retention } from "./retention.ts";
import { every, type Service } from "./services.ts";
import { sharing } from "./sharing.ts";
import { superseding } from "./superseding.ts";
import type { NodeParts } from "./parts.ts";

/** How soon a clock that was set back is noticed. */
const CLOCK_LOOKED_AT_MS = 1000;

/** How soon threads beside this one hear of what changes of itself. */
const THREADS_TOLD_MS = 100;

export function inBackground(parts: NodeParts): Service[] {
  const options = parts.options;
  const [now, failed] = [parts.now, (message: string) => options.observe?.evidenceFailed?.(message)];
  const kept = {
    ledger: parts.ledger,
    recorder: parts.recorder,
    store: parts.store,
    nodeId: parts.nodeId,
    now,
    failed,
  };
  return [
    every(CLOCK_LOOKED_AT_MS, () => parts.lookAtClock()),
    ...(parts.seats ? [every(THREADS_TOLD_MS, () => parts.seats?.pulse())] : []),
    parts.partition.service(),
    ...sharing({
      store: parts.store,
      policies: parts.policies,
      subscribers: parts.subscribers,
      logs: (logs) => {
        parts.logs = logs;
      },
      failed,
    }),
    parts.upstreaming.service(),
    parts.reporting.service(),
    supersedes(parts),
    ...bundleServices(options, parts.remotes, {
      policies: parts.policies,
      partition: parts.partition,
      failed: () => parts.reporting.changed(),
      now,
    }),
    ...(options.retention ? [retention(options.retention, kept)] : []),
    forgetting(parts.ledger, parts.store, now, failed),
    deadlines({ gate: parts.gate, store: parts.store, decides: () => parts.policy !== null, now, failed }),
  ];
}

function supersedes(parts: NodeParts): Service {
  return superseding({
    intake: parts.intake,
    gate: parts.gate,
    // Replicas are no others to each other.
    others: async () => !parts.store.shared && (await hasOthers(parts.store)),
    decides: () => parts.policy !== null,
    failed: (message) => parts.options.observe?.evidenceFailed?.(message),
  });
}
