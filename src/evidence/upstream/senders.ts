// Who may send whose records: a node its own, under an id after a restore too, and those that the settings let it bring.
import type { KnownNode } from "./key-ring.ts";

/** What a restore adds to a node's id. Whether it is the same node, the keys tell: the one before must have named the new one. */
const RESTORED = /-r[1-9][0-9]*$/;

/** Whether a node may send a stream of this id at all; whose it is, its records say. */
export function mayBring(sender: string, chainId: string, nodes: readonly KnownNode[]): boolean {
  const names = [chainId, chainId.replace(RESTORED, "")];
  return broughtBy(sender, nodes).some((id) => names.some((name) => name.endsWith(`/${id}`)));
}

/** Whether it may send what this node has signed. */
export function mayBringNode(sender: string, nodeId: string, nodes: readonly KnownNode[]): boolean {
  return broughtBy(sender, nodes).some((id) => id === nodeId || id === nodeId.replace(RESTORED, ""));
}

const broughtBy = (sender: string, nodes: readonly KnownNode[]): string[] => [
  sender,
  ...nodes.filter(({ via }) => via.includes(sender)).map(({ nodeId }) => nodeId),
];

interface Sent {
  readonly chainId: string;
  /** null: whoever may send for any. */
  readonly sender: string | null;
  readonly ownIds: readonly string[];
  readonly nodes: readonly KnownNode[];
}

/** A stream has one writer. @returns in words, why this is not the sender's to send. */
export function whyForbidden(nodeId: string, { chainId, sender, ownIds, nodes }: Sent): string | undefined {
  if (ownIds.some((own) => chainId.endsWith(`/${own}`))) return `${chainId} is this node's own stream`;
  return sender === null || mayBringNode(sender, nodeId, nodes)
    ? undefined
    : `${sender} may not send the records of ${nodeId}`;
}
