// State that comes with no event: put where there is room for it, and gone once it is due.
import { overAll } from "./engines.ts";

overAll("there are no more than so many of a reference, and of a tenant; what is due makes room", async (t, place) => {
  await using writer = await place.writer();
  await using reader = await place.reader();
  let n = 0;
  const put = (ref: string | undefined, tenant_id = "acme", nowMs = 0, due_ms = 10) =>
    writer.putBounded(
      { kind: "challenge", tenant_id, key: `k ${n++}`, value: "{}", version: 1, due_ms, ...(ref && { ref, rank: 0 }) },
      nowMs,
      { ofRef: 2, ofTenant: 3 },
    );
  t.deepEqual([await put("a"), await put("a"), await put("a")], [true, true, false]);
  t.deepEqual([await put("b"), await put("c")], [true, false]);
  t.true(await put("a", "globex"), "another tenant's count apart");
  t.is((await reader.due("challenge", 10, 100)).length, 4);
  t.true(await put("a", "acme", 10, 20), "what is due made room");
  t.is((await reader.due("challenge", 100, 100)).length, 1);
  await writer.deleteDue("token", 100);
  t.is((await reader.due("challenge", 100, 100)).length, 1, "of another kind nothing goes");
  await writer.deleteDue("challenge", 20);
  t.is((await reader.due("challenge", 100, 100)).length, 0);
});

overAll(
  "many at once are counted one after the other, and nothing of what was counted stays behind",
  async (t, place) => {
    await using writer = await place.writer();
    await using reader = await place.reader();
    const state = {
      kind: "challenge",
      tenant_id: "acme",
      value: "{}",
      version: 1,
      due_ms: 10,
      ref: "a",
      rank: 0,
    } as const;
    const put = await Promise.all(
      Array.from({ length: 9 }, (_, n) =>
        writer.putBounded({ ...state, key: `k ${n}` }, 0, { ofRef: 4, ofTenant: 100 }),
      ),
    );
    t.is(put.filter(Boolean).length, 4);
    t.is((await reader.states("challenge", "acme", 100)).length, 4);
    t.is((await reader.referring("challenge", "acme", "a")).length, 4);
    await writer.deleteDue("challenge", 9);
    t.is((await reader.states("challenge", undefined, 100)).length, 4, "it is not due yet");
  },
);
