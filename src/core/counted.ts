// How a count is worded.

/** `1 event`, `2 events`. */
export const counted = (count: number, what: string, plural = `${what}s`): string =>
  `${count} ${count === 1 ? what : plural}`;
