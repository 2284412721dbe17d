// Pages on disk: what is asked for often stays in memory, the rest lies in one file that has no name and is gone with the process.
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PAGE_BYTES, type Pages, type PageStore } from "./pages.ts";

/** 8 MiB. */
const KEPT_MAX = 128;

interface Held {
  readonly slot: number;
  readonly bytes: Uint8Array;
  changed: boolean;
}

/** Small exports never come to the disk. */
export class DiskPages implements PageStore, Disposable {
  /** By slot, the one longest unused first. */
  readonly #kept = new Map<number, Held>();
  readonly #keptMax: number;
  /** Pages that were put away, to hold others: what is allocated anew for each fills memory before it is collected. */
  readonly #spare: Uint8Array[] = [];
  #slots = 0;
  #file: number | undefined;

  /** @param keptMax pages that stay in memory, one at least, beside the one that each sequence has in hand. */
  constructor(keptMax = KEPT_MAX) {
    this.#keptMax = keptMax;
  }

  pages(): Pages {
    const slots: number[] = [];
    let held: Held | undefined;
    return {
      page: (n, changed) => {
        const slot = slots[n];
        if (held === undefined || held.slot !== slot) {
          if (held !== undefined) this.#keep(held);
          held = slot === undefined ? this.#fresh() : this.#take(slot);
          slots[n] = held.slot;
        }
        held.changed ||= changed;
        return held.bytes;
      },
    };
  }

  [Symbol.dispose](): void {
    this.#kept.clear();
    this.#spare.length = 0;
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #fresh(): Held {
    // Marked as changed, since in the file there is nothing where it would lie.
    return { slot: this.#slots++, bytes: this.#spare.pop()?.fill(0) ?? new Uint8Array(PAGE_BYTES), changed: true };
  }

  #take(slot: number): Held {
    const kept = this.#kept.get(slot);
    if (kept !== undefined) {
      this.#kept.delete(slot);
      return kept;
    }
    const bytes = this.#spare.pop() ?? new Uint8Array(PAGE_BYTES);
    for (let at = 0; at < PAGE_BYTES; ) {
      const read = readSync(this.#file!, bytes, at, PAGE_BYTES - at, slot * PAGE_BYTES + at);
      if (read === 0) throw new Error("the scratch file is cut off");
      at += read;
    }
    return { slot, bytes, changed: false };
  }

  #keep(held: Held): void {
    this.#kept.set(held.slot, held);
    if (this.#kept.size <= this.#keptMax) return;
    const [oldest] = this.#kept.values();
    this.#kept.delete(oldest!.slot);
    if (oldest!.changed) this.#write(oldest!);
    this.#spare.push(oldest!.bytes);
  }

  #write({ slot, bytes }: Held): void {
    const file = (this.#file ??= nameless());
    for (let at = 0; at < PAGE_BYTES; ) at += writeSync(file, bytes, at, PAGE_BYTES - at, slot * PAGE_BYTES + at);
  }
}

/** A file that nobody can open, and that is gone whatever becomes of the process. */
function nameless(): number {
  const folder = mkdtempSync(join(tmpdir(), "railgate-scratch-"));
  try {
    return openSync(join(folder, "pages"), "wx+", 0o600);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
