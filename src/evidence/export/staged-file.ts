// A file of an export while it is made: it grows in a folder of its own, so that a long one takes no memory.
import { createHash, type Hash } from "node:crypto";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { digestText } from "../../core/digest.ts";
import type { ExportFile } from "./files.ts";

const PIECE_BYTES = 256 * 1024;
const UTF8_BYTES_MAX = 3;
/** What is read at once: no more than a tar takes in. */
const READ_BYTES = 128 * 1024;

/** A file that grows in the staging folder, hashed as it grows. */
export class StagedFile {
  readonly name: string;
  readonly #path: string;
  readonly #fd: number;
  readonly #hash: Hash = createHash("sha256");
  readonly #piece = Buffer.allocUnsafe(PIECE_BYTES);
  #used = 0;
  #size = 0;

  constructor(folder: string, name: string) {
    this.name = name;
    this.#path = join(folder, name);
    this.#fd = openSync(this.#path, "wx", 0o600);
  }

  write(text: string): void {
    // No character takes more than three bytes for each unit of UTF-16.
    if (this.#used + text.length * UTF8_BYTES_MAX > PIECE_BYTES) this.#flush();
    if (text.length * UTF8_BYTES_MAX > PIECE_BYTES) this.#append(Buffer.from(text));
    else this.#used += this.#piece.write(text, this.#used);
  }

  writeBytes(bytes: Uint8Array): void {
    this.#flush();
    this.#append(bytes);
  }

  /** In bytes, as far as it was written. */
  get length(): number {
    this.#flush();
    return this.#size;
  }

  /** @returns the file, and its digest. */
  end(): { file: ExportFile; digest: string } {
    const { path, size } = this.close();
    return {
      file: { name: this.name, size, open: () => piecesOf(path) },
      digest: digestText(this.#hash.digest()),
    };
  }

  /** Nothing more is written. @returns where it lies. */
  close(): { path: string; size: number } {
    this.#flush();
    closeSync(this.#fd);
    return { path: this.#path, size: this.#size };
  }

  /** What was written, from the start, when it is closed; each piece is good until the next. */
  *pieces(): Generator<Uint8Array, void> {
    const fd = openSync(this.#path, "r");
    try {
      const piece = Buffer.allocUnsafe(PIECE_BYTES);
      for (;;) {
        const length = readSync(fd, piece);
        if (length === 0) return;
        yield piece.subarray(0, length);
      }
    } finally {
      closeSync(fd);
    }
  }

  #flush(): void {
    this.#append(this.#piece.subarray(0, this.#used));
    this.#used = 0;
  }

  #append(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#size += bytes.length;
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
  }
}

/** A file's bytes from `start` on, `end` not included; each piece is good until the next. */
export async function* piecesOf(path: string, start = 0, end = Infinity): AsyncGenerator<Uint8Array, void> {
  const file = await open(path);
  try {
    const piece = Buffer.allocUnsafe(READ_BYTES);
    for (let at = start; at < end; ) {
      const { bytesRead } = await file.read(piece, 0, Math.min(READ_BYTES, end - at), at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield piece.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}
