// Patterns of an operator's: exact but for `*`, any text without a slash, and `**`, any text. Anchored, and no regular expression.

/** Whether the whole text is as the pattern says. */
export function matchesGlob(pattern: string, text: string): boolean {
  // Which beginnings of the text the pattern read so far can be.
  let reached = new Set([0]);
  for (const token of tokens(pattern)) {
    const next = new Set<number>();
    for (const at of reached) advance(token, text, at, next);
    if (next.size === 0) return false;
    reached = next;
  }
  return reached.has(text.length);
}

const tokens = (pattern: string): string[] => pattern.match(/\*\*|\*|[^*]+/g) ?? [];

function advance(token: string, text: string, from: number, into: Set<number>): void {
  if (token !== "*" && token !== "**") {
    if (text.startsWith(token, from)) into.add(from + token.length);
    return;
  }
  for (let at = from; ; at++) {
    // Whoever came here before went on from here, too.
    if (into.has(at)) return;
    into.add(at);
    if (at === text.length || (token === "*" && text[at] === "/")) return;
  }
}
