// Where two histories of one stream part. The first record that differs is signed by a key that both sides know, whatever keys have signed since.

/**
 * Finds it by halves: as each record has the hash of the one before it, none before one that is the same differs.
 * @param size so many records lie on either side.
 * @param isSame shows the other side one of them: twice, and once more for each time that `size` can be halved.
 * @returns the sequence of the first that differs; undefined where none does.
 */
export async function firstOther(
  size: number,
  isSame: (sequence: number) => Promise<boolean>,
): Promise<number | undefined> {
  if (size === 0 || (await isSame(size - 1))) return undefined;
  let [same, other] = [0, size - 1];
  // The first of all comes first: whoever has nothing in common with the other side is soon done.
  for (let at = 0; same < other; at = Math.floor((same + other) / 2)) {
    if (await isSame(at)) same = at + 1;
    else other = at;
  }
  return other;
}
