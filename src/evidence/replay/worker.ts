// A thread that decides again what it is sent.
import type { Evaluator } from "../../policy/evaluator.ts";
import { answerRequests } from "../../threads/threads.ts";
import { checkDecision, compareDecision, loadForReplay, type ReplayFinding } from "./check.ts";
import { CANDIDATE, nameOf, type ReplayAnswer, type ReplayRequest } from "./pool.ts";

/** Loading takes a moment, and what is to be decided may be sent meanwhile. */
const policies = new Map<string, Promise<Evaluator>>();

answerRequests<ReplayRequest, ReplayAnswer>(
  async (request) => {
    if (request.kind === "policy") {
      const loading = loadForReplay(request.bundle, request.settings);
      policies.set(request.name, loading);
      await loading;
      return { findings: [] };
    }
    const candidate = await policies.get(CANDIDATE);
    const findings: ReplayFinding[] = [];
    for (const [i, said] of request.items.entries()) {
      const item = { ...said, artifact: request.artifacts.subarray(request.ends[i - 1] ?? 0, request.ends[i]) };
      findings.push(
        candidate ? compareDecision(item, candidate) : checkDecision(item, await policies.get(nameOf(item))),
      );
    }
    return { findings, memory: request.artifacts.buffer };
  },
  ({ memory }) => (memory === undefined ? [] : [memory]),
);
