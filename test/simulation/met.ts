// Which faults a set of schedules has really met: those that were ordered and never struck do not count.

/** What can befall a node by itself, its disk, its threads and its clock. */
export const NODE_FAULTS = [
  ...["killed", "lost_power"].flatMap((crash) =>
    ["writes", "syncs", "renames", "commits", "idle"].map((at) => `${crash}: ${at}`),
  ),
  "commit full",
  "commit fails",
  "commit fails_written",
  "log of writes torn",
  "unsynced file lost",
  "unsynced name lost",
  "thread dies",
  "paused",
  "clock is wrong",
];

/** What can befall what nodes say to each other. */
export const NETWORK_FAULTS = [
  "request lost",
  "answer lost",
  "request arrives twice",
  "nobody there",
  "told that it is cut off",
  "keys rotated",
  "two histories",
  "database rolled back",
];

/** What can befall a database that nodes share, and the way to it; a lock that is waited for for too long, and a caller told "unknown", are too rare to ask for. */
export const DATABASE_FAULTS = [
  "commit lost",
  "commit done",
  "commit late",
  "commit held",
  "connection breaks",
  "connection refused",
  "nothing passes",
  "server fails",
  "session idle for too long",
  "node id taken over",
  "standby takes over",
];

export class Met {
  readonly #times = new Map<string, number>();

  add(fault: string, times = 1): void {
    this.#times.set(fault, this.times(fault) + times);
  }

  addAll({ entries }: Met): void {
    for (const [fault, times] of entries) this.add(fault, times);
  }

  times(fault: string): number {
    return this.#times.get(fault) ?? 0;
  }

  get entries(): readonly (readonly [fault: string, times: number])[] {
    return [...this.#times];
  }
}
