// What an export is made from, and which events it is of.
import type { EventType } from "../../core/event-types.ts";
import type { StoreReader } from "../../store/store.ts";
import type { TransparencyLog } from "../log/log.ts";
import type { SignedBytes } from "../verify/primitives.ts";

/** What an export is made from; a node is one. */
export interface ExportSource {
  readonly store: StoreReader;
  readonly log: TransparencyLog;
  readonly nodeId: string;
  readonly logOrigin: string;
  sign(canonicalJson: SignedBytes): Promise<{ readonly kid: string; readonly signature: Uint8Array }>;
  record(type: EventType, tenantId: string, actor: string, details: { [name: string]: unknown }): Promise<void>;
}

/** Events of one stream, both ends included. */
export interface Range {
  readonly chainId: string;
  readonly from: number;
  readonly to: number;
}
