// A JSON object written piece by piece, signed, and given out with its signature in it: it is never in memory as a whole.
import { setImmediate } from "node:timers/promises";
import type { SignedBytes } from "../verify/primitives.ts";
import type { ExportFile } from "./files.ts";
import { piecesOf, type StagedFile } from "./staged-file.ts";

/** Others get their turn after so many pieces. */
const PIECES_AT_ONCE = 4096;

/** A member of an object, as the pieces of its value's text. */
export type Members = ReadonlyMap<string, () => Iterable<string>>;

/**
 * Writes an object, its members in order of their names, and signs it as it is without one member, which then holds the signature.
 * @param name that member's.
 * @param signatureText the member's value, for a signature over what is given.
 */
export async function signedObject(
  file: StagedFile,
  members: Members,
  name: string,
  signatureText: (unsigned: SignedBytes) => Promise<string>,
): Promise<ExportFile> {
  let [pieces, insertAt] = [0, 0];
  for (const [i, member] of [...members.keys()].sort().entries()) {
    if (member < name) insertAt = -1;
    else if (insertAt === -1) insertAt = file.length;
    file.write(`${i === 0 ? "{" : ","}${JSON.stringify(member)}:`);
    for (const text of members.get(member)!()) {
      file.write(text);
      if (++pieces % PIECES_AT_ONCE === 0) await setImmediate();
    }
  }
  if (insertAt === -1) insertAt = file.length;
  file.write("}");
  const { path, size } = file.close();
  const member = Buffer.from(
    `,${JSON.stringify(name)}:${await signatureText({ length: size, pieces: () => file.pieces() })}`,
  );
  return {
    name: file.name,
    size: size + member.length,
    async *open() {
      yield* piecesOf(path, 0, insertAt);
      yield member;
      yield* piecesOf(path, insertAt);
    },
  };
}

export function* commaSeparated<T>(items: Iterable<T>, text: (item: T) => string): Generator<string> {
  let first = true;
  for (const item of items) {
    yield first ? text(item) : `,${text(item)}`;
    first = false;
  }
}
