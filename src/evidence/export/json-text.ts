// JSON written piece by piece, for documents of which only parts are ever at hand.

/** An object, its members in order of their names. */
export function objectText(members: ReadonlyMap<string, () => Iterable<string>>): Buffer {
  const parts: Buffer[] = [];
  let pending = "{";
  const flush = () => {
    parts.push(Buffer.from(pending));
    pending = "";
  };
  for (const [i, name] of [...members.keys()].sort().entries()) {
    pending += `${i === 0 ? "" : ","}${JSON.stringify(name)}:`;
    for (const text of members.get(name)!()) if ((pending += text).length > 65_536) flush();
  }
  pending += "}";
  flush();
  return Buffer.concat(parts);
}

export function* commaSeparated<T>(items: Iterable<T>, text: (item: T) => string): Generator<string> {
  let first = true;
  for (const item of items) {
    yield first ? text(item) : `,${text(item)}`;
    first = false;
  }
}
