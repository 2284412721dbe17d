// `railgate attestation inspect`: what a token says, and which step fails.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { loadConfig } from "../../src/node/config/config.ts";
import { inspectAttestation } from "../../src/library/attestation.ts";
import { attesters, bundleOf, CHALLENGE, CHALLENGE_HEX, NOW_MS, SAMPLES, signed } from "../trust/tokens.ts";
import { railgate } from "./railgate.ts";

const dir = mkdtempSync(join(tmpdir(), "railgate-inspect-"));
test.after.always(() => rmSync(dir, { recursive: true, force: true }));
writeFileSync(
  join(dir, "opa.yaml"),
  JSON.stringify({
    railgate: {
      trust: {
        attesters: attesters().map(({ issuer, format, jwks, x5cRoots }, index) => {
          if (x5cRoots !== undefined) writeFileSync(join(dir, `${index}.pem`), x5cRoots);
          return {
            issuer,
            ...(format !== undefined && { format }),
            ...(jwks.length > 0 && { jwks: { keys: jwks } }),
            ...(x5cRoots !== undefined && { x5c_roots: `${index}.pem` }),
          };
        }),
      },
    },
  }),
);
const config = loadConfig({ env: {}, cwd: dir });
const inspect = (text: string, nowMs = NOW_MS) => inspectAttestation(config, text, nowMs);

test("a token of any format is told whole, with the nonce that it bears", async (t) => {
  for (const [name, sample] of Object.entries(SAMPLES)) {
    const report = await inspect(await signed(sample, sample.claims()));
    t.like(report, { ok: true, step: null, message: "it holds" }, name);
    t.like(report.fact, { status: "verified", format: sample.format, ...sample.says } as never, name);
    t.true(report.nonces.length > 0, name);
  }
});

test("what fails is named, with a cure; and what is no pass is said to be none", async (t) => {
  const maa = SAMPLES["maa, SEV-SNP"]!;
  const late = await inspect(await signed(maa, maa.claims()), NOW_MS + 10 * 3_600_000);
  t.like(late, { ok: false, step: "window", fact: { status: "rejected", report_ref: null } });
  t.regex(late.message, /attest again/);
  t.like(late.claims, { nonce: CHALLENGE });
  const failing = await inspect(await signed(maa, { ...maa.claims(), "x-ms-compliance-status": "none" }));
  t.like(failing, { ok: false, step: null, message: "it holds, and what it says is no pass" });
  t.like(await inspect("no token"), { ok: false, step: "malformed", header: null, claims: null });
});

test("a bundle about devices is told device by device", async (t) => {
  const report = await inspect(JSON.stringify(await bundleOf()));
  t.like(report, { ok: true, step: null, fact: null, nonces: [[CHALLENGE_HEX]] });
  t.deepEqual(report.devices, [{ kind: "gpu", model: "GH100 A01 GSP BROM", result: "pass", error: null }]);
  t.like(await inspect("[]"), { ok: false, step: "malformed" });
});

test("the command says it in words or as JSON, and its exit code whether it holds", async (t) => {
  const maa = SAMPLES["maa, SEV-SNP"]!;
  const now = Math.floor(Date.now() / 1000);
  const token = await signed(maa, { ...maa.claims(), iat: now, nbf: now, exp: now + 600 });
  const told = await railgate(["attestation", "inspect", token], { cwd: dir });
  t.is(told.code, 0, told.stderr);
  t.regex(told.stdout, /^holds {2}it holds[^]*platform_type +amd-sev-snp/);
  const forged = await railgate(["attestation", "inspect", `${token.slice(0, -8)}AAAAAAAA`, "--json"], { cwd: dir });
  t.is(forged.code, 1);
  t.like(JSON.parse(forged.stdout), { ok: false, step: "signature" });
  t.is((await railgate(["attestation", "inspect", ""], { cwd: dir })).code, 2);
});
