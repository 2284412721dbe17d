// One writer per data directory, whoever the other is and however the first one ended.
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { eventKeyFile, loadEventKey } from "../../src/evidence/keys/keys.ts";
import { DataDirLock, readHolder } from "../../src/store/lock.ts";
import { spawn } from "../spawn.ts";
import { comes } from "../until.ts";

const SINCE = "2026-01-02T03:04:05.678Z";

function tempDir(t: { teardown: (f: () => void) => void }): string {
  const dir = mkdtempSync(join(tmpdir(), "railgate-lock-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A process that takes the lock and holds it until it is killed. */
async function holder(dir: string) {
  const child = spawn(
    process.execPath,
    [
      "--input-type=module-typescript",
      "-e",
      `import { DataDirLock } from ${JSON.stringify(new URL("../../src/store/lock.ts", import.meta.url).href)};
     const lock = DataDirLock.acquire(${JSON.stringify(dir)}, ${JSON.stringify(SINCE)});
     lock.listening({ url: "http://127.0.0.1:1" });
     console.log("held");
     setInterval(() => lock, 1000);`,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  await comes("the lock is held", once(child.stdout!, "data"));
  return child;
}

test("a second lock in the same process is refused, and says by whom the directory is held", (t) => {
  const dir = tempDir(t);
  const lock = DataDirLock.acquire(dir, SINCE);
  const error = t.throws(() => DataDirLock.acquire(dir, SINCE), {
    message: new RegExp(`in use by process ${process.pid} since ${SINCE}`),
  });
  t.is((error as { code?: string }).code, "data_dir_locked");
  lock.release();
  DataDirLock.acquire(dir, SINCE).release();
  t.is(readHolder(dir), undefined);
});

test("another process's lock is refused with its address, and kill -9 frees it", async (t) => {
  const dir = tempDir(t);
  const child = await holder(dir);
  t.throws(() => DataDirLock.acquire(dir, SINCE), {
    message: new RegExp(`process ${child.pid} .*listening on http://127.0.0.1:1`),
  });
  child.kill("SIGKILL");
  await comes("its holder is gone", once(child, "exit"));
  DataDirLock.acquire(dir, SINCE).release();
  t.pass();
});

test("the private key is made once, with mode 0600, and is the same on the next start", async (t) => {
  const dir = tempDir(t);
  const made = await loadEventKey(dir, true);
  t.is(statSync(eventKeyFile(dir)).mode & 0o777, 0o600);
  t.is((await loadEventKey(dir, false)).kid, made.kid);
  t.false("d" in made.publicJwk);
});

test("a private key that is missing, broken or of another kind is an error that does not quote it", async (t) => {
  const dir = tempDir(t);
  await t.throwsAsync(loadEventKey(dir, false), { code: "key_unavailable", message: /is missing/ });
  await loadEventKey(dir, true);
  const secret = '{"kty":"OKP","crv":"Ed25519","d":"c2VjcmV0"';
  writeFileSync(eventKeyFile(dir), secret);
  const error = await t.throwsAsync(loadEventKey(dir, true), {
    code: "key_unavailable",
    message: /holds no private key/,
  });
  t.false(`${error.message}${String(error.cause)}`.includes("c2VjcmV0"));
});
