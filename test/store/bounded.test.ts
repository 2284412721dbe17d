// State that comes with no event: put where there is room for it, and gone once it is due.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { openReader, openWriter } from "../../src/store/open.ts";

test("there are no more than so many of a reference, and of a tenant; what is due makes room", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "railgate-bounded-"));
  const writer = await openWriter(dir);
  const reader = await openReader(dir);
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
  await reader.close();
  await writer.close();
  rmSync(dir, { recursive: true });
});
