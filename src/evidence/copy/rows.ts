// What a store holds beside events, taken over as it is: state with its versions, keys, shared artifacts, checkpoints, and what a node notes of itself.
import { digestOf } from "../../core/event.ts";
import { canonicalJson } from "../../core/json.ts";
import type { KeyRow, StateKey, StateRow, CopySource } from "../../store/store.ts";
import { AlteredRecordError } from "../../core/errors.ts";
import type { Sides } from "./records.ts";

const PAGE = 256;

/** What a side says of itself: that it is a copy which is not finished; where its node has gone. Empty: not any more. */
export const SIDE_META = { unfinished: "copy_unfinished", movedTo: "moved_to" } as const;
/** With what a node writes to see whether it can. */
const OWN_META: readonly string[] = [...Object.values(SIDE_META), "probed_at_ms"];

/** @returns how many rows differed. @throws AlteredRecordError a shared artifact is not what its address says. */
export async function copyRows({ source, target, copied }: Sides): Promise<number> {
  let differing = 0;
  const put = async (rows: Parameters<typeof target.putRows>[0], count: number): Promise<void> => {
    differing += count;
    if (count > 0) await target.putRows(rows);
  };
  const [keys, meta] = [await differingKeys(source, copied), await differingMeta(source, copied)];
  await put({ keys, meta }, keys.length + Object.keys(meta).length);
  for await (const digest of missingBlobs(source, copied)) {
    const bytes = (await source.artifact(digest))!;
    if (digestOf(bytes) !== digest) throw new AlteredRecordError(`the shared artifact ${digest} is another`);
    await put({ blobs: [{ digest, bytes }] }, 1);
  }
  let [states, gone]: [StateRow[], StateKey[]] = [[], []];
  for await (const { row, key } of differingStates(source, copied)) {
    if (row) states.push(row);
    else gone.push(key);
    if (states.length + gone.length < PAGE) continue;
    await put({ states, gone }, states.length + gone.length);
    [states, gone] = [[], []];
  }
  await put({ states, gone }, states.length + gone.length);
  for (const { chain_id } of await source.log.streams()) {
    const [theirs, ours] = [await source.log.checkpoint(chain_id), await copied.log.checkpoint(chain_id)];
    if (theirs && theirs.note !== ours?.note) await put({ checkpoints: [{ chain_id, ...theirs }] }, 1);
  }
  return differing;
}

async function differingKeys(source: CopySource, copied: CopySource): Promise<KeyRow[]> {
  const known = new Map((await copied.keys()).map((row) => [row.kid, canonicalJson(row)]));
  return (await source.keys()).filter((row) => known.get(row.kid) !== canonicalJson(row));
}

async function differingMeta(source: CopySource, copied: CopySource): Promise<Record<string, string>> {
  const known = await copied.metaRows();
  const all = Object.entries(await source.metaRows());
  return Object.fromEntries(all.filter(([name, value]) => !OWN_META.includes(name) && known[name] !== value));
}

async function* missingBlobs(source: CopySource, copied: CopySource): AsyncGenerator<string> {
  for (let after: string | undefined; ; ) {
    const page = await source.blobDigests(PAGE, after);
    for (const digest of page) if ((await copied.artifact(digest)) === undefined) yield digest;
    if (page.length < PAGE) return;
    after = page.at(-1);
  }
}

interface Differing {
  readonly key: StateKey;
  /** As the source has it; undefined where it has none. */
  readonly row: StateRow | undefined;
}

/** Where two sorted listings of state differ. */
async function* differingStates(source: CopySource, copied: CopySource): AsyncGenerator<Differing> {
  const [theirs, ours] = [rowsOf(source), rowsOf(copied)];
  let [left, right] = [await theirs.next(), await ours.next()];
  while (!left.done || !right.done) {
    const order = compare(left.value, right.value);
    if (order > 0) yield { key: right.value as StateRow, row: undefined };
    else if (order < 0 || !isSame(left.value as StateRow, right.value as StateRow))
      yield { key: left.value as StateRow, row: left.value as StateRow };
    if (order <= 0) left = await theirs.next();
    if (order >= 0) right = await ours.next();
  }
}

async function* rowsOf(store: CopySource): AsyncGenerator<StateRow, void> {
  for (let after: StateRow | undefined; ; ) {
    const page = await store.stateRows(PAGE, after);
    yield* page;
    if (page.length < PAGE) return;
    after = page.at(-1);
  }
}

const isSame = (a: StateRow, b: StateRow): boolean =>
  a.version === b.version && a.value === b.value && a.due_ms === b.due_ms && a.ref === b.ref && a.rank === b.rank;

/** By kind, tenant and key, in the order of their bytes; what has ended comes last. */
function compare(a: StateRow | void, b: StateRow | void): number {
  if (!a || !b) return a ? -1 : b ? 1 : 0;
  for (const member of ["kind", "tenant_id", "key"] as const) {
    const order = Buffer.compare(Buffer.from(a[member]), Buffer.from(b[member]));
    if (order !== 0) return order;
  }
  return 0;
}
