// One event with all that is known of it, for a person: what was asked and decided, in words, and what of its proofs holds.
import { counted } from "../core/counted.ts";
import { createPublicKey, verify } from "node:crypto";
import { fromBase64 } from "../core/bytes.ts";
import { NotFoundError } from "../core/errors.ts";
import { digestOf, eventTextOf } from "../core/event.ts";
import { digestOfPointer } from "../core/digest.ts";
import { parseExact } from "../core/json-exact.ts";
import { verifyInclusion } from "../core/merkle-verify.ts";
import { parseCheckpoint, parseNote } from "../core/note.ts";
import { explain, explainRefusal, type Catalogue, type Explanation } from "../core/outcome.ts";
import type { Decision, PolicyDecision } from "../core/schema/decision.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import { recordLeaf, TREE_HASHER } from "../core/sha256.ts";
import type { PublicKeys } from "../evidence/keys/jwks.ts";
import { DEFAULT_BUNDLE } from "../node/open.ts";
import { readBundleData, readBundleFiles } from "../policy/bundle-files.ts";
import type { InclusionProof, RailgateReader } from "./railgate.ts";

export interface Shown {
  readonly event: EvidenceEvent;
  readonly record: string | undefined;
  /** undefined where it was erased, or is not here. */
  readonly artifact: Uint8Array | undefined;
  /** The bundle that decided; undefined where it is not here. */
  readonly policy: Uint8Array | undefined;
  readonly keys: PublicKeys;
  readonly inclusion: InclusionProof | null;
}

/** Asks a node for one event and all that belongs to it. @throws NotFoundError `event_unknown` */
export async function lookUp(reader: RailgateReader, eventId: string, tenantId?: string): Promise<Shown> {
  const scope = { tenant_id: tenantId };
  const { event, record, inclusion } = await reader.event(eventId, scope);
  const [artifact, policy, keys] = await Promise.all([
    unlessGone(reader.artifact(eventId, scope)),
    policyOf(reader, event),
    reader.jwks(),
  ]);
  return { event, record, artifact, policy, keys, inclusion };
}

/** The bundle lies with the event of its activation; a caller that may not see that does without. */
async function policyOf(reader: RailgateReader, event: EvidenceEvent): Promise<Uint8Array | undefined> {
  const { items } = await reader.events({ event_type: "policy.activate", limit: 100 });
  const activated = items.find(({ details }) => details?.["digest"] === event.policy_snapshot_id);
  return activated && unlessGone(reader.artifact(activated.id));
}

async function unlessGone(artifact: Promise<{ readonly bytes: Uint8Array }>): Promise<Uint8Array | undefined> {
  try {
    return (await artifact).bytes;
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}

/** What an artifact of a decision says; undefined for one of something else. */
export interface ArtifactView {
  readonly request: unknown;
  /** Of an admission. */
  readonly decision: Decision | undefined;
  /** Of any other command that was refused. */
  readonly refusal: (Explanation & { readonly code: string; readonly pointer: string }) | undefined;
  /** Of an evaluation, where its result is defined. */
  readonly result?: unknown;
}

type Single = {
  readonly error_code: string | null;
  readonly pointer: string | null;
  readonly params: Record<string, unknown>;
};

/** @throws SyntaxError the artifact is no JSON. */
export async function told({ event, artifact, policy }: Shown): Promise<ArtifactView | undefined> {
  // A bundle is an artifact too.
  if (artifact === undefined || artifact[0] !== "{".charCodeAt(0)) return undefined;
  if (event.event_type === "policy.evaluate") return evaluationIn(artifact);
  const { input, decision } = JSON.parse(Buffer.from(artifact).toString("utf8")) as {
    input?: { request?: unknown };
    decision?: PolicyDecision | Single;
  };
  if (input === undefined || decision === undefined) return undefined;
  const catalogue = await catalogueOf(policy);
  if ("refusals" in decision)
    return { request: input.request, decision: explain(decision, catalogue), refusal: undefined };
  const { error_code: code, pointer, params } = decision;
  const refusal =
    code === null ? undefined : { code, pointer: pointer ?? "", ...explainRefusal(code, params, catalogue) };
  return { request: input.request, decision: undefined, refusal };
}

/** Its input is all that was asked, and its result may be anything. */
function evaluationIn(artifact: Uint8Array): ArtifactView {
  const { input, ...rest } = parseExact(Buffer.from(artifact).toString("utf8")) as {
    input?: unknown;
    decision?: unknown;
  };
  const told = { request: input, decision: undefined, refusal: undefined };
  return "decision" in rest ? { ...told, result: rest.decision } : told;
}

/** The words of the policy that decided, else of the one that comes with Railgate. */
async function catalogueOf(policy: Uint8Array | undefined): Promise<Catalogue> {
  const data = (await readBundleData(await readBundleFiles(policy ?? DEFAULT_BUNDLE.bytes()))) as {
    railgate?: { catalogue?: Catalogue };
  };
  return data.railgate?.catalogue ?? {};
}

/** One proof: whether it holds; null where it cannot be told. */
export interface ProofCheck {
  readonly what: string;
  readonly holds: boolean | null;
  readonly detail: string;
}

/** What can be checked of one event by itself. An export as a whole is for `verify`. */
export function proofsOf({ event, record, artifact, keys, inclusion }: Shown): ProofCheck[] {
  const digest = digestOfPointer(event.evidence_pointer);
  const proofs: ProofCheck[] = [
    record === undefined
      ? { what: "signature", holds: null, detail: "its record is not here" }
      : signature(event, record, keys),
    artifact === undefined
      ? { what: "artifact", holds: null, detail: `${digest} was erased, or is not here` }
      : {
          what: "artifact",
          holds: digestOf(artifact) === digest,
          detail: `${digest}, ${counted(artifact.length, "byte")}`,
        },
  ];
  if (inclusion !== null && record !== undefined) proofs.push(included(record, inclusion));
  return proofs;
}

function signature(event: EvidenceEvent, record: string, { keys }: PublicKeys): ProofCheck {
  const [head = "", payload = "", signed = ""] = record.split(".");
  const { kid } = JSON.parse(Buffer.from(head, "base64url").toString("utf8")) as { kid?: string };
  const jwk = keys.find((key) => key["kid"] === kid);
  if (!jwk) return { what: "signature", holds: null, detail: `by the key ${kid}, which is not here` };
  const key = createPublicKey({ key: jwk as never, format: "jwk" });
  const holds =
    verify(null, Buffer.from(`${head}.${payload}`), key, Buffer.from(signed, "base64url")) &&
    (JSON.parse(eventTextOf(record)) as EvidenceEvent).event_hash === event.event_hash;
  return { what: "signature", holds, detail: `by the key ${kid}` };
}

function included(record: string, { index, size, hashes, checkpoint }: InclusionProof): ProofCheck {
  const head = parseCheckpoint(parseNote(checkpoint)?.text ?? "");
  const proof = hashes.map((hash) => fromBase64(hash) ?? new Uint8Array());
  const holds =
    head?.size === size &&
    verifyInclusion(TREE_HASHER, { leafHash: recordLeaf(record), index, size, root: head.root }, proof);
  return {
    what: "inclusion",
    holds,
    detail: `number ${index} of the ${size} that the log ${head?.origin} has signed for`,
  };
}
