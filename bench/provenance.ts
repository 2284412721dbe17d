// What a Sigstore bundle costs: the first time, by what it is made of, and when its verdict is known; and what that means for an admission. `npm run bench:provenance`
import { tmpdir } from "node:os";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openRailgate } from "../src/library/index.ts";
import { makeVerifier } from "../src/trust/provenance/verify.ts";
import { containerRequest } from "../test/core/requests.ts";
import { ISSUER, makeSigstore, WORKFLOW, type Making } from "../test/trust/sigstore.ts";

const BUNDLES = 40;
const ADMISSIONS = 300;
const KINDS: [name: string, making: Making][] = [
  ["Rekor v1, by certificate", {}],
  ["Rekor v2 with a timestamp, by certificate", { rekor: 2 }],
  ["Rekor v1, by key", { by: "key" }],
];

const sigstore = await makeSigstore();
const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const provenance = {
  trustedRoot: encode(sigstore.trustedRoot),
  keys: [{ id: "release", pem: sigstore.key.pem }],
  identities: [{ issuer: ISSUER, subject: WORKFLOW, level: 3 }],
  store: true,
};
const { verify } = makeVerifier(provenance);
const median = (times: number[]): number => times.sort((a, b) => a - b)[times.length >> 1]!;
const ms = (value: number): string => `${value.toFixed(2)} ms`;

for (const [name, making] of KINDS) {
  const times: number[] = [];
  for (let i = 0; i < BUNDLES; i++) {
    const bytes = encode(await sigstore.bundle(making));
    const before = process.threadCpuUsage();
    verify(bytes);
    const { user, system } = process.threadCpuUsage(before);
    times.push((user + system) / 1000);
  }
  console.log(`${name}: ${ms(median(times))}, ${ms(Math.max(...times))} at most, of the processor, of ${BUNDLES}`);
}

const bundle = await sigstore.bundle({ rekor: 2 });
for (const [name, pinned, given] of [
  ["an admission by the caller's word, nothing pinned", undefined, undefined],
  ["the same, where a trusted root is pinned", provenance, undefined],
  ["an admission with a bundle whose verdict is known", provenance, { bundles: [bundle] }],
] as const) {
  const dataDir = mkdtempSync(join(tmpdir(), "railgate-bench-"));
  const trust = { authorities: [], attesters: [], provenance: pinned };
  await using gate = await openRailgate({ dataDir, ...(pinned && { trust }) });
  const times: number[] = [];
  for (let i = 0; i < ADMISSIONS; i++) {
    const request = containerRequest();
    const { envelope } = request.workload as { envelope: { container: { images: { provenance?: object }[] } } };
    if (given) envelope.container.images[0]!.provenance = given;
    const started = performance.now();
    await gate.admit(request);
    times.push(performance.now() - started);
  }
  console.log(`${name}: ${ms(median(times))}, one after the other, each durable`);
  rmSync(dataDir, { recursive: true });
}
