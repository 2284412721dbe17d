// Settings of an operator's own: what they may say, how they are laid over the policy's, and that decisions follow.
import { readFileSync, writeFileSync } from "node:fs";
import test from "ava";
import { exportJWK, generateKeyPair } from "jose";
import { digestOf } from "../../src/core/event.ts";
import { SettingsSchema } from "../../src/core/schema/settings.ts";
import { checkSettings } from "../../src/core/settings.ts";
import { loadBundle } from "../../src/policy/policy.ts";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import { signBundleFiles, writeBundleFiles } from "../../src/policy/sign.ts";
import { bases, changed } from "./corpus.ts";
import { ADMISSION, type Decision, inDirectory, opa } from "./law.ts";

const bundle = readFileSync("bundles/railgate.tar.gz");
const keys = JSON.parse(readFileSync("bundles/railgate.jwks.json", "utf8"));
const shipped = JSON.parse(readFileSync("policy/railgate/settings/data.json", "utf8"));

const text = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const load = (settings: unknown) => loadBundle(bundle, { keys, settings: text(settings) });

test("the schema knows every setting that comes with Railgate", (t) => {
  t.deepEqual(checkSettings(SettingsSchema, shipped).faults, []);
});

test("objects are merged, lists and values take the place of what was there, null takes an entry out", async (t) => {
  const of = async (settings: unknown, changes: Parameters<typeof changed>[1]) => {
    const { outcome, refusals } = (await load(settings)).evaluate(
      ADMISSION,
      changed(bases.container, changes, []),
    ) as Decision;
    return [outcome, ...refusals.map(({ rule }) => rule)];
  };
  const runtime = (name: string) => ({ "/request/workload/envelope/container/runtime": name });
  t.deepEqual(await of("container: {runtimes: {runc: true}}", runtime("runc")), ["accepted"]);
  t.deepEqual(await of("container: {runtimes: {runc: true}}", runtime("gvisor")), ["accepted"]);
  t.deepEqual(await of({ container: { runtimes: { gvisor: null } } }, runtime("gvisor")), ["refused", "CTR-01"]);
  t.deepEqual(await of({ triggers: { risk: { low: "vm" } } }, {}), ["refused", "ENV-03"]);
  const { critical } = await load({ dependencies: { critical: { container: ["runtime"] } } });
  t.deepEqual(critical["container"], ["runtime"]);
  t.deepEqual(critical["vm"], shipped.dependencies.critical.vm);
});

test("what cannot be a setting is refused, with its pointer and what it must be", async (t) => {
  const cases: [settings: unknown, message: RegExp][] = [
    [{ container: { runtimes: { runc: "yes" } } }, /^\/container\/runtimes\/runc must be true or false$/],
    [{ contaner: {} }, /^\/contaner unknown setting, did you mean "container"\?$/],
    [{ triggers: { risk: { low: "enclave" } } }, /^\/triggers\/risk\/low must be one of container, vm, tee$/],
    [
      { freshness: { policy: { ncp: { limit_s: -1 } } } },
      /^\/freshness\/policy\/ncp\/limit_s must be a whole number of seconds, 0 or more$/,
    ],
    [{ supply: { issuers: { "https://a/b~": 1 } } }, /^\/supply\/issuers\/https:~1~1a~1b~0 must be true or false$/],
    [{ container: null }, /^\/container cannot be taken out, only changed; null takes entries out of a table$/],
    [{ attestation: { issuers: { ncp: null } } }, /^\/attestation\/issuers\/ncp cannot be taken out/],
    ["[1]", /^it must be a mapping/],
    ["", /^it must be a mapping/],
    ["a: [", /^it is neither JSON nor YAML$/],
    [
      '{"authority": {"delegation_max": 9007199254740993}}',
      /9007199254740993 at \/authority\/delegation_max, beyond 2\^53−1$/,
    ],
  ];
  for (const [settings, message] of cases)
    await t.throwsAsync(load(settings), { code: "policy_invalid", message }, JSON.stringify(settings));
});

test("the digest is of the bytes as received, and with none there is none", async (t) => {
  const settings = text("# mine\nextensions: {quota: {with_quota: [globex]}}\n");
  const policy = await loadBundle(bundle, { keys, settings });
  t.is(policy.settings?.digest, digestOf(settings));
  t.deepEqual(policy.settings?.bytes, settings);
  t.is((await loadBundle(bundle, { keys })).settings, null);
  t.is(policy.digest, digestOf(bundle));
});

test("a bundle of data alone must be signed, and hold settings alone", async (t) => {
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const both = { keys: [...keys.keys, { ...(await exportJWK(publicKey)), kid: "mine", alg: "ES256" }] };
  const settings = { container: { runtimes: { runc: true } } };
  const files = (more: [string, string][] = []): Map<string, Uint8Array> =>
    new Map([
      [".manifest", text({ revision: "1", roots: ["railgate/settings"] })],
      ["railgate/settings/data.json", text(settings)],
      ...more.map(([name, content]): [string, Uint8Array] => [name, text(content)]),
    ]);
  const signed = async (given: Map<string, Uint8Array>) =>
    writeBundleFiles(await signBundleFiles(given, { privateKey, algorithm: "ES256", keyId: "mine" }));
  const policy = await loadBundle(bundle, { keys: both, settings: await signed(files()) });
  t.deepEqual(policy.settings?.patch, settings);
  const refused = async (given: Uint8Array, message: RegExp) =>
    t.throwsAsync(loadBundle(bundle, { keys: both, settings: given }), { code: "policy_invalid", message });
  await refused(writeBundleFiles(files()), /no \.signatures\.json/);
  await refused(
    await signed(files([["policy.wasm", "x"]])),
    /holds policy\.wasm; a bundle of settings holds data alone/,
  );
  await refused(
    await signed(files([["railgate/catalogue/data.json", "{}"]])),
    /under railgate\/settings, and nowhere else/,
  );
  await t.throwsAsync(loadBundle(bundle, { keys, settings: await signed(files()) }), {
    message: /"mine", which is not trusted here/,
  });
});

test("settings must be what the bundle's own schema says, and nothing that it fails with", async (t) => {
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const own = { keys: [{ ...(await exportJWK(publicKey)), kid: "mine", alg: "ES256" }] };
  const loaded = async (files: ReadonlyMap<string, Uint8Array>, settings?: unknown) => {
    const signed = await signBundleFiles(new Map(files), { privateKey, algorithm: "ES256", keyId: "mine" });
    return loadBundle(writeBundleFiles(signed), {
      keys: own,
      ...(settings !== undefined && { settings: text(settings) }),
    });
  };
  const law = new Map(await readBundleFiles(bundle));
  law.delete(".signatures.json");
  const asking = (settings_schema: unknown) => {
    const manifest = JSON.parse(new TextDecoder().decode(law.get(".manifest")));
    return new Map([...law, [".manifest", text({ ...manifest, metadata: { railgate: { settings_schema } } })]]);
  };
  const names = { type: "array", items: { type: "string" } };
  const schema = { properties: { extensions: { properties: { "quota.eu": { properties: { with_quota: names } } } } } };
  const given = (with_quota: unknown) => ({ extensions: { "quota.eu": { with_quota } } });
  await t.notThrowsAsync(loaded(asking(schema)));
  await t.notThrowsAsync(loaded(asking(schema), given(["acme"])));
  await t.throwsAsync(loaded(asking(schema), given("acme")), {
    message:
      /^\/extensions\/quota\.eu\/with_quota Invalid type\. Expected: array, given: string .*; change railgate\.settings$/,
  });
  await t.throwsAsync(loaded(asking(schema), given(["acme", 1])), {
    message: /^\/extensions\/quota\.eu\/with_quota\/1 /,
  });
  await t.throwsAsync(loaded(asking({ required: ["teams"] })), { message: /^teams is required/ });
  await t.throwsAsync(loaded(asking({ type: 7 }), given([])), { message: /settings_schema in the bundle's manifest/ });

  const failing = await inDirectory(async (directory) => {
    const [file, built] = [`${directory}/p.rego`, `${directory}/b.tar.gz`];
    writeFileSync(file, "package p\n\nx := 1\n\nx := 2 if data.railgate.settings.extensions.acme.two\n");
    await opa("build", "-t", "wasm", "-e", "p/x", "-o", built, file);
    const files = await readBundleFiles(readFileSync(built));
    return new Map([...files, ["data.json", text({ railgate: { settings: {} } })]]);
  });
  await t.notThrowsAsync(loaded(failing, { extensions: { acme: { two: false } } }));
  await t.throwsAsync(loaded(failing, { extensions: { acme: { two: true } } }), {
    message: /^with these settings the policy fails, and without it does not: evaluating p\/x failed/,
  });
});
