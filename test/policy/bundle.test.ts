// The default bundle: reproducible, current, signed so that OPA accepts it and refuses it once anything is changed.
import { createPublicKey } from "node:crypto";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { calculateJwkThumbprint, exportJWK, exportSPKI, generateKeyPair, type JWK } from "jose";
import { runOpa } from "../../src/workshop/opa.ts";
import { buildBundleFiles, differing } from "../../src/workshop/build.ts";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import { companionsOf, hostSettingsFault } from "../../src/policy/host-settings.ts";
import { loadBundle } from "../../src/policy/policy.ts";
import { signBundleFiles, writeBundleFiles } from "../../src/policy/sign.ts";
import { bases } from "./corpus.ts";
import { ADMISSION, inDirectory } from "./law.ts";

const committed = readFileSync("bundles/railgate.tar.gz");
const jwks = JSON.parse(readFileSync("bundles/railgate.jwks.json", "utf8")) as { keys: [JWK & { kid: string }] };
/** Of the policies as they lie here. */
const built = buildBundleFiles();

/** Has OPA itself verify a bundle. */
async function verifiedByOpa(
  bundle: Uint8Array,
  spki: string,
  keyId: string,
  command: "build" | "run",
  extra: string[] = [],
): Promise<{ ok: boolean; output: string }> {
  return inDirectory(async (directory) => {
    const [file, key] = [join(directory, "bundle.tar.gz"), join(directory, "key.pem")];
    writeFileSync(file, bundle);
    writeFileSync(key, spki);
    const verification = [
      "--bundle",
      file,
      "--verification-key",
      key,
      "--verification-key-id",
      keyId,
      "--signing-alg",
      "ES256",
      ...extra,
    ];
    const args =
      command === "build"
        ? ["build", ...verification, "--output", join(directory, "out.tar.gz")]
        : ["run", ...verification, "--format", "json"];
    const input = command === "run" ? "data.railgate.admission.decision.outcome\n" : "";
    const { status, stdout, stderr } = await runOpa(args, { input });
    return { ok: status === 0, output: `${stdout}${stderr}` };
  });
}

test("the same policies build the same bundle, byte for byte", async (t) => {
  const first = await built;
  const second = await inDirectory(async (directory) => {
    cpSync("policy", directory, { recursive: true });
    return buildBundleFiles(directory);
  });
  t.deepEqual(differing(first, second), []);
  t.deepEqual(writeBundleFiles(first), writeBundleFiles(second));
});

test("the committed bundle is what the policies build", async (t) => {
  t.deepEqual(differing(await built, await readBundleFiles(committed)), []);
});

test("it holds no tests, schemas or capabilities, and says what it is", async (t) => {
  const files = await readBundleFiles(committed);
  for (const name of files.keys()) t.notRegex(name, /_test\.rego$|schema|capabilities/);
  const manifest = JSON.parse(new TextDecoder().decode(files.get(".manifest"))) as {
    revision: string;
    roots: string[];
    metadata: { railgate: { sequence: number } };
  };
  t.regex(manifest.revision, /^\d+\.\d+\.\d+-[0-9a-f]{12}$/);
  t.deepEqual(manifest.roots, ["railgate"]);
  t.true(Number.isSafeInteger(manifest.metadata.railgate.sequence));
});

test("its key is named by its thumbprint and has no private half", async (t) => {
  const [key] = jwks.keys;
  t.is(key.kid, await calculateJwkThumbprint(key));
  t.is(key.d, undefined);
});

test("our own loader accepts it and decides with it", async (t) => {
  const policy = await loadBundle(committed, { keys: jwks });
  t.like(policy.evaluate(ADMISSION, bases.container), { outcome: "accepted" });
  t.true("runtime_not_hardened" in policy.catalogue);
  t.deepEqual(policy.companions, new Set(["ncp", "regulated-ml"]));
});

for (const command of ["build", "run"] as const) {
  test(`opa ${command} accepts the signature and refuses a changed bundle`, async (t) => {
    const [key] = jwks.keys;
    const spki = createPublicKey({ key, format: "jwk" }).export({ type: "spki", format: "pem" }).toString();
    const good = await verifiedByOpa(committed, spki, key.kid, command);
    t.true(good.ok, good.output);
    const changes: [string, (files: Map<string, Uint8Array>) => void][] = [
      [
        "a rule changed",
        (files) =>
          files.set("railgate/lib/lib.rego", Buffer.concat([files.get("railgate/lib/lib.rego")!, Buffer.from("\n")])),
      ],
      [
        "a setting changed",
        (files) =>
          files.set(
            "data.json",
            Buffer.from(new TextDecoder().decode(files.get("data.json")).replace('"kvm":true', '"kvm":false')),
          ),
      ],
      [
        "the manifest changed",
        (files) =>
          files.set(
            ".manifest",
            Buffer.from(new TextDecoder().decode(files.get(".manifest")).replace(/"sequence":\d+/, '"sequence":99')),
          ),
      ],
      [
        "the WASM changed",
        (files) => files.set("policy.wasm", Buffer.concat([files.get("policy.wasm")!, Buffer.from([0])])),
      ],
      ["a file added", (files) => files.set("railgate/extra.rego", Buffer.from("package railgate.extra\n"))],
      ["a file taken away", (files) => files.delete("railgate/lib/lib.rego")],
    ];
    for (const [name, change] of changes) {
      const files = new Map(await readBundleFiles(committed));
      change(files);
      const tampered = writeBundleFiles(files);
      const { ok, output } = await verifiedByOpa(tampered, spki, key.kid, command);
      t.false(ok, `${name}: ${output}`);
      await t.throwsAsync(loadBundle(tampered, { keys: jwks }), { code: "policy_invalid" }, name);
    }
  });
}

test("a signature for a scope holds for that scope only, in OPA too", async (t) => {
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const jwk = { ...(await exportJWK(publicKey)), kid: "release", alg: "ES256" };
  const bundle = writeBundleFiles(
    await signBundleFiles(await readBundleFiles(committed), {
      privateKey,
      algorithm: "ES256",
      keyId: "release",
      scope: "write",
    }),
  );
  const spki = await exportSPKI(publicKey);
  t.true((await verifiedByOpa(bundle, spki, "release", "build", ["--scope", "write"])).ok);
  t.false((await verifiedByOpa(bundle, spki, "release", "build", ["--scope", "read"])).ok);
  await t.notThrowsAsync(loadBundle(bundle, { keys: { keys: [jwk] }, scope: "write" }));
  await t.throwsAsync(loadBundle(bundle, { keys: { keys: [jwk] }, scope: "read" }), { code: "policy_invalid" });
});

test("names longer than ustar holds are refused, and those it can split are kept", async (t) => {
  const long = `${"d".repeat(90)}/${"f".repeat(60)}`;
  const files = new Map([[long, Buffer.from("x")]]);
  t.deepEqual([...(await readBundleFiles(writeBundleFiles(files))).keys()], [long]);
  t.throws(() => writeBundleFiles(new Map([["f".repeat(101), Buffer.from("x")]])), { code: "policy_invalid" });
});

test("settings that the host itself reads are of their shape, or the bundle is none", (t) => {
  t.is(hostSettingsFault(undefined), undefined);
  t.is(hostSettingsFault({ triggers: {}, evidence: { companions: { ncp: false } } }), undefined);
  t.regex(hostSettingsFault({ evidence: { companions: { ncp: "yes" } } })!, /^settings\/evidence\/companions\/ncp /);
  t.deepEqual(companionsOf({ evidence: { companions: { ncp: true, admissible: false } } }), new Set(["ncp"]));
  t.deepEqual(companionsOf({}), new Set());
});
