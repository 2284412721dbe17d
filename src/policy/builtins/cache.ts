// A cache of what is dear to make from its text and the same ever after: compiled expressions, schemas, keys.

/** Forgets the entry that was made first. No cached value may be changed by whoever gets it. */
export function cached<T>(entriesMax: number, make: (text: string) => T): (text: string) => T {
  const entries = new Map<string, T>();
  return (text) => {
    const known = entries.get(text);
    if (known !== undefined) return known;
    const made = make(text);
    if (entries.size >= entriesMax) entries.delete(entries.keys().next().value!);
    entries.set(text, made);
    return made;
  };
}
