// What counts as settled, in whatever order batches are: all from the first on, and nothing behind one that is not.
import test from "ava";
import fc from "fast-check";
import { SettledCount, type Waiting } from "../../src/evidence/ledger/queue.ts";

const group: Waiting["group"] = { events: [], reads: [], stacked: false, origin: 0, generation: 0 };
const SIZES_AND_ORDER = fc
  .array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 30 })
  .chain((sizes) =>
    fc.tuple(fc.constant(sizes), fc.shuffledSubarray([...sizes.keys()], { minLength: sizes.length }), fc.nat(4)),
  );

test("what was appended is settled up to the first that is not, in whatever order the rest is", (t) => {
  fc.assert(
    fc.property(SIZES_AND_ORDER, ([sizes, order, more]) => {
      const settled = new SettledCount();
      const befores = sizes.map((_, i) => sizes.slice(0, i).reduce((sum, size) => sum + size, 0));
      const all = sizes.map(
        (size, i): Waiting => ({ group, size, before: befores[i]!, resolve: () => {}, reject: () => {} }),
      );
      for (let at = 0; at < order.length; at += more + 1) {
        settled.add(order.slice(at, at + more + 1).map((i) => all[i]!));
        const done = new Set(order.slice(0, at + more + 1));
        const firstOpen = sizes.findIndex((_, i) => !done.has(i));
        t.is(settled.events, firstOpen < 0 ? befores.at(-1)! + sizes.at(-1)! : befores[firstOpen]!);
      }
      settled.reset();
      t.is(settled.events, 0);
    }),
  );
});
