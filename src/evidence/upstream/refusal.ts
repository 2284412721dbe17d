// What an upstream answers that does not take what it was sent: a problem, of which nothing is sure to be there.
import { RailgateError } from "../../core/errors.ts";

/** Of a problem: a record is not what it must be there, or another one than upstream has. */
export const RECORD_INVALID = "record_invalid";
const DETAIL_CHARS_MAX = 300;

/** Upstream has answered, and does not take this stream; or there is nothing of it that could be sent. */
export class StreamRefusedError extends RailgateError {
  static override code = "stream_refused";
}

/** @param parted where the two sides have parted, in words; nothing where they have not, or nobody knows. */
export const refused = (status: number, text: string, parted = ""): StreamRefusedError =>
  new StreamRefusedError(`${status} ${codeOf(text)}: ${detailOf(text)}${parted}`);

export const codeOf = (text: string): string => String(read(text).code ?? "");
export const detailOf = (text: string): string => String(read(text).detail ?? text).slice(0, DETAIL_CHARS_MAX);

/** How many records of the stream upstream has; 0 where it does not say. */
export function nextIn(text: string): number {
  const { next_sequence } = read(text);
  return Number.isSafeInteger(next_sequence) ? Math.max(0, next_sequence as number) : 0;
}

function read(text: string): { readonly code?: unknown; readonly detail?: unknown; readonly next_sequence?: unknown } {
  try {
    return (JSON.parse(text) as object | null) ?? {};
  } catch {
    return {};
  }
}
