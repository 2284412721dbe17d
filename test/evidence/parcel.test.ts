// Records on their way between threads: what is taken out is what was put in.
import test from "ava";
import fc from "fast-check";
import { appendsIn, parcelsOf, recordsIn } from "../../src/evidence/ledger/parcel.ts";
import type { Append } from "../../src/store/store.ts";

const text = fc.string({ unit: "grapheme" });
const artifact = fc.option(text);
const varying = fc.record({
  id: text,
  event_type: text,
  outcome: text,
  workload_id: fc.option(text),
  correlation_id: text,
  occurred_at_ms: fc.nat(),
  event_hash: text,
  artifact_digest: text,
  record: fc.string({ unit: "binary-ascii", minLength: 1 }),
  artifact,
  erases: fc.option(fc.array(fc.nat()), { nil: undefined }),
});

test("events are the same behind a thread's border as before it", (t) => {
  const rows = fc.array(varying, { minLength: 1, maxLength: 20 });
  const blobs = fc.array(fc.record({ digest: text, bytes: fc.uint8Array() }));
  fc.assert(
    fc.property(rows, fc.nat(), blobs, (events, from, shared) => {
      const appends = events.map(
        (event, i): Append => ({
          ...event,
          chain_id: "acme/edge",
          tenant_id: "acme",
          sequence: from + i,
          blobs: i === 0 ? shared : [],
          states: [],
          keys: i === 0 ? [] : undefined,
        }),
      );
      const [parcel] = structuredClone(parcelsOf(appends));
      t.deepEqual(appendsIn(parcel!), appends);
      t.deepEqual(
        recordsIn(parcel!),
        appends.map(({ record }) => record),
      );
    }),
    { numRuns: 100 },
  );
});

test("many are several parcels, each in its place", (t) => {
  const many = Array.from({ length: 1100 }, (_, i) => ({
    record: `r${i}`,
    artifact: i % 2 === 0 ? "{}" : null,
    sequence: i,
  }));
  const parcels = parcelsOf(many.map((each) => ({ ...each, blobs: [], states: [] }) as unknown as Append));
  t.deepEqual(
    parcels.map(({ sequence, recordBytes }) => [sequence, recordBytes.length]),
    [
      [0, 512],
      [512, 512],
      [1024, 76],
    ],
  );
  t.deepEqual(
    parcels.flatMap(appendsIn).map(({ record, artifact, sequence }) => ({ record, artifact, sequence })),
    many,
  );
});
