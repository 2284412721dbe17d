// A thread that decides again what it is sent.
import { parentPort } from "node:worker_threads";
import type { Evaluator } from "../../policy/evaluator.ts";
import { checkDecision, compareDecision, loadForReplay } from "./check.ts";
import { CANDIDATE, type ReplayReply, type ReplayRequest } from "./pool.ts";

const policies = new Map<string, Evaluator>();

parentPort!.on("message", async (request: ReplayRequest) => {
  let reply: ReplayReply;
  try {
    reply = { job: request.job, findings: await answer(request) };
  } catch (error) {
    reply = { job: request.job, error: (error as Error).message };
  }
  parentPort!.postMessage(reply);
});

async function answer(request: ReplayRequest) {
  if (request.kind === "policy") {
    policies.set(request.name, await loadForReplay(request.bundle));
    return [];
  }
  const candidate = policies.get(CANDIDATE);
  return request.items.map((item) =>
    candidate ? compareDecision(item, candidate) : checkDecision(item, policies.get(item.policy)),
  );
}
