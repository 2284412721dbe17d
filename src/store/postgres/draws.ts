// Places in the order of all streams: drawn before a commit and not by it, so that no replica waits for another's sync; and how far that order is complete.
// The argument that nobody who follows misses an event is docs/decisions/0320.

/** A draw that is open for longer, and that no commit holds right now, is closed by whoever waits for it; its holder draws again. */
const OPEN_S_MAX = 0.8;

/**
 * $1 node, $2 epoch, $3 how many places; it MUST be a transaction of its own, and one that waits for no disk: whoever draws next waits for its end.
 * Whoever drew MUST have its answer before he commits, and MUST NOT draw again before he knows what became of that commit.
 */
export const DRAW = `
WITH placed AS (UPDATE positions SET last = last + $3 WHERE name = 'events' RETURNING last - $3 + 1 AS first)
INSERT INTO draws (node_id, epoch, first, drawn_at) SELECT $1, $2, first, clock_timestamp() FROM placed
ON CONFLICT (node_id, epoch) DO UPDATE SET first = excluded.first, drawn_at = excluded.drawn_at RETURNING first`;

/** In the transaction of the commit: `$first` of node `$node` and `$epoch` is used up. No row comes of it where somebody has closed it. */
export const used = (first: string, node: string, epoch: string): string =>
  `UPDATE draws SET first = NULL WHERE node_id = ${node} AND epoch = ${epoch} AND first = ${first} RETURNING node_id`;

/** Of `used`: nothing may be committed at a place that was closed, so its transaction fails, with {@link DRAW_CLOSED}; COMMIT need not wait to be told. */
export const FAILED_UNLESS_USED = "SELECT 1 / count(*) FROM used";
/** Division by zero. */
export const DRAW_CLOSED = "22012";

/** Somebody has closed the draw of a commit that took too long. Nothing of it is on record. */
export class DrawClosedError extends Error {}

/** $1 node, $2 its epoch now: what earlier ones left. Whoever has moved the epoch on has waited for their commits. */
export const FORGET_EARLIER = "DELETE FROM draws WHERE node_id = $1 AND epoch < $2";

/** `last`: the position up to which everything is on record that ever will be; `stale`: whether a draw is open that may be closed. */
export const SETTLED = `
SELECT coalesce(max(position), 0) AS last,
  (SELECT count(*) FROM draws WHERE first IS NOT NULL AND drawn_at < clock_timestamp() - interval '${OPEN_S_MAX} seconds') > 0 AS stale
FROM events WHERE position < (SELECT coalesce(min(first), ${Number.MAX_SAFE_INTEGER}) FROM draws)`;

/** Nothing is lost with it if it is not on the disk: nor is the connection left then that its draw was for. */
export const CLOSE_STALE = `
BEGIN READ WRITE;
SET LOCAL synchronous_commit = off;
UPDATE draws SET first = NULL FROM (
  SELECT node_id, epoch FROM draws WHERE first IS NOT NULL AND drawn_at < clock_timestamp() - interval '${OPEN_S_MAX} seconds'
  FOR UPDATE SKIP LOCKED) AS stale
WHERE draws.node_id = stale.node_id AND draws.epoch = stale.epoch;
COMMIT`;
