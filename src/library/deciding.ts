// The library on a thread that decides beside the main one. Commands are asked of it, and nothing else: the rest is the main thread's.
import type { MessagePort } from "node:worker_threads";
import { hostCaller } from "../core/caller.ts";
import type { RailgateNode } from "../node/open.ts";
import type { NodeObserver } from "../node/options.ts";
import { DecidingThread } from "../node/threads/deciding.ts";
import type { ThreadBeginning } from "../node/threads/messages.ts";
import { LocalRailgate } from "./local.ts";
import type { LocalSettings } from "./operations.ts";

export type { ThreadBeginning } from "../node/threads/messages.ts";
export type { SeatHandle } from "../node/threads/seats.ts";
export type { LocalRailgate } from "./local.ts";

export interface DecidingOptions extends LocalSettings {
  readonly beginning: ThreadBeginning;
  /** The other end of the one that `attach` was given. */
  readonly port: MessagePort;
  readonly observe: NodeObserver;
  /** This thread must not decide any more. */
  readonly failed: (error: Error) => void;
}

/**
 * Decides commands on this thread: admissions, evaluations, reviews, lifecycles, meshes.
 * @returns once it knows what decides.
 */
export async function openDeciding({ beginning, port, observe, failed, ...settings }: DecidingOptions) {
  const { now = Date.now } = settings;
  const thread = await DecidingThread.open({ beginning, port, observe, now, failed });
  // As much of a node as commands need.
  return new LocalRailgate(thread as unknown as RailgateNode, settings, hostCaller("serve"));
}
