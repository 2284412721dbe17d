// Several bundles beside each other: each answers what its roots cover, and no two about the same are active.
import test from "ava";
import { eventTextOf } from "../../src/core/event.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { RailgateNode } from "../../src/node/open.ts";
import { emptyDir } from "../http/support.ts";
import { elsewhere, lawBundle, makeSigner } from "./bundles.ts";

const signer = await makeSigner();
const { keys } = signer;
const [law, authz] = [await lawBundle(signer, { revision: "law" }), await elsewhere(signer, "authz", "authz")];
const named = (name: string, bytes: Uint8Array) => ({ name, keys, bytes: () => bytes });

test("a path is answered by the bundle whose roots cover it", async (t) => {
  await using node = await RailgateNode.open({
    dataDir: emptyDir(),
    bundles: [named("a", authz), named("b", law)],
  });
  const { policies } = node;
  t.is(node.policy?.revision, "law");
  t.is(node.problem, undefined);
  t.deepEqual(
    ["authz/allow", "authz", "railgate/admission/decision", "authzen", "other"].map(
      (path) => policies.find(path)?.name,
    ),
    ["a", "a", "b", undefined, undefined],
  );
  t.deepEqual(
    policies.bundles().map(({ name, policy }) => [name, policy.revision]),
    [
      ["a", "authz"],
      ["b", "law"],
    ],
  );
  const activated = (await node.store.events({ event_type: "policy.activate", order: "asc", limit: 10 })).map(
    ({ record }) => (JSON.parse(eventTextOf(record)) as EvidenceEvent).details,
  );
  t.deepEqual(
    activated.map((details) => details?.["bundle"]),
    ["a", "b"],
  );
});

test("of two about the same the second is refused, on record, and the node is not ready", async (t) => {
  await using node = await RailgateNode.open({
    dataDir: emptyDir(),
    bundles: [named("a", law), named("b", await elsewhere(signer, "railgate/admission"))],
  });
  t.is(node.policy?.revision, "law");
  t.regex(node.problem!, /roots overlap with those of the bundle a: railgate/);
  const [rejected] = await node.store.events({ event_type: "policy.reject", order: "asc", limit: 10 });
  t.like(JSON.parse(eventTextOf(rejected!.record)), { details: { reason: "roots", bundle: "b" } });
});

test("what no bundle is about is refused (POL-01)", async (t) => {
  await using node = await RailgateNode.open({
    dataDir: emptyDir(),
    bundles: [named("a", authz), named("b", await elsewhere(signer, "other"))],
  });
  t.is(node.policy, null);
  t.is(node.policies.find("railgate/admission/decision"), undefined);
});
