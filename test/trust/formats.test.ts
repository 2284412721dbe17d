// Attestation tokens of every format: what genuine ones are read as, and that they are bound to a challenge, however that is written.
import test from "ava";
import type { Held } from "../../src/core/attestation.ts";
import { heldFact } from "../../src/core/attestation.ts";
import { makeTrust } from "../../src/trust/trust.ts";
import { bundleOf, CHALLENGE, NOW_MS, SAMPLES, attesters, signed } from "./tokens.ts";

const trust = await makeTrust({ authorities: [], attesters: attesters() });
const open: Held = { correlationId: undefined, isOpen: (nonce) => nonce === CHALLENGE, isElsewhere: () => false };
const shown = async (token: string, devices: unknown[] = [], nowMs = NOW_MS) => {
  const { proof } = await trust.verifyAttestation(token, { nowMs, nonce: undefined }, devices);
  return heldFact(proof, open);
};

for (const [name, sample] of Object.entries(SAMPLES))
  test(`${name}: a genuine token says what it says`, async (t) => {
    const fact = await shown(await signed(sample, sample.claims()));
    t.like(fact, {
      form: "token",
      status: "verified",
      error: null,
      format: sample.format,
      result: "pass",
      measured_at_ms: NOW_MS - 60_000,
      nonce: { form: "challenge", ok: true },
      ...sample.says,
    } as never);
  });

test("NRAS: devices count beside a token of the platform, under its nonce", async (t) => {
  const cpu = await signed(SAMPLES["maa, SEV-SNP"]!, SAMPLES["maa, SEV-SNP"]!.claims());
  const fact = await shown(cpu, [
    await bundleOf({
      devices: { "GPU-0": (claims) => claims, "SWITCH-0": (claims) => ({ ...claims, hwmodel: "LS10" }) },
    }),
  ]);
  t.deepEqual(fact.devices, [
    { kind: "gpu", model: "GH100 A01 GSP BROM", result: "pass", error: null },
    { kind: "switch", model: "LS10", result: "pass", error: null },
  ]);
});
