// A thread that judges files of manifests.
import { manifestJudge, type ManifestJudge } from "../../library/manifests.ts";
import { answerRequests } from "../../threads/threads.ts";
import { auditFile } from "./audited.ts";
import type { AuditBasis, AuditRequest, JudgedFile } from "./auditing.ts";

/** Loading takes a moment, and files may be sent meanwhile. */
let judge: Promise<ManifestJudge>;
/** Whichever answer comes next tells of them. */
const problems: string[] = [];

async function begin({ config, modes, nowMs, namespaces }: AuditBasis): Promise<ManifestJudge> {
  const made = await manifestJudge(config, modes, nowMs, (problem) => problems.push(problem));
  for (const namespace of namespaces) made.learn(namespace);
  return made;
}

answerRequests<AuditRequest, JudgedFile>(async (request) => {
  if (request.kind === "begin") judge = begin(request);
  const made = await judge;
  const audited = request.kind === "file" ? await auditFile(made, request.file) : [];
  return { audited, problems: problems.splice(0) };
});
