// A node that is killed while a policy is activated decides afterwards by the old one or the new one, and by the new one where that was answered.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import test from "ava";
import { emptyDir, send, verifiedEvents } from "../http/support.ts";
import { lawBundle, makeSigner } from "../policies/bundles.ts";
import { spawnServer } from "./process.ts";

test("kill -9 around activations: what was answered holds, and evidence says which policy decides", async (t) => {
  const rounds = Number(process.env["KILLS"] ?? 3);
  const signer = await makeSigner();
  const dir = emptyDir();
  writeFileSync(join(dir, "opa.yaml"), JSON.stringify({ keys: { k: { algorithm: "ES256", key: signer.pem } } }));
  const sign = { ...signer, keyId: "k" };
  let server = await spawnServer(dir);
  const digests: string[] = [];
  for (const revision of ["a", "b"]) {
    const body = await lawBundle(sign, { revision });
    const { json } = await send(server.url, "POST", "/v1/policies", {
      headers: { "content-type": "application/gzip" },
      body,
    });
    digests.push(json.digest);
  }
  const activate = (digest: string) => send(server.url, "POST", `/v1/policies/${digest}/activate`, { body: {} });
  t.is((await activate(digests[0]!)).status, 200);
  let active = digests[0]!;
  for (let round = 0; round < rounds; round++) {
    const next = digests.find((digest) => digest !== active)!;
    const answered = activate(next).then(
      ({ status }) => status === 200,
      () => false,
    );
    await after(Math.random() * 60);
    await server.kill();
    const certain = await answered;
    server = await spawnServer(dir);
    const { json } = await send(server.url, "GET", "/v1/policies");
    const found = json.items.filter(({ state }: { state: string }) => state === "active");
    t.is(found.length, 1, `round ${round}`);
    t.true(certain ? found[0].digest === next : digests.includes(found[0].digest), `round ${round}`);
    active = found[0].digest;
  }
  await server.stop();
  const events = await verifiedEvents(dir);
  const last = events.findLast(
    ({ event_type, details }) => event_type === "policy.activate" && details?.["act"] === "activate",
  );
  t.is(last?.details?.["digest"], active);
});
