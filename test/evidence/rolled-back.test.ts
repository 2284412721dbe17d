// A database that lacks what its node has signed, found while the node runs: nothing is written any more, whatever lies there later.
import { copyFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import test from "ava";
import type { LinkedAppend, RecordedHead } from "../../src/evidence/ledger/messages.ts";
import { SoundStore } from "../../src/evidence/ledger/sound.ts";
import { HttpError } from "../../src/http/call/problem.ts";
import { diagnosticRoutes } from "../../src/http/routes/documents.ts";
import type { Diagnosed } from "../../src/http/routes/documents.ts";
import { asFound, openWriter, storeFile } from "../../src/store/open.ts";
import { emptyDir } from "../http/support.ts";

function eventAt(sequence: number): LinkedAppend & { record: string } {
  const event_hash = `sha256:${String(sequence).padStart(64, "0")}`;
  return {
    chain_id: "a/n",
    sequence,
    id: `id-${sequence}`,
    event_type: "workload.admit",
    outcome: "accepted",
    tenant_id: "a",
    workload_id: null,
    correlation_id: "c",
    occurred_at_ms: sequence,
    event_hash,
    artifact_digest: `sha256:${"0".repeat(64)}`,
    artifact: null,
    blobs: [],
    states: [],
    text: "",
    record: `h.${Buffer.from(JSON.stringify({ event_hash })).toString("base64url")}.s`,
  };
}

/** Over a new database. */
async function soundIn(dir: string): Promise<SoundStore> {
  await (await openWriter(dir)).close();
  return soundOver(dir);
}

/** @param acknowledged what whoever wrote before it has told. */
function soundOver(dir: string, acknowledged: readonly RecordedHead[] = []): SoundStore {
  const parts = { unsettled: [], acknowledged, follows: false, checkpointer: () => undefined };
  return new SoundStore({ path: asFound(dir), ...parts });
}

test("a store that was given up, by whatever failed, is looked at like one that is open", async (t) => {
  const dir = emptyDir();
  const file = storeFile(dir);
  const sound = await soundIn(dir);
  const checkpoint = sound.write(() => Promise.reject(new Error("Connection terminated unexpectedly")));
  await t.throwsAsync(checkpoint, { message: /terminated/ });
  t.is(await sound.watch(), undefined, "it could be opened again");
  await t.throwsAsync(sound.write(() => Promise.reject(new Error("again"))));
  renameSync(file, `${file}.away`);
  t.regex((await sound.watch()) ?? "", /railgate\.db is gone/);
  t.is(await sound.watch(), undefined, "it is said once");
  await t.throwsAsync(sound.recover());
  renameSync(`${file}.away`, file);
  await sound.recover();
  t.is(await sound.watch(), undefined);
  await sound.close();
});

test("an older database in its place is named for what it is, and the newer one does not help any more", async (t) => {
  const dir = emptyDir();
  const file = storeFile(dir);
  const sound = await soundIn(dir);
  const append = async (sequence: number) => {
    await (await sound.writer()).append([eventAt(sequence)]);
    sound.committed([eventAt(sequence)]);
  };
  await append(0);
  await sound.close();
  copyFileSync(file, `${file}.older`);
  await append(1);
  const newer = () => readFileSync(file);
  await sound.close();
  const kept = newer();
  await sound.writer();
  writeFileSync(file, readFileSync(`${file}.older`));
  t.regex((await sound.watch()) ?? "", /something else than this node has written/);
  await t.throwsAsync(sound.recover(), { code: "log_rolled_back", message: /lacks what was recorded in a\/n/ });
  await t.throwsAsync(() => sound.writer(), { code: "log_rolled_back" });
  writeFileSync(file, kept);
  await t.throwsAsync(sound.recover(), { code: "log_rolled_back" });
  await t.throwsAsync(() => sound.writer(), { code: "log_rolled_back" });
  await sound.close();
});

test("whoever takes another's place refuses a database that lacks what that one told last", async (t) => {
  const dir = emptyDir();
  const file = storeFile(dir);
  const first = await soundIn(dir);
  const append = async (...sequences: number[]) => {
    const events = sequences.map(eventAt);
    await (await first.writer()).append(events);
    return first.committed(events);
  };
  await append(0);
  await first.close();
  copyFileSync(file, `${file}.older`);
  const acknowledged = await append(1, 2);
  t.deepEqual(acknowledged, [{ chainId: "a/n", sequence: 2, hash: eventAt(2).event_hash }]);
  await first.close();
  const next = soundOver(dir, acknowledged);
  await next.writer();
  writeFileSync(file, readFileSync(`${file}.older`));
  t.regex((await next.watch()) ?? "", /something else than this node has written/);
  await t.throwsAsync(next.recover(), { code: "log_rolled_back", message: /lacks what was recorded in a\/n/ });
  await next.close();
});

test("a node says by the code why it is not ready", (t) => {
  const [, readyz] = diagnosticRoutes({
    railgate: { problem: "evidence: log_rolled_back: it lacks the newest" },
    strangers: true,
  } as unknown as Diagnosed);
  const error = t.throws(() => readyz!.handle({} as never), { instanceOf: HttpError });
  t.like(error, { code: "log_rolled_back", status: 503, message: "evidence: the node's log says what is wrong" });
});
