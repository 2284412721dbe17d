// Bundles that OPA signed and other tools packed: taken as OPA takes them, and refused where nobody vouches for them or a number would be rounded.
import { spawnSync } from "node:child_process";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import test from "ava";
import { CompactSign, UnsecuredJWT } from "jose";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import { loadBundle, type BundleKeys } from "../../src/policy/policy.ts";
import { writeBundleFiles } from "../../src/policy/sign.ts";
import { inDirectory, opa } from "./law.ts";

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const other = generateKeyPairSync("rsa", { modulusLength: 2048 });
const spki = ({ publicKey }: { publicKey: KeyObject }): string =>
  publicKey.export({ type: "spki", format: "pem" }) as string;
const ONE: BundleKeys = { release: { key: spki(rsa), algorithm: "RS256" } };
const TWO: BundleKeys = { ...ONE, other: { key: spki(other), algorithm: "RS256" } };
const ENTRYPOINT = "p/x";
const POLICY = `package p\n\nx := data.t`;

interface Made {
  readonly folder: string;
  readonly key: string;
  readonly packed: (flags?: readonly string[]) => Uint8Array;
}

/** A folder with a policy, its WASM and data files, signed by OPA itself. */
async function signed<T>(
  data: Record<string, string>,
  work: (made: Made) => Promise<T>,
  signing: readonly string[] = [],
): Promise<T> {
  return inDirectory(async (directory) => {
    const [folder, key, built] = [join(directory, "b"), join(directory, "key.pem"), join(directory, "wasm.tar.gz")];
    mkdirSync(folder);
    writeFileSync(key, rsa.privateKey.export({ type: "pkcs8", format: "pem" }));
    writeFileSync(join(directory, "p.rego"), POLICY);
    await opa("build", "-t", "wasm", "-e", ENTRYPOINT, "-o", built, join(directory, "p.rego"));
    const files: [string, string | Uint8Array][] = [
      ["policy.wasm", (await readBundleFiles(readFileSync(built))).get("policy.wasm")!],
      [".manifest", '{"revision": "r", "roots": [""], "metadata": {"railgate": {"sequence": 3}}}'],
      ...Object.entries(data),
    ];
    for (const [name, content] of files) {
      mkdirSync(join(folder, dirname(name)), { recursive: true });
      writeFileSync(join(folder, name), content);
    }
    // OPA names files as it was given the folder, so it must stand in it.
    const { runOpa } = await import("../../src/workshop/opa.ts");
    const args = ["sign", "--signing-key", key, ...signing, "--bundle", "."];
    const run = await runOpa(args, { cwd: folder });
    if (run.status !== 0) throw new Error(run.stderr);
    const packed = (flags: readonly string[] = []): Uint8Array => {
      const out = join(directory, "bundle.tar.gz");
      const tar = spawnSync("tar", [...flags, "-czf", out, "-C", folder, "."], { encoding: "utf8" });
      if (tar.status !== 0) throw new Error(tar.stderr);
      return readFileSync(out);
    };
    return work({ folder, key, packed });
  });
}

test("numbers are hashed as they are written, in JSON and in YAML, as OPA hashes them", async (t) => {
  const data = {
    "data.json":
      '{"t": {"a": 1.0, "b": 1e3, "c": -0.0, "d": 1E+2, "e": 0.10, "t": "<&>\\u2028\\b\\f\\ud800é", "__proto__": {"x": 1.50}}}',
    "t/nested/data.json": '{"n": 9007199254740991.0}',
    "t/yaml/data.yaml":
      "a: 1.0\nb: 1e3\nc: 0x1f\nd: 0o17\ne: yes\nf: 1.5e-9\ng: ~\nh: 2020-01-01\nbase: &base {k: 1}\nm: {<<: *base, l: 2}\n",
    "t/yml/data.yml": "[1.0, -5]",
  };
  await signed(data, async ({ packed }) => {
    const policy = await loadBundle(packed(), { keys: ONE });
    t.is(policy.sequence, 3);
    t.like(policy.evaluate(ENTRYPOINT, {}), {
      a: 1,
      b: 1000,
      d: 100,
      e: 0.1,
      nested: { n: 9007199254740991 },
      yaml: { a: 1, b: 1000, c: 31, d: 15, e: "yes", f: 1.5e-9, g: null, h: "2020-01-01", m: { k: 1, l: 2 } },
      yml: [1, -5],
    });
  });
});

test("a number that would be rounded is refused with its place, once the signature was found good", async (t) => {
  for (const [name, text, place] of [
    ["data.json", '{"limits": {"a/b": [1, 12345678901234567890]}}', "/limits/a~1b/1"],
    ["data.json", '{"big": 9007199254740992}', "/big"],
    ["data.json", '{"big": 1e400}', "/big"],
    ["y/data.yaml", "big: 12345678901234567890\n", "/big"],
  ] as const) {
    await signed({ [name]: text }, async ({ packed }) => {
      const error = await t.throwsAsync(loadBundle(packed(), { keys: ONE }), { code: "policy_invalid" });
      t.like(error, { reason: "data" });
      t.true(error!.message.includes(`${place},`), error!.message);
      await t.throwsAsync(loadBundle(packed(), { keys: { other: { key: spki(other) } } }), { message: /signature/ });
    });
  }
});

test("a signature that names no key is the only key's; where there are more, `keyid` says which", async (t) => {
  await signed({ "data.json": "{}" }, async ({ packed }) => {
    const bundle = packed();
    await t.notThrowsAsync(loadBundle(bundle, { keys: ONE }));
    await t.notThrowsAsync(loadBundle(bundle, { keys: { keys: [rsa.publicKey.export({ format: "jwk" }) as never] } }));
    await t.notThrowsAsync(loadBundle(bundle, { keys: TWO, keyId: "release" }));
    const refused = { code: "policy_invalid" };
    await t.throwsAsync(loadBundle(bundle, { keys: TWO }), { ...refused, message: /names no key.*2 to choose from/ });
    await t.throwsAsync(loadBundle(bundle, { keys: {} }), { ...refused, message: /0 to choose from/ });
    await t.throwsAsync(loadBundle(bundle, { keys: TWO, keyId: "other" }), { ...refused, message: /does not verify/ });
    await t.throwsAsync(loadBundle(bundle, { keys: ONE, keyId: "gone" }), { ...refused, message: /not trusted/ });
  });
  await signed(
    { "data.json": "{}" },
    async ({ packed }) => {
      await t.notThrowsAsync(loadBundle(packed(), { keys: { named: { key: spki(rsa), algorithm: "RS256" } } }));
      await t.throwsAsync(loadBundle(packed(), { keys: ONE }), { message: /key "named", which is not trusted/ });
    },
    ["--claims-file", writeClaims()],
  );
});

function writeClaims(): string {
  const file = join(process.env["TMPDIR"] ?? "/tmp", `railgate-claims-${process.pid}.json`);
  writeFileSync(file, '{"keyid": "named"}');
  return file;
}

test("archives of every common form are taken: pax, GNU, ustar; with long names and names beyond ASCII", async (t) => {
  const long = `${"d".repeat(120)}/${"e".repeat(110)}/notes.txt`;
  await signed({ "data.json": '{"a": 1}', [long]: "x", "ärger/notes.txt": "y" }, async ({ packed }) => {
    for (const format of ["pax", "gnu"]) {
      const bundle = packed([`--format=${format}`]);
      t.true((await readBundleFiles(bundle)).has(long), format);
      await t.notThrowsAsync(loadBundle(bundle, { keys: ONE }), format);
    }
  });
  await signed({ "data.json": '{"a": 1}' }, async ({ packed }) => {
    for (const format of ["pax", "gnu", "ustar", "v7"])
      await t.notThrowsAsync(loadBundle(packed([`--format=${format}`]), { keys: ONE }), format);
  });
});

test("refused: what proves nothing", async (t) => {
  await signed({ "data.json": "{}" }, async ({ packed }) => {
    const files = await readBundleFiles(packed());
    const read = (name: string) => new TextDecoder().decode(files.get(name));
    const token = (JSON.parse(read(".signatures.json")) as { signatures: string[] }).signatures[0]!;
    const claims = JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString()) as { files: object[] };
    const load = (changed: Record<string, string>) =>
      loadBundle(
        writeBundleFiles(new Map([...files, ...Object.entries(changed).map(([n, c]) => [n, Buffer.from(c)] as const)])),
        {
          keys: ONE,
        },
      );
    const withToken = (...tokens: string[]) => load({ ".signatures.json": JSON.stringify({ signatures: tokens }) });
    const sign = (payload: object, alg: string, key: KeyObject | Uint8Array) =>
      new CompactSign(new TextEncoder().encode(JSON.stringify(payload))).setProtectedHeader({ alg }).sign(key);
    await t.notThrowsAsync(withToken(token));
    const code = { code: "policy_invalid" };
    const good = await sign(claims, "RS256", rsa.privateKey);
    await t.notThrowsAsync(withToken(good));
    await t.throwsAsync(withToken(token, token), { ...code, message: /exactly one signature/ });
    await t.throwsAsync(withToken(), { ...code, message: /exactly one signature/ });
    await t.throwsAsync(load({ "x/.signatures.json": read(".signatures.json") }), { ...code, message: /2 files/ });
    await t.throwsAsync(load({ "foosignatures.json": "{}" }), { ...code, message: /not in its signature/ });
    await t.throwsAsync(withToken(await sign(claims, "HS256", Buffer.from(spki(rsa)))), { ...code, message: /HS256/ });
    await t.throwsAsync(withToken(new UnsecuredJWT(claims as never).encode()), { ...code, message: /"none"/ });
    await t.throwsAsync(withToken(await sign(claims, "RS256", other.privateKey)), {
      ...code,
      message: /does not verify/,
    });
    for (const algorithm of ["MD5", "SHA-1", "", "sha-256", undefined]) {
      const weak = { ...claims, files: claims.files.map((file) => ({ ...file, algorithm })) };
      await t.throwsAsync(withToken(await sign(weak, "RS256", rsa.privateKey)), { ...code, message: /use SHA-256/ });
    }
  });
});
