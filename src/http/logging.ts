// Logs: one JSON line per call and per thing an operator must know. They are never evidence, and hold no secrets.
import pino, { type DestinationStream, type Logger } from "pino";
import type { LogLevel } from "../node/config/config.ts";
import { standardOutput } from "./log-output.ts";

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
  /** A line that another thread has made. */
  readonly write: (line: string) => void;
  /** Writes what waits, as far as it is taken in a second. */
  close(): Promise<void>;
}

/** @param stream where lines go; default: standard output. */
export function makeLogging(level: LogLevel, stream?: DestinationStream): Logging {
  const output = stream === undefined ? standardOutput() : undefined;
  const log = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: SECRETS,
      formatters: { level: (label) => ({ level: label }) },
    },
    output ?? stream!,
  );
  const to = output ?? stream!;
  return { log, write: (line) => to.write(line), close: async () => output?.close() };
}
