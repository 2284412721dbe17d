// Has PyPI's sigstore judge the bundles of our tests, genuine, spoilt and altered at every leaf, and compares: `npm run -s interop:provenance`.
// Python's `cryptography` verifies the VSA and SVR of an admission besides. Apart from `npm test`, since it needs Python and its package index.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openRailgate } from "../src/library/index.ts";
import { makeVerifier, type BundleVerifier } from "../src/trust/provenance/verify.ts";
import { containerRequest } from "../test/core/requests.ts";
import { ISSUER, makeSigstore, WORKFLOW, type Making } from "../test/trust/sigstore.ts";

const VERSION = "4.5.1";
const VENV = ".cache/sigstore";
const FIXTURES = "test/fixtures/provenance";
const ANYONE = [{ issuer: "**", subject: "**", level: 1 }];
/** Steps that judge what is stated, and by whom: no business of the other's. */
const AFTER_SIGNATURE = new Set(["statement", "subject", "predicate", "identity", "builder", "source", "build_type"]);
const KINDS: Making[] = [
  { version: "v0.3" },
  { version: "0.2" },
  { kind: "intoto" },
  { rekor: 2, kind: "hashedrekord" },
  { rekor: 2 },
];
/** What the other does not read: entries of kind intoto, `dsse` of Rekor v2, v0.1 without a proof. */
const UNREAD = /only supported for dsse|Unsupported DSSE log entry|Field required/;
/** Said twice in a bundle; here only what the log signed is read, as Rekor v2 wants it. */
const SAID_TWICE = /inclusionProof\/rootHash changed$/;

type Json = { [name: string]: unknown };
type Case = { name: string; root: string; bundle: unknown; ours: string };

const scratch = mkdtempSync(join(tmpdir(), "railgate-sigstore-"));
try {
  const python = join(VENV, "bin/python");
  if (!existsSync(python)) {
    await run("python3", ["-m", "venv", VENV]);
    await run(join(VENV, "bin/pip"), ["install", "--quiet", `sigstore==${VERSION}`]);
  }
  const roots: { [name: string]: string } = {};
  const cases = [...fixtures(roots), ...(await ourOwn(roots))];
  const { statements, keys } = await summaries(roots["ours"]!);
  const path = join(scratch, "cases.json");
  const bundles = cases.map(({ root, bundle }) => [root, bundle]);
  writeFileSync(path, JSON.stringify({ roots, bundles, statements, keys }));
  const theirs = JSON.parse(await run(python, ["test/interop/provenance.py", path])) as string[];
  const differing = cases
    .map((each, i) => ({ ...each, theirs: theirs[i]! }))
    .filter(({ ours, theirs }) => (ours === "signed") !== (theirs === "signed"));
  const stricter = differing.filter(({ ours }) => ours !== "signed");
  const unread = differing.filter(({ ours, theirs }) => ours === "signed" && UNREAD.test(theirs));
  const laxer = differing.filter((each) => !stricter.includes(each) && !unread.includes(each));
  for (const { name, ours, theirs } of [...stricter, ...laxer]) console.log(`${name}\n  here ${ours}; there ${theirs}`);
  console.log(
    `${cases.length} bundles: ${cases.length - differing.length} judged alike, ${unread.length} that the other does not read, ` +
      `${stricter.length} refused only here, ${laxer.length} only there. ${statements.length} statements verified.`,
  );
  if (laxer.some(({ name }) => !SAID_TWICE.test(name))) process.exitCode = 1;
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true });
}

function verdict(verify: BundleVerifier, bundle: unknown): string {
  const judged = verify(new TextEncoder().encode(JSON.stringify(bundle)));
  return judged.ok || AFTER_SIGNATURE.has(judged.step) ? "signed" : `refused: ${judged.step}`;
}

function* fixtures(roots: { [name: string]: string }): Generator<Case> {
  for (const folder of readdirSync(FIXTURES, { withFileTypes: true }).filter((each) => each.isDirectory())) {
    const at = join(FIXTURES, folder.name);
    roots[folder.name] = join(at, "trusted_root.json");
    const { verify } = makeVerifier({
      trustedRoot: readFileSync(roots[folder.name]!),
      keys: [],
      identities: ANYONE,
      store: false,
    });
    for (const file of readdirSync(at).filter((name) => name !== "trusted_root.json")) {
      const bundle = JSON.parse(readFileSync(join(at, file), "utf8")) as unknown;
      yield { name: `${folder.name}/${file}`, root: folder.name, bundle, ours: verdict(verify, bundle) };
    }
  }
}

async function ourOwn(roots: { [name: string]: string }): Promise<Case[]> {
  const [instance, other] = await Promise.all([makeSigstore(), makeSigstore()]);
  roots["ours"] = join(scratch, "trusted_root.json");
  writeFileSync(roots["ours"], JSON.stringify(instance.trustedRoot));
  const { verify } = makeVerifier({
    trustedRoot: readFileSync(roots["ours"]),
    keys: [],
    identities: ANYONE,
    store: false,
  });
  const cases: Case[] = [];
  const add = (name: string, bundle: unknown) =>
    cases.push({ name, root: "ours", bundle, ours: verdict(verify, bundle) });
  for (const making of KINDS) {
    const name = JSON.stringify(making);
    const bundle = await instance.bundle(making);
    add(name, bundle);
    for (const stranger of [{ authority: other }, { log: other }, { clock: other, timestamp: true }])
      add(`${name} by another ${Object.keys(stranger)[0]}`, await instance.bundle({ ...making, ...stranger }));
    for (const [pointer] of leavesOf(bundle)) add(`${name} ${pointer} changed`, changedAt(bundle, pointer));
  }
  return cases;
}

function* leavesOf(value: unknown, pointer = ""): Generator<[pointer: string, value: unknown]> {
  if (typeof value !== "object" || value === null) return yield [pointer, value];
  for (const [name, each] of Object.entries(value)) yield* leavesOf(each, `${pointer}/${name}`);
}

/** With a bit flipped in what is base64, a digit in what is a number, a letter otherwise. */
function changedAt(bundle: Json, pointer: string): Json {
  const copy = structuredClone(bundle);
  const names = pointer.split("/").slice(1);
  const at = names.slice(0, -1).reduce((within, name) => within[name] as Json, copy);
  const text = String(at[names.at(-1)!]);
  const bytes = Buffer.from(text, "base64");
  bytes[bytes.length >> 1]! ^= 1;
  at[names.at(-1)!] = /^\d+$/.test(text)
    ? String(Number(text) + 1)
    : text.length > 8 && Buffer.from(text, "base64").toString("base64") === text
      ? bytes.toString("base64")
      : text.replace(/[a-wyz]/, "x");
  return copy;
}

/** The statements of an admission, and the keys that they verify with. */
async function summaries(root: string): Promise<{ statements: unknown[]; keys: { [kid: string]: unknown } }> {
  const trusted = {
    trustedRoot: readFileSync(root),
    keys: [],
    identities: [{ issuer: ISSUER, subject: WORKFLOW, level: 3 }],
    store: true,
  };
  const trust = { authorities: [], attesters: [], provenance: trusted };
  await using gate = await openRailgate({ dataDir: join(scratch, "data"), trust });
  const { event } = await gate.admit(containerRequest());
  const items = await gate.summaries(event.id, { tenant_id: event.tenant_id });
  const { keys } = await gate.jwks();
  return {
    statements: items.flatMap(({ vsa, svr }) => [vsa, svr]),
    keys: Object.fromEntries(keys.map((key) => [String(key["kid"]), key["x"]])),
  };
}

function run(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  const said: Buffer[] = [];
  child.stdout.on("data", (data: Buffer) => said.push(data));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) =>
      code === 0 ? resolve(Buffer.concat(said).toString()) : reject(new Error(`${command} ended with ${code}`)),
    );
  });
}
