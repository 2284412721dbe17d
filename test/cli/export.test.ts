// `railgate export`, `verify`, `keys rotate`, `erase`: from a data directory to a verdict, as an operator and an auditor would.
import { admit } from "../gate/commands.ts";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { RailgateNode } from "../../src/node/open.ts";
import { emptyDir, railgate, says, start } from "./railgate.ts";
import { admissible, insufficient } from "../http/support.ts";

const TENANT = "acme";

async function withDecisions(): Promise<string> {
  const cwd = emptyDir();
  await using node = await RailgateNode.open({ dataDir: join(cwd, "data") });
  for (const request of [admissible("one"), insufficient(), admissible("two")]) await admit(node, request);
  return cwd;
}

test("a folder and an archive, made and verified, with pinned keys and without", async (t) => {
  const cwd = await withDecisions();
  const folder = await railgate(["export", "--tenant", TENANT, "--out", "folder"], { cwd });
  t.deepEqual([folder.code, folder.stderr], [0, ""]);
  t.regex(folder.stdout, /^Exported 3 events, 0 to 2, to folder\./);
  const archive = await railgate(
    [
      "export",
      "--tenant",
      TENANT,
      "--profile",
      "ecs-evidence-baseline",
      "--from",
      "1",
      "--to",
      "2",
      "--out",
      "part.tar.gz",
      "--json",
    ],
    { cwd },
  );
  t.like(JSON.parse(archive.stdout), { events: 2, from_sequence: 1, to_sequence: 2, path: "part.tar.gz" });
  const keys = JSON.parse((await railgate(["keys", "list", "--json"], { cwd })).stdout) as {
    jwk: object;
    role: string;
  }[];
  writeFileSync(
    join(cwd, "jwks.json"),
    JSON.stringify({ keys: keys.filter(({ role }) => role === "event").map(({ jwk }) => jwk) }),
  );
  for (const path of ["folder", "part.tar.gz"]) {
    const plain = await railgate(["verify", path], { cwd });
    t.is(plain.code, 0, plain.stdout);
    t.regex(plain.stdout, /^signer .* ok .*keys of the node that verified it/m);
    t.regex(plain.stdout, /^Verified\.$/m);
    const elsewhere = await railgate(["verify", path, "--data-dir", "nowhere"], { cwd });
    t.is(elsewhere.code, 1, elsewhere.stdout);
    t.regex(elsewhere.stdout, /^signer .* not checked .*UNKNOWN WHO SIGNED/m);
    t.regex(elsewhere.stdout, /^Not verified: it agrees with itself, and anybody could have made it\.$/m);
    const trusting = await railgate(["verify", path, "--data-dir", "nowhere", "--trust-embedded-keys"], { cwd });
    t.is(trusting.code, 0, trusting.stdout);
    t.regex(trusting.stdout, /^WHO SIGNED IS NOT PROVEN/m);
    t.notRegex(trusting.stdout, /^Verified/m);
    const pinned = await railgate(["verify", path, "--jwks", "jwks.json", "--json"], { cwd });
    t.is(pinned.code, 0);
    t.like(JSON.parse(pinned.stdout), { ok: true, first_bad: null });
  }
  const stranger = JSON.parse(readFileSync(join(cwd, "jwks.json"), "utf8")) as { keys: { x: string }[] };
  stranger.keys[0]!.x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
  writeFileSync(join(cwd, "stranger.json"), JSON.stringify(stranger));
  t.is((await railgate(["verify", "folder", "--jwks", "stranger.json"], { cwd })).code, 1);
});

test("a tampered export exits 1, and the first bad record is named by file, line and sequence", async (t) => {
  const cwd = await withDecisions();
  await railgate(["export", "--tenant", TENANT, "--out", "folder"], { cwd });
  const file = join(cwd, "folder", "events.jsonl");
  const lines = readFileSync(file, "utf8").split("\n");
  lines[1] = lines[1]!.replace('"outcome":"refused"', '"outcome":"accepted"');
  writeFileSync(file, lines.join("\n"));
  const plain = await railgate(["verify", "folder"], { cwd });
  t.is(plain.code, 1);
  t.regex(
    plain.stdout,
    /^event_hashes {8}FAILED {2}events\.jsonl, line 2, sequence 1: event_hash is not the hash of the event$/m,
  );
  t.regex(plain.stdout, /^First bad: events\.jsonl, line 2, sequence 1\nNot verified\.$/m);
  const json = await railgate(["verify", "folder", "--json"], { cwd });
  t.is(json.code, 1);
  t.like(JSON.parse(json.stdout), { ok: false, first_bad: { file: "events.jsonl", line: 2, sequence: 1 } });
});

test("what cannot be exported or read says why, with its exit code", async (t) => {
  const cwd = await withDecisions();
  const incomplete = await railgate(["export", "--tenant", TENANT, "--profile", "ecs-evidence-ncp", "--out", "x"], {
    cwd,
  });
  t.is(incomplete.code, 1);
  t.regex(incomplete.stdout, /^ {2}missing: .*key_custody/m);
  t.is((await railgate(["export", "--tenant", "nobody", "--out", "x"], { cwd })).code, 2);
  t.is((await railgate(["export", "--tenant", TENANT, "--out", "x", "--to", "99"], { cwd })).code, 2);
  t.is((await railgate(["export", "--tenant", TENANT], { cwd })).code, 2);
  t.is((await railgate(["export", "--tenant", TENANT, "--out", "x", "--from", "-1"], { cwd })).code, 2);
  t.is((await railgate(["verify", "nowhere"], { cwd })).code, 3);
  t.is((await railgate(["verify", "data"], { cwd })).code, 2);
  writeFileSync(join(cwd, "text.tar.gz"), "nothing of the kind");
  const none = await railgate(["verify", "text.tar.gz", "--json"], { cwd });
  t.is(none.code, 2);
  t.like(JSON.parse(none.stdout), { code: "no_export" });
  t.is((await railgate(["verify", "data", "--jwks", "nowhere"], { cwd })).code, 2);
});

test("while a server holds the data directory, it makes the export", async (t) => {
  const cwd = await withDecisions();
  const server = start(["serve", "--listen", "127.0.0.1:0"], { cwd });
  try {
    await says(server, /listening/);
    const made = await railgate(["export", "--tenant", TENANT, "--out", "served.tar.gz"], { cwd });
    t.deepEqual([made.code, made.stderr], [0, ""]);
    t.is((await railgate(["verify", "served.tar.gz"], { cwd })).code, 0);
    t.is((await railgate(["export", "--tenant", TENANT, "--out", "folder"], { cwd })).code, 2);
    t.is(
      (
        await railgate(["export", "--tenant", TENANT, "--profile", "ecs-evidence-ncp", "--out", "other.tar.gz"], {
          cwd,
        })
      ).code,
      1,
    );
  } finally {
    server.kill("SIGTERM");
    await once(server, "close");
  }
});

test("keys are rotated and artifacts erased on record, and exports verify all the same", async (t) => {
  const cwd = await withDecisions();
  const rotated = await railgate(["keys", "rotate", "--json"], { cwd });
  t.is(rotated.code, 0, rotated.stderr);
  const { old_kid, new_kid } = JSON.parse(rotated.stdout) as Record<string, string>;
  const keys = JSON.parse((await railgate(["keys", "list", "--json"], { cwd })).stdout) as {
    kid: string;
    role: string;
    retired_at: string | null;
  }[];
  t.deepEqual(
    keys.filter(({ role }) => role === "event").map(({ kid, retired_at }) => [kid, retired_at === null]),
    [
      [old_kid, false],
      [new_kid, true],
    ],
  );
  const [event] = (
    await railgate(["events", "--json", "--type", "workload.admit", "--limit", "1"], { cwd })
  ).stdout.split("\n");
  const { id } = JSON.parse(event!) as { id: string };
  t.is((await railgate(["erase", id, "--tenant", TENANT], { cwd })).code, 2);
  t.is((await railgate(["erase", id, "--tenant", TENANT, "--basis", "request 7"], { cwd })).code, 0);
  t.is((await railgate(["erase", id, "--tenant", TENANT, "--basis", "request 7"], { cwd })).code, 3);
  await railgate(["export", "--tenant", TENANT, "--out", "folder"], { cwd });
  const verified = await railgate(["verify", "folder"], { cwd });
  t.is(verified.code, 0, verified.stdout);
  t.regex(verified.stdout, /^Erased, on record: sha256:[0-9a-f]{64} of event 2 \(request 7\)$/m);
  t.is((await railgate(["doctor"], { cwd })).code, 0);
  t.is((await railgate(["keys", "rotate", "--compromised-since", "yesterday"], { cwd })).code, 2);
});
