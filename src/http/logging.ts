// Logs: one JSON line per call and per thing an operator must know. They are never evidence, and hold no secrets.
import pino, { type DestinationStream, type Logger } from "pino";
import type { LogLevel } from "../node/config/config.ts";

/** Lines are written together once this many bytes wait, or a moment has passed. */
const BUFFER_BYTES = 32 * 1024;
/** What cannot be written waits, up to here; then it is dropped, since logs are no evidence. */
const WAITING_BYTES_MAX = 4 * 1024 * 1024;
const FLUSH_EVERY_MS = 250;

/** Headers and bodies are never logged; should someone ever try, these do not come out. */
const SECRETS = [
  "authorization",
  "cookie",
  "token",
  "headers.authorization",
  "headers.cookie",
  "req.headers.authorization",
  "req.headers.cookie",
];

export interface Logging {
  readonly log: Logger;
  /** Writes what waits, and ends the regular writing. */
  close(): void;
}

/** @param stream where lines go; default: standard output. */
export function makeLogging(level: LogLevel, stream?: DestinationStream): Logging {
  const buffered = stream === undefined ? standardOutput() : undefined;
  const log = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: SECRETS,
      formatters: { level: (label) => ({ level: label }) },
    },
    buffered ?? stream!,
  );
  const flushing = setInterval(() => buffered?.flush(), FLUSH_EVERY_MS).unref();
  return {
    log,
    close() {
      clearInterval(flushing);
      // There is nothing to write before the file descriptor is open, and flushSync says so by throwing.
      try {
        buffered?.flushSync();
      } catch {
        buffered?.flush();
      }
    },
  };
}

function standardOutput() {
  const output = pino.destination({
    fd: 1,
    sync: false,
    minLength: BUFFER_BYTES,
    maxWrite: 2 * BUFFER_BYTES,
    maxLength: WAITING_BYTES_MAX,
  });
  // A full disk under the log must not end the process: writing is tried again with what comes next.
  output.on("error", () => {});
  return output;
}
