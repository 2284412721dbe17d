// Commands of a node as tests give them: by the host, one line each, with what came of them beside their proof.
import { hostCaller, type Caller } from "../../src/core/caller.ts";
import type { MeshCommand } from "../../src/core/mesh.ts";
import type { AdmissionRequest } from "../../src/core/schema/request.ts";
import type { LifecycleCommand } from "../../src/core/workload.ts";
import { admission } from "../../src/gate/commands/admission.ts";
import { lifecycleCommand } from "../../src/gate/commands/lifecycle.ts";
import { meshCommand } from "../../src/gate/commands/mesh.ts";
import type { Evidenced, Gate } from "../../src/gate/gate.ts";

const HOST = hostCaller("test");
type Gated = { readonly gate: Gate };

const beside = <O extends object>(done: Evidenced<O>) => ({
  ...done.outcome,
  event: done.event,
  eventId: done.eventId,
  eventText: done.eventText,
  receipt: done.receipt,
});

export async function admitAll({ gate }: Gated, requests: readonly AdmissionRequest[], caller: Caller = HOST) {
  const decided = await gate.run(
    requests.map((request) => admission(request, caller)),
    { caller },
  );
  return decided.map(beside);
}

export async function admit(node: Gated, request: unknown, caller?: Caller) {
  return (await admitAll(node, [request as AdmissionRequest], caller))[0]!;
}

export async function lifecycle({ gate }: Gated, request: LifecycleCommand, tenantId: string) {
  return beside((await gate.run([lifecycleCommand(request, tenantId)], { caller: HOST }))[0]!);
}

export async function mesh({ gate }: Gated, request: MeshCommand, tenantId: string) {
  return beside((await gate.run([meshCommand(request, tenantId)], { caller: HOST }))[0]!);
}
