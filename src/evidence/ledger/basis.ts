// What entries were decided on, and that it has moved.
import type { StateRead } from "../../store/store.ts";

export interface Basis {
  readonly reads: readonly StateRead[];
  /** Whether any of it was what entries before change that are not durable yet. */
  readonly stacked: boolean;
  /** By which policies, where a thread has its own copies of them: counts their changes. */
  readonly law?: number | undefined;
}

export const NO_BASIS: Basis = { reads: [], stacked: false };

/** What entries were decided on has moved meanwhile: nothing of them is recorded, and they must be decided again. */
export class BasisMovedError extends Error {
  /** What others command as well, by `stateName`; it may be what entries before them were decided on. */
  readonly moved: readonly string[];

  constructor(moved: readonly string[] = []) {
    super("what was decided on has moved");
    this.moved = moved;
  }
}
