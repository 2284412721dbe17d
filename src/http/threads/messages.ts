// What the main thread and one that listens beside it say to each other, about HTTP.
import type { MessagePort } from "node:worker_threads";
import type { Config, Jwks } from "../../node/config/config.ts";
import type { ThreadBeginning } from "../../library/deciding.ts";
import type { PeerLimits } from "../call/peer.ts";
import type { InnerAddress } from "./inner.ts";
import type { SharedClock } from "./shared-clock.ts";

/** As much of the settings as a listener and what it decides need: none of it is secret, or a function. */
export type ThreadConfig = Pick<
  Config,
  "listen" | "tls" | "behindProxy" | "authentication" | "limits" | "authzen" | "defaultDecision" | "logLevel"
>;

/** What a thread is started with. */
export interface ThreadData {
  readonly config: ThreadConfig;
  readonly beginning: ThreadBeginning;
  readonly port: MessagePort;
  /** Where the main thread answers what this one does not. */
  readonly inner: InnerAddress;
  /** With its share of what bodies may hold at once. */
  readonly peers: PeerLimits;
  /** A cluster is watched, by the main thread: it answers the cluster's reviews. */
  readonly clustered: boolean;
  readonly clock: SharedClock | undefined;
}

export type ToListener =
  | { readonly kind: "certificates" }
  | { readonly kind: "callers"; readonly jwks: Jwks }
  | { readonly kind: "metrics"; readonly request: number }
  /** Answers what is under way, and no more. */
  | { readonly kind: "close" };

export type FromListener =
  | { readonly kind: "listening" }
  /** Lines of the log. */
  | { readonly kind: "log"; readonly lines: readonly string[] }
  | { readonly kind: "metrics"; readonly request: number; readonly figures: readonly object[] }
  | { readonly kind: "closed" };
