// Exports a range of a stream with all that is needed to verify it offline (spec evidence §6). It is read page by page and never held.
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { EvidenceUnavailableError, ExportIncompleteError, RailgateError } from "../../core/errors.ts";
import { digestOfHex, digestText, HASH_PROFILE, hexOfDigest } from "../../core/digest.ts";
import { digestOf } from "../../core/event.ts";
import { canonicalJson } from "../../core/json.ts";
import type { StoredCheckpoint } from "../../store/store.ts";
import type { ExportFile } from "./files.ts";
import { publicJwk } from "../keys/jwks.ts";
import { handOversFrom } from "../keys/hand-over.ts";
import { keyHistory, type KeyHistory } from "../keys/key-history.ts";
import { DiskPages } from "../verify/disk-pages.ts";
import type { PageStore } from "../verify/pages.ts";
import { inOnePiece, type SignedBytes } from "../verify/primitives.ts";
import { PROFILES } from "../verify/profiles.ts";
import { findErasures } from "./erasures.ts";
import { signedObject } from "./json-text.ts";
import { Listings } from "./listings.ts";
import { proofsFile } from "./proofs-file.ts";
import { RangeReader, SEGMENT_ALGORITHM } from "./range-reader.ts";
import { SharedArtifacts } from "./shared-artifacts.ts";
import type { ExportSource, Range } from "./source.ts";
import { StagedFile } from "./staged-file.ts";
import { type ExportHead, headOf, profileClaim, segmentPointer, verifierInputs } from "./statements.ts";

/** There is no such stream, or it does not reach that far. */
export class ExportRangeError extends RailgateError {
  static override code = "export_range_unknown";
}

export interface ExportRequest {
  readonly tenantId: string;
  readonly evidenceProfileId: string;
  /** Who asks, for the event that records it. */
  readonly actor: string;
  /** Default: the tenant's stream on this node. */
  readonly chainId?: string | undefined;
  /** Default: all of the stream. Both included. */
  readonly fromSequence?: number | undefined;
  readonly toSequence?: number | undefined;
  /** Artifacts that no decision brings: files by kind. */
  readonly artifacts?: { readonly [kind: string]: readonly string[] } | undefined;
}

/** An export that is ready to be written; `dispose` lets go of what it keeps on disk meanwhile. */
export interface PreparedExport extends Disposable {
  readonly exportId: string;
  readonly manifestDigest: string;
  readonly events: number;
  readonly fromSequence: number;
  readonly toSequence: number;
  files(): AsyncGenerator<ExportFile>;
}

/** Artifacts that are read at once. */
const PAGE = 64;

/** Where what is made lies meanwhile. */
interface Scratch {
  readonly staging: string;
  readonly pages: PageStore;
}

/**
 * Reads the range, checks that nothing of what its profile demands is missing, records the export as an event, and only
 * then gives it out.
 * @throws ExportRangeError, ExportIncompleteError
 * @throws EvidenceUnavailableError EVI-01: the export could not be recorded, or no checkpoint could be made.
 */
export async function prepareExport(source: ExportSource, request: ExportRequest): Promise<PreparedExport> {
  const range = await findRange(source, request);
  const checkpoint = await covering(source, range);
  const staging = mkdtempSync(join(tmpdir(), "railgate-export-"));
  const pages = new DiskPages();
  const dispose = (): void => {
    pages[Symbol.dispose]();
    rmSync(staging, { recursive: true, force: true });
  };
  try {
    const made = await new ExportMaker(source, request, range, checkpoint, { staging, pages }).make();
    const { export_id, bundle_hash, manifestDigest } = made;
    await source.record("evidence.export", request.tenantId, request.actor, {
      export_id,
      bundle_hash,
      manifest_digest: manifestDigest,
      chain_id: range.chainId,
      evidence_profile_id: request.evidenceProfileId,
      from_sequence: range.from,
      to_sequence: range.to,
    });
    return {
      exportId: export_id,
      manifestDigest,
      events: range.to - range.from + 1,
      fromSequence: range.from,
      toSequence: range.to,
      files: made.files,
      [Symbol.dispose]: dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** @throws ExportIncompleteError the stream's node is another one, and has not signed a checkpoint over the range. */
async function covering({ log, nodeId }: ExportSource, { chainId, from, to }: Range): Promise<StoredCheckpoint> {
  try {
    return await log.checkpoint(chainId, to + 1);
  } catch (error) {
    if (chainId.endsWith(`/${nodeId}`) || !(error instanceof EvidenceUnavailableError)) throw error;
    const { size } = await log.checkpoint(chainId);
    const cure = from < size ? `; with to_sequence ${size - 1} the export ends before them` : "";
    throw new ExportIncompleteError([
      `a checkpoint over the events ${Math.max(from, size)} to ${to} of ${chainId}, which its node signs when it runs${cure}`,
    ]);
  }
}

async function findRange(
  { log, nodeId }: ExportSource,
  { tenantId, chainId, fromSequence, toSequence }: ExportRequest,
): Promise<Range> {
  const chain = chainId ?? `${tenantId}/${nodeId}`;
  const stream = await log.stream(chain);
  if (!stream || stream.tenant_id !== tenantId)
    throw new ExportRangeError(`the tenant ${tenantId} has no stream ${chain} here`);
  const from = fromSequence ?? 0;
  const to = toSequence ?? stream.size - 1;
  if (from > to || to >= stream.size)
    throw new ExportRangeError(`the stream ${chain} has the events 0 to ${stream.size - 1}, and not ${from} to ${to}`);
  return { chainId: chain, from, to };
}

type Made = { export_id: string; bundle_hash: string; manifestDigest: string; files: () => AsyncGenerator<ExportFile> };

class ExportMaker {
  readonly #source: ExportSource;
  readonly #request: ExportRequest;
  readonly #range: Range;
  readonly #checkpoint: { readonly size: number; readonly note: string };
  readonly #scratch: Scratch;
  readonly #head: ExportHead;
  readonly #shared: SharedArtifacts;
  readonly #reader: RangeReader;
  readonly #listings: Listings;

  constructor(
    source: ExportSource,
    request: ExportRequest,
    range: Range,
    checkpoint: { size: number; note: string },
    scratch: Scratch,
  ) {
    this.#source = source;
    this.#request = request;
    this.#range = range;
    this.#checkpoint = checkpoint;
    this.#scratch = scratch;
    this.#head = headOf(request.evidenceProfileId, source.logOrigin, source.nodeId);
    this.#shared = new SharedArtifacts(source.store);
    this.#reader = new RangeReader(source.store, range, request.evidenceProfileId, this.#shared, scratch);
    this.#listings = new Listings(this.#reader.artifacts, this.#shared);
  }

  async make(): Promise<Made> {
    const { chainId, from, to } = this.#range;
    const [shared, reader] = [this.#shared, this.#reader];
    await reader.read();
    const history = await keyHistory(this.#source.store, chainId, to);
    for (const key of history.missing) shared.lack(key);
    shared.shareFiles(this.#request.artifacts ?? {});
    shared.shareDocuments();
    const erasures = await findErasures(this.#source.store, this.#range, reader.erased);
    for (const [digest, sequence] of erasures.unexplained) shared.lack(`the artifact ${digest} of event ${sequence}`);
    this.#checkProfile();
    if (shared.missing.length > 0) throw new ExportIncompleteError(shared.missing);
    const bundle_hash = digestText(reader.root);
    const segment = await this.#endSegment(bundle_hash);
    const proofs = await proofsFile(this.#source.log, this.#range, this.#checkpoint, reader.leaves, this.#scratch);
    const segmentRef = segmentPointer(segment.digest);
    const small = await this.#smallFiles(history, segmentRef, segment.kid);
    const named = new Map(
      [reader.events.end(), reader.records.end(), segment, proofs, ...small].map((each) => [each.file.name, each]),
    );
    const export_id = `export-${hexOfDigest(digestOf(canonicalJson([chainId, from, to, bundle_hash, this.#request.evidenceProfileId, this.#checkpoint.note]))).slice(0, 32)}`;
    const manifest = await this.#manifest(
      { export_id, bundle_hash, chain_segment_ref: segmentRef },
      named,
      erasures.later,
      history,
    );
    return {
      export_id,
      bundle_hash,
      manifestDigest: await digestOfFile(manifest),
      files: () => this.#files(named, manifest),
    };
  }

  #checkProfile(): void {
    const profile = PROFILES[this.#request.evidenceProfileId];
    if (!profile) throw new ExportIncompleteError([`there is no profile ${this.#request.evidenceProfileId}`]);
    for (const kind of profile.artifacts) {
      if (!this.#shared.kinds.has(kind))
        this.#shared.lack(
          `${this.#request.evidenceProfileId} demands artifacts of the kind ${kind} (railgate.evidence.artifacts.${kind})`,
        );
    }
  }

  async #endSegment(segment_hash: string) {
    const { from, to, chainId } = this.#range;
    const rest = {
      evidence_profile_id: this.#head.evidence_profile_id,
      from_sequence: from,
      segment_hash,
      segment_id: `${chainId}:${from}-${to}`,
      tenant_id: this.#request.tenantId,
      to_sequence: to,
    };
    const signature = await this.#signature(
      inOnePiece(Buffer.from(canonicalJson({ algorithm: SEGMENT_ALGORITHM, ...rest }))),
    );
    // `algorithm` and `events` stand before these members already.
    this.#reader.segment.write(`],${canonicalJson({ ...rest, signature }).slice(1)}`);
    return { ...this.#reader.segment.end(), kid: signature.key_id };
  }

  async #signature(json: SignedBytes): Promise<{ key_id: string; signature: string }> {
    const { kid, signature } = await this.#source.sign(json);
    return { key_id: kid, signature: Buffer.from(signature).toString("base64url") };
  }

  /** @param signer the key that signs segment and manifest. */
  async #smallFiles(history: KeyHistory, chain_segment_ref: string, signer: string) {
    const { chainId: chain_id, from: from_sequence, to: to_sequence } = this.#range;
    const rows = await this.#source.store.keys();
    // Of a stream that is written no more: which keys vouch for it since.
    const node = chain_id.slice(this.#request.tenantId.length + 1);
    const handOvers = handOversFrom(rows, node, history.keys.at(-1)?.row.kid ?? "");
    const isOthers = history.keys.some(({ row }) => row.node_id !== undefined);
    const beside = rows.flatMap(({ kid, role, jwk }) => {
      const named = role === "log" ? role : isOthers && kid === signer ? "producer" : undefined;
      return named === undefined ? [] : [{ ...publicJwk(jwk), role: named, from_sequence: 0, to_sequence: null }];
    });
    const files = {
      "keys.json": canonicalJson({
        keys: [
          ...history.keys.map(({ row, ...range }) => ({ ...publicJwk(row.jwk), role: "event", ...range })),
          ...beside,
        ],
        ...(handOvers.length > 0 && { hand_overs: handOvers }),
      }),
      "verifier-inputs.json": verifierInputs(this.#head, this.#reader.schema, {
        chain_id,
        from_sequence,
        to_sequence,
        chain_segment_ref,
      }),
      "profile-claim.json": profileClaim(this.#head),
      checkpoint: this.#checkpoint.note,
    };
    return Object.entries(files).map(([name, text]) => {
      const bytes = Buffer.from(text);
      return { file: { name, size: bytes.length, open: () => [bytes] }, digest: digestOf(bytes) };
    });
  }

  async #manifest(
    of: { readonly export_id: string; readonly bundle_hash: string; readonly chain_segment_ref: string },
    named: ReadonlyMap<string, { digest: string }>,
    erasures: readonly string[],
    history: KeyHistory,
  ): Promise<ExportFile> {
    const { chainId, from, to } = this.#range;
    const texts = {
      ...this.#head,
      ...of,
      schema_version: this.#reader.schema,
      created_at: this.#reader.lastOccurredAt,
      provider_id: this.#source.logOrigin,
      tenant_id: this.#request.tenantId,
      hash_profile_id: HASH_PROFILE,
      scope: { from_sequence: from, to_sequence: to },
      chain_id: chainId,
      ...(erasures.length > 0 && { erasures }),
      ...(history.later.length > 0 && { rotations: history.later }),
    };
    const members = new Map<string, () => Iterable<string>>(
      Object.entries(texts).map(([name, value]) => [name, () => [canonicalJson(value)]]),
    );
    members.set("artifacts", () => this.#listings.artifactsText());
    members.set("files", () => this.#listings.filesText(named));
    return signedObject(
      new StagedFile(this.#scratch.staging, "manifest.json"),
      members,
      "signatures",
      async (unsigned) => canonicalJson([await this.#signature(unsigned)]),
    );
  }

  /** In order of names. */
  async *#files(named: ReadonlyMap<string, { file: ExportFile }>, manifest: ExportFile): AsyncGenerator<ExportFile> {
    for (const page of pagesOf(this.#listings.files())) {
      await setImmediate();
      // Nearly always they lie with their events, where they are had for less.
      const { log } = this.#source.store;
      const own = await log.artifactsOf(
        this.#range.chainId,
        page.flatMap(({ sequence }) => sequence ?? []),
      );
      for (const { hex, sequence } of page) {
        const bytes =
          sequence === undefined
            ? await this.#shared.get(hex).read()
            : (own.get(sequence) ?? (await log.artifactAt(this.#range.chainId, sequence)));
        if (!bytes || digestOf(bytes) !== digestOfHex(hex))
          throw new Error(`the artifact ${hex} changed while it was exported`);
        yield { name: `artifacts/${hex}`, size: bytes.length, open: () => [bytes] };
      }
    }
    const others = [...named.values()].map(({ file }) => file);
    yield* [...others, manifest].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

function* pagesOf<T>(rows: Iterable<T>): Generator<T[]> {
  const page: T[] = [];
  for (const row of rows) if (page.push(row) === PAGE) yield page.splice(0);
  if (page.length > 0) yield page;
}

async function digestOfFile(file: ExportFile): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of file.open()) hash.update(piece);
  return digestText(hash.digest());
}
