// Another database where a node's own was: nothing opens it, so that nobody who still reads the own one is harmed.
import { copyFileSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import test from "ava";
import { asFound, openReader, openWriter, storeFile } from "../../src/store/open.ts";
import { DisplacedError } from "../../src/store/store.ts";
import { emptyDir } from "../http/support.ts";

test("a database that was replaced is opened neither for writing nor for reading, and the index of its log stays as it is", async (t) => {
  const dir = emptyDir();
  const file = storeFile(dir);
  await using writer = await openWriter(dir);
  await writer.putMeta("node_id", "n");
  await using before = await openReader(dir);
  t.is(await before.meta("node_id"), "n");
  const at = asFound(dir);
  copyFileSync(file, `${file}.copy`);
  renameSync(`${file}.copy`, file);
  const left = () => [readFileSync(file), ...["", "-shm", "-wal"].map((end) => statSync(file + end).mtimeMs)];
  const found = left();
  for (const open of [openWriter, openReader])
    await t.throwsAsync(open(at), { instanceOf: DisplacedError, message: /is not the file that this node has opened/ });
  t.deepEqual(left(), found);
  t.is(await before.meta("node_id"), "n");
  rmSync(file);
  for (const open of [openWriter, openReader])
    await t.throwsAsync(open(at), { instanceOf: DisplacedError, message: /is gone/ });
  t.throws(() => statSync(file), { code: "ENOENT" });
});
