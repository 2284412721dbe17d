// What doors need of a node's insides beside `Railgate`, and hosts don't: names for what they pass on, and never look into.
export type { BatchFigures } from "../evidence/ledger/ledger.ts";
export { startThread } from "../threads/threads.ts";
export type { Witness, WitnessAnswer } from "../evidence/log/witness.ts";
export type { ClusterAudit } from "./cluster-audit.ts";
export type { NamespaceSource } from "./reviews.ts";
export { ENCODINGS, type Encoding } from "../evidence/upstream/messages.ts";
export type { AdmissionOutcome } from "../gate/commands/admission.ts";
export type { Evidenced, Trace } from "../gate/gate.ts";
export type { Retry } from "../gate/retries.ts";
export { LONG_POLLING_TYPE } from "../policies/poll.ts";
export type { BundleSource } from "../policies/source.ts";
export { VERSION, type NodeObserver } from "../node/options.ts";
export { SHIPPED } from "./evaluations.ts";
export { socketFile, withAddress } from "../store/socket.ts";
