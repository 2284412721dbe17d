// Under the profiles ncp and regulated-ml an admission is accompanied by what an auditor asks for next, in one commit (spec evidence §8).
import { join } from "node:path";
import test from "ava";
import { eventTextOf } from "../../src/core/event.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { writeTarGz } from "../../src/evidence/export/files.ts";
import { prepareExport } from "../../src/evidence/export/export.ts";
import { replay } from "../../src/evidence/replay/replay.ts";
import { verifyExport } from "../../src/evidence/verify/node.ts";
import { RailgateNode } from "../../src/node/open.ts";
import { differingStates } from "./history.ts";
import { admit, admitAll } from "../gate/commands.ts";
import { admissible, emptyDir, insufficient, verifiedEvents } from "../http/support.ts";

const COMPANIONS = ["authority.check", "runtime.dependency.declare", "tenant.isolation.verify"];

const open = (dir: string, evidenceProfileId: string) =>
  RailgateNode.open({ dataDir: join(dir, "data"), nodeId: "n", evidenceProfileId });

const eventsOf = async (node: RailgateNode): Promise<EvidenceEvent[]> =>
  (await node.store.events({ tenant_id: "acme", order: "asc", limit: 100 })).map(
    ({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent,
  );

for (const profile of ["ecs-evidence-ncp", "ecs-evidence-regulated-ml"]) {
  test(`${profile}: three events beside each admission, under its correlation, with its artifact`, async (t) => {
    const dir = emptyDir();
    await using node = await open(dir, profile);
    const foreign = admissible("foreign");
    const [accepted, refused, elsewhere] = await admitAll(node, [
      admissible("w"),
      insufficient("v"),
      { ...foreign, placement: { ...foreign.placement, jurisdiction: "US" }, authority: "no.such.token" },
    ]);
    t.is(accepted!.decision.outcome, "accepted");
    t.is(elsewhere!.decision.outcome, "refused");
    const events = await eventsOf(node);
    t.is(events.length, 12);
    for (const [i, answer] of [accepted!, refused!, elsewhere!].entries()) {
      const [admission, ...beside] = events.slice(4 * i, 4 * i + 4);
      t.is(admission!.id, answer.eventId);
      t.deepEqual(
        beside.map(({ event_type }) => event_type),
        COMPANIONS,
      );
      for (const event of beside) {
        t.is(event.correlation_id, admission!.correlation_id);
        t.is(event.evidence_pointer, admission!.evidence_pointer);
        t.is(event.subject, admission!.subject);
        t.is(event.details!["admission_event_id"], admission!.id);
        t.deepEqual(
          (await node.store.artifactOf(event.id))?.bytes,
          (await node.store.artifactOf(admission!.id))!.bytes,
        );
      }
    }
    t.deepEqual(
      events.slice(1, 4).map(({ outcome }) => outcome),
      ["accepted", "accepted", "accepted"],
    );
    t.deepEqual(
      (events[2]!.details!["dependencies"] as { kind: string; critical: boolean }[]).map(({ kind, critical }) => [
        kind,
        critical,
      ]),
      [
        ["runtime", true],
        ["image_registry", true],
      ],
    );
    const [authority, , isolation] = events.slice(9);
    t.like(isolation, {
      outcome: "refused",
      refusal_reason_code: "jurisdiction_denied",
      details: { jurisdiction: "US" },
    });
    t.is((authority!.details!["binding"] as { status: string }).status, "rejected");
    t.deepEqual(await differingStates(dir), []);
  });
}

test("they are no decisions to be replayed, go with an erasure, and an export of part of them verifies", async (t) => {
  const dir = emptyDir();
  {
    await using node = await open(dir, "ecs-evidence-ncp");
    await admit(node, admissible("a"));
    await admit(node, admissible("b"));
    const events = await eventsOf(node);
    const asked = {
      tenantId: "acme",
      actor: "test",
      evidenceProfileId: "ecs-evidence-baseline",
      fromSequence: 2,
      toSequence: 5,
    };
    const failed = async () => {
      const path = join(emptyDir(), "export.tar.gz");
      using prepared = await prepareExport(node, asked);
      await writeTarGz(() => prepared.files(), path);
      const report = await verifyExport(path, { trustEmbeddedKeys: true });
      return report.checks.filter(({ status }) => status === "failed");
    };
    t.deepEqual(await failed(), []);
    await node.eraseArtifact(events[6]!.id, "acme", "asked for", "test");
    for (const event of events.slice(4)) t.is(await node.store.artifactOf(event.id), undefined, event.event_type);
    for (const event of events.slice(0, 4)) t.truthy(await node.store.artifactOf(event.id), event.event_type);
    const anchor = (await eventsOf(node)).find(({ event_type }) => event_type === "chain.anchor")!;
    t.is(anchor.details!["event_id"], events[4]!.id);
    t.deepEqual(await failed(), []);
  }
  const report = await replay(join(dir, "data"));
  t.is(report.mismatches.length, 0);
  t.is(report.erased, 1);
  await verifiedEvents(dir);
});

test("other profiles have none of them", async (t) => {
  const dir = emptyDir();
  await using node = await open(dir, "ecs-evidence-admissible");
  await admit(node, admissible("w"));
  t.deepEqual(
    (await eventsOf(node)).map(({ event_type }) => event_type),
    ["workload.admit"],
  );
});
