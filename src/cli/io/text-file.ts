// Reading a file that an option names.
import { readFileSync } from "node:fs";
import { CannotRunError } from "./command.ts";

/** @param option that names it, for the message. @throws CannotRunError */
export function readText(option: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new CannotRunError(`${option} ${file}: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
}
