// What was found of the objects in a file of manifests: each judged by the law, each finding with the line that it stands on.
import { RequestError } from "../../core/errors.ts";
import type { ExplainedRefusal } from "../../core/schema/decision.ts";
import type { ManifestJudge } from "../../library/manifests.ts";
import { manifestsIn, type ManifestDocument, type ManifestFile } from "./manifests.ts";

/** What was found of one object. */
export interface Audited {
  readonly file: string;
  readonly line: number;
  readonly object: string;
  readonly allowed: boolean;
  readonly findings: readonly Finding[];
}

interface Finding {
  readonly rule: string;
  readonly code: string;
  readonly modes: readonly string[];
  readonly field: string;
  readonly line: number;
  readonly title: string;
  readonly message: string;
  readonly solution: string;
}

/** The workloads of a file, in order. */
export async function auditFile(judge: ManifestJudge, file: ManifestFile): Promise<Audited[]> {
  const audited: Audited[] = [];
  for (const manifest of manifestsIn(file)) {
    const found = await auditOne(judge, manifest);
    if (found !== undefined) audited.push(found);
  }
  return audited;
}

/** undefined where it is no workload. */
async function auditOne(judge: ManifestJudge, manifest: ManifestDocument): Promise<Audited | undefined> {
  const { file, line, object, problem } = manifest;
  if (problem !== undefined) return unreadable(manifest, "", problem, file);
  const { kind, metadata } = object as { kind?: unknown; metadata?: { name?: unknown } };
  try {
    const judged = await judge.judge(object);
    if (judged === undefined) return undefined;
    const { namespace, name, decision } = judged;
    const findings = decision.refusals.map((refusal) => findingOf(refusal, manifest));
    const allowed = decision.kubernetes?.allowed === true;
    return { file, line, object: `${judged.kind} ${namespace}/${name}`, allowed, findings };
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    const [{ pointer, message }] = error.errors as [{ pointer: string; message: string }];
    return unreadable(manifest, pointer, `${pointer} ${message}`, `${String(kind)} ${String(metadata?.name)}`);
  }
}

/** What nobody can read nobody can let pass. */
function unreadable({ file, line, lineOf }: ManifestDocument, field: string, message: string, object: string): Audited {
  const finding: Finding = {
    rule: "MANIFEST",
    code: "request_invalid",
    modes: ["deny"],
    field,
    line: lineOf(field),
    title: "The manifest can't be read",
    message,
    solution: "Write it as the API server would take it; render templates first.",
  };
  return { file, line, object, allowed: false, findings: [finding] };
}

function findingOf(
  { rule, code, modes = ["deny"], pointer, title, message, solution }: ExplainedRefusal,
  { lineOf }: ManifestDocument,
): Finding {
  return { rule, code, modes, field: pointer, line: lineOf(pointer), title, message, solution };
}
