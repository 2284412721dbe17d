// Where lines of the log go, standard output, so that neither a reader that is gone or stuck nor a full disk keeps the node waiting or from ending.
import { closeSync, constants, fstatSync, openSync, write, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { DestinationStream } from "pino";

/** Lines are written together once this many bytes wait, or a moment has passed. */
const BUFFER_BYTES = 32 * 1024;
/** What cannot be written waits, up to here; then it is dropped, since logs are no evidence. */
const WAITING_BYTES_MAX = 4 * 1024 * 1024;
const FLUSH_EVERY_MS = 250;
/** What is still to be written when the node has ended has this long. */
const CLOSE_MS_MAX = 1000;
const CLOSE_STEP_MS = 20;

const STANDARD_OUTPUT = 1;

export interface LogOutput extends DestinationStream {
  /** Writes what waits, as far as it is taken. */
  close(): Promise<void>;
}

export function standardOutput(): LogOutput {
  return fstatSync(STANDARD_OUTPUT).isSocket() ? new SocketOutput() : new FileOutput();
}

/** To a file, a pipe or a terminal. */
class FileOutput implements LogOutput {
  readonly #fd = withoutBlocking(STANDARD_OUTPUT);
  readonly #flushing = setInterval(() => this.#flush(), FLUSH_EVERY_MS).unref();
  #lines: string[] = [];
  /** Of which the first part is written. */
  #rest: Uint8Array = new Uint8Array();
  #waitingBytes = 0;
  #writing = false;

  write(line: string): void {
    if (this.#waitingBytes + line.length > WAITING_BYTES_MAX) return;
    this.#lines.push(line);
    this.#waitingBytes += line.length;
    if (this.#waitingBytes >= BUFFER_BYTES) this.#flush();
  }

  async close(): Promise<void> {
    clearInterval(this.#flushing);
    const latest = performance.now() + CLOSE_MS_MAX;
    while (this.#hasMore() && performance.now() < latest) {
      if (this.#writing || !this.#flushNow()) await sleep(CLOSE_STEP_MS);
    }
    if (this.#fd !== STANDARD_OUTPUT && !this.#writing) closeSync(this.#fd);
  }

  #flush(): void {
    if (this.#writing || !this.#hasMore()) return;
    this.#writing = true;
    write(this.#fd, this.#rest, (error, written) => {
      this.#writing = false;
      this.#done(error, written);
    });
  }

  /** @returns false where it is not taken now. */
  #flushNow(): boolean {
    try {
      this.#done(null, writeSync(this.#fd, this.#rest));
      return true;
    } catch (error) {
      this.#done(error as NodeJS.ErrnoException, 0);
      return false;
    }
  }

  /** What is not taken now is tried again; what cannot be written at all is dropped, and what comes next is tried. */
  #done(error: NodeJS.ErrnoException | null, written: number): void {
    if (error === null) this.#rest = this.#rest.subarray(written);
    else if (error.code !== "EAGAIN") this.#rest = new Uint8Array();
    this.#waitingBytes = this.#lines.reduce((sum, { length }) => sum + length, this.#rest.length);
    if (error === null && this.#waitingBytes >= BUFFER_BYTES) setImmediate(() => this.#flush());
  }

  #hasMore(): boolean {
    if (this.#rest.length === 0 && this.#lines.length > 0) {
      this.#rest = Buffer.from(this.#lines.join(""));
      this.#lines = [];
    }
    return this.#rest.length > 0;
  }
}

/**
 * The same pipe or terminal, opened anew so that writing to it never blocks: a thread that is blocked in a write cannot be
 * ended, and a process does not end before its threads. Others who share the descriptor keep theirs as it is.
 */
function withoutBlocking(fd: number): number {
  if (fstatSync(fd).isFile()) return fd;
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return fd;
  }
}

/** To a socket, as a service manager has it. Serving has standard output to itself: a reader that is gone does not end it. */
class SocketOutput implements LogOutput {
  readonly #socket = process.stdout.removeAllListeners("error").on("error", () => {});

  write(line: string): void {
    if (this.#socket.writable && this.#socket.writableLength < WAITING_BYTES_MAX) this.#socket.write(line);
  }

  async close(): Promise<void> {
    const latest = performance.now() + CLOSE_MS_MAX;
    while (this.#socket.writable && this.#socket.writableLength > 0 && performance.now() < latest)
      await sleep(CLOSE_STEP_MS);
  }
}
