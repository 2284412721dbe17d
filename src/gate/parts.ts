// What a gate is made of, and what it tells whoever measures it.
import type { PolicyDecision } from "../core/schema/decision.ts";
import type { AnyCommand } from "./commands/command.ts";
import type { Enacted } from "./decider.ts";
import type { Context } from "../core/schema/input.ts";
import type { Ledger } from "../evidence/ledger/ledger.ts";
import type { StateSource } from "../evidence/ledger/draft.ts";
import type { StateView } from "../evidence/ledger/state.ts";
import type { TurnSource } from "../evidence/ledger/turn.ts";
import type { ActivePolicy } from "../policies/activate.ts";
import type { StoreReader } from "../store/store.ts";
import type { Trust } from "../trust/trust.ts";

export interface GateParts {
  readonly ledger: Pick<Ledger, "append" | "appended" | "committed"> & TurnSource;
  readonly states: StateView;
  /** Where runs read what they need; default: `states`. */
  readonly source?: StateSource;
  readonly store: StoreReader;
  readonly trust: Trust;
  /** The law. */
  readonly active: () => ActivePolicy;
  /** Whatever policy an entrypoint is of; default: the law. */
  readonly answering?: (entrypoint: string) => ActivePolicy;
  /** On a thread that is told of policies: until what decides from now on is there; undefined: it is. */
  readonly changing?: () => Promise<void> | undefined;
  /** Which change of policies it knows, see {@link Basis}; absent: none changes. */
  readonly law?: () => number;
  readonly partition: () => Context["partition"];
  readonly evidenceProfileId: string;
  /** Commands that may wait for a turn. */
  readonly queueMax?: number | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** A UUID, version 7. */
  readonly newId: () => string;
  readonly observe: GateObserver;
  /** Told of each decision once it is durable and on its way to whoever asked; returns at once. */
  readonly decided?: (decision: Enacted, command: AnyCommand) => void;
}

/** What operators measure and are told; every member is optional. */
export interface GateObserver {
  evaluated?(ms: number): void;
  decided?(decision: PolicyDecision): void;
  /** A lifecycle or mesh command; `code` null where it was accepted. */
  commanded?(law: string, code: string | null): void;
  /** An evaluation, see `commands/evaluate.ts`. */
  answered?(entrypoint: string, result: string): void;
  /** So many commands wait for a turn now, see `turns.ts`. */
  turnsWaiting?(commands: number): void;
  /** A run's turn has come, after so long. */
  turnWaited?(ms: number): void;
  /** The cause of a POL-01 or POL-03, which the caller is not told. */
  policyFailed?(problem: string, eventId: string): void;
}
