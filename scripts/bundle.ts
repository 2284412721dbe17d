// Builds the default bundle: policies to WASM, signed with a key whose private half is then forgotten. `--check` says whether it is current.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";
import { readBundleFiles } from "../src/policy/bundle-files.ts";
import { signBundleFiles, writeBundleFiles } from "../src/policy/sign.ts";
import { PolicyError, readAnnotations } from "../src/workshop/annotations.ts";
import { buildBundleFiles, differing } from "../src/workshop/build.ts";
import { catalogueOf } from "../src/workshop/catalogue.ts";
import { checkExtensions } from "../src/workshop/extensions.ts";
import { reportingFaults } from "./opa.ts";

const POLICY = "policy";
const BUNDLE = "bundles/railgate.tar.gz";
const KEYS = "bundles/railgate.jwks.json";
const ALGORITHM = "ES256";

/** Signs with a key made for this one bundle. Only its public half leaves this function. */
async function signOnce(files: Map<string, Uint8Array>): Promise<{ bundle: Uint8Array; jwks: object }> {
  const { privateKey, publicKey } = await generateKeyPair(ALGORITHM);
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  const signed = await signBundleFiles(files, { privateKey, algorithm: ALGORITHM, keyId: kid });
  return { bundle: writeBundleFiles(signed), jwks: { keys: [{ ...jwk, kid, alg: ALGORITHM, use: "sig" }] } };
}

/** @throws PolicyError an extension that the host would not recognise, or a catalogue that does not explain its codes. */
async function checkPolicies(directory: string): Promise<void> {
  const annotations = await readAnnotations(directory);
  const uses = await checkExtensions(annotations);
  for (const { file, line, message } of uses) console.error(`${file}:${line}: ${message}`);
  const written = JSON.parse(readFileSync(`${directory}/railgate/catalogue/data.json`, "utf8")) as object;
  const missing = Object.keys(catalogueOf(annotations.rules)).find((code) => !Object.hasOwn(written, code));
  const rule = annotations.rules.find(({ code }) => code === missing);
  if (rule)
    throw new PolicyError([
      { file: rule.file, line: rule.row, message: `the catalogue has no code ${missing}; run \`npm run generate\`` },
    ]);
}

async function main(): Promise<void> {
  await checkPolicies(POLICY);
  const files = await buildBundleFiles(POLICY);
  const committed =
    existsSync(BUNDLE) && existsSync(KEYS)
      ? await readBundleFiles(readFileSync(BUNDLE))
      : new Map<string, Uint8Array>();
  const changed = differing(files, committed);
  if (changed.length === 0) {
    console.log(`${BUNDLE} is current`);
  } else if (process.argv.includes("--check")) {
    console.error(`${BUNDLE} is not what the policies build; run \`npm run bundle\`. Different: ${changed.join(", ")}`);
    process.exitCode = 1;
  } else {
    const { bundle, jwks } = await signOnce(files);
    writeFileSync(BUNDLE, bundle);
    writeFileSync(KEYS, `${JSON.stringify(jwks, null, 2)}\n`);
    console.log(`wrote ${BUNDLE} and ${KEYS}`);
  }
}

if (import.meta.main) await reportingFaults(main);
