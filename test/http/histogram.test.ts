// Our histogram shows what prom-client's own shows of the same observations, to the letter, alone and added up over threads.
import test from "ava";
import fc from "fast-check";
import { AggregatorRegistry, Histogram as Theirs, Registry } from "prom-client";
import { Histogram } from "../../src/http/histogram.ts";

const BUCKETS = [0.001, 0.05, 1, 5];
const observations = fc.array(
  fc.record({
    value: fc.oneof(fc.double({ min: 0, max: 10, noNaN: true }), fc.constantFrom(...BUCKETS)),
    method: fc.constantFrom("GET", "POST"),
    status: fc.constantFrom(200, 404),
  }),
);

test("the same text as prom-client's own", async (t) => {
  const seed = Date.now() >>> 0;
  t.log(`seed ${seed}`);
  await fc.assert(
    fc.asyncProperty(observations, async (observed) => {
      const [ours, theirs] = [new Registry(), new Registry()];
      const plain = { name: "plain_seconds", help: "Plain.", buckets: BUCKETS };
      const labelled = {
        name: "labelled_seconds",
        help: "Labelled.",
        buckets: BUCKETS,
        labelNames: ["method", "status"],
      };
      const [a, b] = [new Histogram(plain, ours), new Histogram(labelled, ours)];
      const [c, d] = [plain, labelled].map((each) => new Theirs({ ...each, registers: [theirs] })) as [Theirs, Theirs];
      for (const { value, method, status } of observed) {
        a.observe(value);
        b.observe(value, method, status);
        c.observe(value);
        d.observe({ method, status }, value);
      }
      const [shown, expected] = await Promise.all([added(ours), added(theirs)]);
      return (await ours.metrics()) === (await theirs.metrics()) && shown === expected;
    }),
    { seed, numRuns: 100 },
  );
  t.pass();
});

/** Of two threads that have observed the same. */
async function added(registry: Registry): Promise<string> {
  const figures = await registry.getMetricsAsJSON();
  return AggregatorRegistry.aggregate([figures, figures] as object[][]).metrics();
}
