// What operators are told of a node in figures, as it is now.
import type { RailgateNode } from "../node/open.ts";
import type { ReportFigures } from "../node/reporting.ts";

export interface NodeFigures {
  readonly nodeId: string;
  /** undefined: none is active. */
  readonly policyDigest: string | undefined;
  /** Decisions linked and not yet durable. */
  readonly waiting: number;
  /** Processor time of the thread that commits. */
  readonly committingS: number;
  /** By how much the clock is behind what it said before. */
  readonly clockBehindS: number;
  readonly partition: { readonly state: string; readonly reasons: readonly string[] };
  /** How reports to services go; undefined: nothing is reported. */
  readonly reports: ReportFigures | undefined;
  /** Of a database that other nodes share; undefined where there is none. */
  readonly sharing: SharingFigures | undefined;
}

/** Counted since the start. */
export interface SharingFigures {
  readonly connections: { readonly inUse: number; readonly idle: number; readonly waiting: number };
  readonly leaseEpoch: number;
  /** Until the lease ends; below 0: since it has. */
  readonly leaseS: number;
  /** Transactions that were begun anew, by the database's code. */
  readonly retries: Readonly<Record<string, number>>;
  /** Commits whose end nobody saw, by what came of looking them up. */
  readonly unseen: Readonly<Record<string, number>>;
  /** Decisions that were made again, since what they were made on had moved. */
  readonly moved: number;
}

export function figuresOf(node: RailgateNode): NodeFigures {
  const { nodeId, policy, waiting, committingMs, clockBehindMs, partition, reports } = node;
  const { state, reasons } = partition.status;
  return {
    nodeId,
    policyDigest: policy?.digest,
    waiting,
    committingS: committingMs / 1000,
    clockBehindS: clockBehindMs / 1000,
    partition: { state, reasons: reasons.map(({ reason }) => reason) },
    reports,
    sharing: sharingOf(node),
  };
}

function sharingOf({ sharing, store }: RailgateNode): SharingFigures | undefined {
  if (!sharing || !store.connections) return undefined;
  const { epoch, leaseUntilMs, retries, outcomes, moved } = sharing;
  const leaseS = (leaseUntilMs - Date.now()) / 1000;
  return { connections: store.connections, leaseEpoch: epoch, leaseS, retries, unseen: outcomes, moved };
}
