// Exports a range of a stream with all that is needed to verify it offline (spec evidence §6). It is read page by page and never held.
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { equalBytes } from "../../core/bytes.ts";
import { ExportIncompleteError, RailgateError } from "../../core/errors.ts";
import {
  digestOfHex,
  digestOfPointer,
  digestText,
  EMPTY_SNAPSHOT,
  HASH_PROFILE,
  hexOfDigest,
} from "../../core/digest.ts";
import { digestOf, eventTextOf } from "../../core/event.ts";
import { canonicalJson } from "../../core/json.ts";
import { appendLeaf, EMPTY_FRONTIER, HASH_BYTES, rootOf } from "../../core/merkle.ts";
import { parseCheckpoint, parseNote } from "../../core/note.ts";
import type { EventType } from "../../core/event-types.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import { recordLeaf, TREE_HASHER } from "../../core/sha256.ts";
import { settingsOfEvent } from "../../core/snapshots.ts";
import type { StoreReader } from "../../store/store.ts";
import type { ExportFile } from "./files.ts";
import { publicJwk } from "../keys/jwks.ts";
import { handOversFrom } from "../keys/hand-over.ts";
import { keyHistory, type KeyHistory } from "../keys/key-history.ts";
import type { TransparencyLog } from "../log/log.ts";
import { RangeProofs } from "../log/range-proofs.ts";
import { DiskPages } from "../verify/disk-pages.ts";
import { type PageStore, Rows } from "../verify/pages.ts";
import { inOnePiece, type SignedBytes } from "../verify/primitives.ts";
import { PROFILES, SCHEMA_VERSION, SCHEMA_VERSION_1 } from "../verify/profiles.ts";
import { ArtifactRows, merged, mergedRows } from "./artifact-rows.ts";
import { commaSeparated, signedObject } from "./json-text.ts";
import { StagedFile } from "./staged-file.ts";
import {
  artifactPointer,
  type ExportHead,
  headOf,
  profileClaim,
  segmentPointer,
  provenanceIn,
  snapshotDocument,
  verifierInputs,
} from "./statements.ts";

/** There is no such stream, or it does not reach that far. */
export class ExportRangeError extends RailgateError {
  static override code = "export_range_unknown";
}

/** What an export is made from; a node is one. */
export interface ExportSource {
  readonly store: StoreReader;
  readonly log: TransparencyLog;
  readonly nodeId: string;
  readonly logOrigin: string;
  sign(canonicalJson: SignedBytes): Promise<{ readonly kid: string; readonly signature: Uint8Array }>;
  record(type: EventType, tenantId: string, actor: string, details: { [name: string]: unknown }): Promise<void>;
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

const PAGE = 256;
const SEGMENT_ALGORITHM = "sha256";

/**
 * Reads the range, checks that nothing of what its profile demands is missing, records the export as an event, and only
 * then gives it out.
 * @throws ExportRangeError, ExportIncompleteError
 * @throws EvidenceUnavailableError EVI-01: the export could not be recorded, or no checkpoint could be made.
 */
export async function prepareExport(source: ExportSource, request: ExportRequest): Promise<PreparedExport> {
  const range = await findRange(source, request);
  const checkpoint = await source.log.checkpoint(range.chainId, range.to + 1);
  const staging = mkdtempSync(join(tmpdir(), "railgate-export-"));
  const pages = new DiskPages();
  const dispose = (): void => {
    pages[Symbol.dispose]();
    rmSync(staging, { recursive: true, force: true });
  };
  try {
    const made = await new ExportMaker(source, request, range, checkpoint, staging, pages).make();
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

interface Range {
  readonly chainId: string;
  readonly from: number;
  readonly to: number;
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

/** Artifacts of few: bundles, authority material, configured files. By hex digest. */
type Shared = Map<string, { readonly size: number; readonly read: () => Promise<Uint8Array> }>;
type Made = { export_id: string; bundle_hash: string; manifestDigest: string; files: () => AsyncGenerator<ExportFile> };

class ExportMaker {
  readonly #source: ExportSource;
  readonly #request: ExportRequest;
  readonly #range: Range;
  readonly #checkpoint: { readonly size: number; readonly note: string };
  readonly #staging: string;
  readonly #rows: ArtifactRows;
  readonly #shared: Shared = new Map();
  readonly #kinds = new Map<string, Set<string>>();
  readonly #missing: string[] = [];
  readonly #erased = new Map<string, number>();
  readonly #pages: PageStore;
  readonly #leaves: Rows;
  readonly #head: ExportHead;
  readonly #snapshots = { policy: new Set<string>(), authority: new Set<string>() };
  #schema = SCHEMA_VERSION;
  #frontier = EMPTY_FRONTIER;
  #lastOccurredAt = "";

  constructor(
    source: ExportSource,
    request: ExportRequest,
    range: Range,
    checkpoint: { size: number; note: string },
    staging: string,
    pages: PageStore,
  ) {
    this.#source = source;
    this.#request = request;
    this.#range = range;
    this.#checkpoint = checkpoint;
    this.#staging = staging;
    this.#pages = pages;
    this.#rows = new ArtifactRows(pages);
    this.#leaves = new Rows(pages, HASH_BYTES);
    this.#head = headOf(request.evidenceProfileId, source.logOrigin, source.nodeId);
  }

  async make(): Promise<Made> {
    const { chainId, from, to } = this.#range;
    const staged = await this.#readRange();
    const history = await keyHistory(this.#source.store, chainId, to);
    this.#missing.push(...history.missing);
    this.#configuredArtifacts();
    this.#snapshotDocuments();
    const erasures = await this.#erasures();
    this.#checkProfile();
    if (this.#missing.length > 0) throw new ExportIncompleteError(this.#missing);
    const bundle_hash = digestText(rootOf(TREE_HASHER, this.#frontier));
    const segment = await this.#endSegment(staged.segment, bundle_hash);
    const proofs = await this.#proofs();
    const segmentRef = segmentPointer(segment.digest);
    const small = await this.#smallFiles(history, segmentRef);
    const named = new Map(
      [staged.events, staged.records, segment, proofs, ...small].map((each) => [each.file.name, each]),
    );
    const export_id = `export-${hexOfDigest(digestOf(canonicalJson([chainId, from, to, bundle_hash, this.#request.evidenceProfileId, this.#checkpoint.note]))).slice(0, 32)}`;
    const manifest = await this.#manifest(
      { export_id, bundle_hash, chain_segment_ref: segmentRef },
      named,
      erasures,
      history,
    );
    return {
      export_id,
      bundle_hash,
      manifestDigest: await digestOfFile(manifest),
      files: () => this.#files(named, manifest),
    };
  }

  async #readRange() {
    const [events, records, segment] = ["events.jsonl", "records.jws", "chain-segment.json"].map(
      (name) => new StagedFile(this.#staging, name),
    ) as [StagedFile, StagedFile, StagedFile];
    segment.write(`{"algorithm":"${SEGMENT_ALGORITHM}","events":[`);
    const { chainId, from, to } = this.#range;
    for (let page = from; page <= to; page += PAGE) {
      // Decisions go on while an export is read.
      await setImmediate();
      const stored = await this.#source.store.log.records(chainId, page, Math.min(page + PAGE, to + 1));
      if (stored.length !== Math.min(PAGE, to + 1 - page))
        throw new Error(`the stream ${chainId} has a gap at ${page}`);
      for (const [i, record] of stored.entries()) await this.#readRecord(record, page + i, events, records, segment);
    }
    return { events: events.end(), records: records.end(), segment };
  }

  async #readRecord(
    record: string,
    sequence: number,
    events: StagedFile,
    records: StagedFile,
    segment: StagedFile,
  ): Promise<void> {
    const text = eventTextOf(record);
    const event = JSON.parse(text) as EvidenceEvent;
    const { id, prev_hash, event_hash } = event;
    events.write(`${text}\n`);
    records.write(`${record}\n`);
    const line = sequence - this.#range.from;
    segment.write(
      `${line === 0 ? "" : ","}${canonicalJson({ id, sequence, prev_hash, event_hash, event_ref: event.evidence_pointer, evidence_profile_id: this.#head.evidence_profile_id })}`,
    );
    this.#leaves.change(line).set(recordLeaf(record));
    this.#frontier = appendLeaf(
      TREE_HASHER,
      this.#frontier,
      TREE_HASHER.leaf(Buffer.from(hexOfDigest(event_hash), "hex")),
    );
    this.#lastOccurredAt = event.occurred_at;
    // Refusals of 0.1 don't say why in words, so that an export of them is not held to the rules that ask for it.
    if (event.outcome === "refused" && event.refusal_reason === undefined) this.#schema = SCHEMA_VERSION_1;
    await this.#readArtifacts(event, sequence);
  }

  async #readArtifacts(event: EvidenceEvent, sequence: number): Promise<void> {
    const { store } = this.#source;
    const digest = digestOfPointer(event.evidence_pointer)!;
    const own = await store.log.artifactAt(this.#range.chainId, sequence);
    if (own && digestOf(own) !== digest) this.#missing.push(`the artifact of event ${sequence} is damaged`);
    if (own) this.#rows.add(digest, sequence);
    else if (!(await this.#share("decision", digest)) && !this.#erased.has(digest)) this.#erased.set(digest, sequence);
    this.#snapshots.policy.add(event.policy_snapshot_id);
    const isNew = !this.#snapshots.authority.has(event.authority_snapshot_id);
    this.#snapshots.authority.add(event.authority_snapshot_id);
    if (event.policy_snapshot_id !== EMPTY_SNAPSHOT && !(await this.#share("policy_bundle", event.policy_snapshot_id)))
      this.#lack(`the policy bundle ${event.policy_snapshot_id}`);
    if (
      event.authority_snapshot_id !== EMPTY_SNAPSHOT &&
      !(await this.#share("authority", event.authority_snapshot_id))
    )
      this.#lack(`the authority material ${event.authority_snapshot_id}`);
    if (isNew) await this.#shareProvenance(event.authority_snapshot_id);
    const settings = settingsOfEvent(event);
    if (settings !== null && !(await this.#share("settings", settings))) this.#lack(`the settings ${settings}`);
  }

  /** Bundles, and the root that they were verified by: an auditor needs nothing else to verify them again. */
  async #shareProvenance(snapshotId: string): Promise<void> {
    const bytes = await this.#source.store.artifact(snapshotId);
    for (const { kind, digest } of bytes === undefined ? [] : provenanceIn(bytes))
      if (!(await this.#share(kind, digest))) this.#lack(`the ${kind} ${digest}`);
  }

  #lack(what: string): void {
    if (!this.#missing.includes(what)) this.#missing.push(what);
  }

  /** @returns false where the store does not have it. */
  async #share(kind: string, digest: string): Promise<boolean> {
    const hex = hexOfDigest(digest);
    if (!this.#shared.has(hex)) {
      const { store } = this.#source;
      const bytes = await store.artifact(digest);
      if (!bytes) return false;
      if (digestOf(bytes) !== digest) this.#lack(`the artifact ${digest}, which is damaged`);
      this.#shared.set(hex, {
        size: bytes.length,
        read: async () => (await store.artifact(digest)) ?? new Uint8Array(0),
      });
    }
    this.#ofKind(kind, hex);
    return true;
  }

  #ofKind(kind: string, hex: string): void {
    const known = this.#kinds.get(kind);
    if (known) known.add(hex);
    else this.#kinds.set(kind, new Set([hex]));
  }

  #configuredArtifacts(): void {
    for (const [kind, paths] of Object.entries(this.#request.artifacts ?? {})) {
      for (const path of paths) {
        try {
          const bytes = readFileSync(path);
          const hex = hexOfDigest(digestOf(bytes));
          this.#shared.set(hex, { size: bytes.length, read: async () => bytes });
          this.#ofKind(kind, hex);
        } catch (error) {
          this.#missing.push(`the ${kind} artifact ${path} (${(error as NodeJS.ErrnoException).code})`);
        }
      }
    }
  }

  #snapshotDocuments(): void {
    for (const member of ["policy", "authority"] as const) {
      for (const id of this.#snapshots[member]) {
        const bytes = snapshotDocument(member, id);
        const hex = hexOfDigest(digestOf(bytes));
        this.#shared.set(hex, { size: bytes.length, read: async () => bytes });
        this.#ofKind(member === "policy" ? "policy_snapshots" : "authority_bindings", hex);
      }
    }
  }

  /** Artifacts that are gone must have been erased on record. @returns the records that say so and lie behind the range. */
  async #erasures(): Promise<string[]> {
    const later: string[] = [];
    const left = new Map(this.#erased);
    for (let after: number | undefined; left.size > 0; ) {
      const page = await this.#source.store.events({
        chain_id: this.#range.chainId,
        event_type: "chain.anchor",
        order: "asc",
        limit: PAGE,
        after,
      });
      if (page.length === 0) break;
      for (const { record } of page) {
        const { details, sequence } = JSON.parse(eventTextOf(record)) as EvidenceEvent;
        const gone = goneBy(details, left);
        for (const digest of gone) left.delete(digest);
        if (gone.length > 0 && sequence > this.#range.to) later.push(record);
      }
      after = page.at(-1)!.position;
    }
    for (const [digest, sequence] of left) this.#missing.push(`the artifact ${digest} of event ${sequence}`);
    return later;
  }

  #checkProfile(): void {
    const profile = PROFILES[this.#request.evidenceProfileId];
    if (!profile) throw new ExportIncompleteError([`there is no profile ${this.#request.evidenceProfileId}`]);
    for (const kind of profile.artifacts) {
      if (!this.#kinds.has(kind))
        this.#missing.push(
          `${this.#request.evidenceProfileId} demands artifacts of the kind ${kind} (railgate.evidence.artifacts.${kind})`,
        );
    }
  }

  async #endSegment(segment: StagedFile, segment_hash: string) {
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
    segment.write(`],${canonicalJson({ ...rest, signature }).slice(1)}`);
    return segment.end();
  }

  async #signature(json: SignedBytes): Promise<{ key_id: string; signature: string }> {
    const { kid, signature } = await this.#source.sign(json);
    return { key_id: kid, signature: Buffer.from(signature).toString("base64url") };
  }

  async #proofs() {
    const { chainId, from, to } = this.#range;
    const { size, note } = this.#checkpoint;
    const { log } = this.#source;
    const proofs = new RangeProofs({
      from,
      to,
      size,
      leaves: this.#leaves,
      pages: this.#pages,
      firstProof: await log.inclusionProof(chainId, from, size),
      lastProof: await log.inclusionProof(chainId, to, size),
    });
    const root = parseCheckpoint(parseNote(note)?.text ?? "")?.root;
    if (!root || !equalBytes(root, proofs.root))
      throw new Error(`the records of ${chainId} are not those that its checkpoint of ${size} is over`);
    const file = new StagedFile(this.#staging, "proofs.json");
    file.write('{"proofs":[');
    for (let sequence = from; sequence <= to; sequence++) {
      if ((sequence - from) % PAGE === 0) await setImmediate();
      const hashes = proofs.of(sequence);
      file.write(
        `${sequence === from ? "" : ","}{"hashes":[${hashes.map((hash) => `"${hash}"`).join(",")}],"sequence":${sequence}}`,
      );
    }
    file.write(`],"tree_size":${size}}`);
    return file.end();
  }

  async #smallFiles(history: KeyHistory, chain_segment_ref: string) {
    const { chainId: chain_id, from: from_sequence, to: to_sequence } = this.#range;
    const logKeys = (await this.#source.store.keys())
      .filter(({ role }) => role === "log")
      .map((key) => ({ ...publicJwk(key.jwk), role: "log", from_sequence: 0, to_sequence: null }));
    // Of a stream that is written no more: which keys vouch for it since.
    const handOvers = handOversFrom(
      await this.#source.store.keys(),
      chain_id.slice(this.#request.tenantId.length + 1),
      history.keys.at(-1)?.row.kid ?? "",
    );
    const files = {
      "keys.json": canonicalJson({
        keys: [
          ...history.keys.map(({ row, ...range }) => ({ ...publicJwk(row.jwk), role: "event", ...range })),
          ...logKeys,
        ],
        ...(handOvers.length > 0 && { hand_overs: handOvers }),
      }),
      "verifier-inputs.json": verifierInputs(this.#head, this.#schema, {
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
    erasures: string[],
    history: KeyHistory,
  ): Promise<ExportFile> {
    const { chainId, from, to } = this.#range;
    const texts = {
      ...this.#head,
      ...of,
      schema_version: this.#schema,
      created_at: this.#lastOccurredAt,
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
    members.set("artifacts", () => this.#artifactsText());
    members.set("files", () => this.#filesText(named));
    return signedObject(new StagedFile(this.#staging, "manifest.json"), members, "signatures", async (unsigned) =>
      canonicalJson([await this.#signature(unsigned)]),
    );
  }

  *#artifactsText(): Generator<string> {
    const kinds = new Set([...this.#kinds.keys(), "decision"]);
    let first = true;
    yield "{";
    for (const kind of [...kinds].sort()) {
      const refs = kind === "decision" ? this.#decisions() : [...(this.#kinds.get(kind) ?? [])].sort();
      yield `${first ? "" : ","}${canonicalJson(kind)}:[`;
      first = false;
      yield* commaSeparated(refs, (hex) => `"${artifactPointer(hex)}"`);
      yield "]";
    }
    yield "}";
  }

  /** All that events point to, own artifacts and shared ones, in order. */
  #decisions(): Iterable<string> {
    return merged(this.#rows.sorted(), [...(this.#kinds.get("decision") ?? [])].sort());
  }

  *#filesText(named: ReadonlyMap<string, { digest: string }>): Generator<string> {
    yield "{";
    yield* commaSeparated(this.#listed(named), ([name, digest]) => `"${name}":"${digest}"`);
    yield "}";
  }

  /** Every file but the manifest, in order of names. */
  *#listed(named: ReadonlyMap<string, { digest: string }>): Generator<[name: string, digest: string]> {
    for (const hex of merged(this.#rows.sorted(), [...this.#shared.keys()].sort()))
      yield [`artifacts/${hex}`, digestOfHex(hex)];
    for (const name of [...named.keys()].sort()) yield [name, named.get(name)!.digest];
  }

  /** In order of names. */
  async *#files(named: ReadonlyMap<string, { file: ExportFile }>, manifest: ExportFile): AsyncGenerator<ExportFile> {
    const { store } = this.#source;
    let given = 0;
    for (const { hex, sequence } of mergedRows(this.#rows.sorted(), [...this.#shared.keys()].sort())) {
      if (++given % PAGE === 0) await setImmediate();
      const bytes =
        sequence === undefined
          ? await this.#shared.get(hex)!.read()
          : await store.log.artifactAt(this.#range.chainId, sequence);
      if (!bytes || digestOf(bytes) !== digestOfHex(hex))
        throw new Error(`the artifact ${hex} changed while it was exported`);
      yield { name: `artifacts/${hex}`, size: bytes.length, open: () => [bytes] };
    }
    const others = [...named.values()].map(({ file }) => file);
    yield* [...others, manifest].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

async function digestOfFile(file: ExportFile): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of file.open()) hash.update(piece);
  return digestText(hash.digest());
}

/** Which of the artifacts that are not there an event says to be gone: one that was erased, or a range that was kept no longer. */
function goneBy(details: EvidenceEvent["details"], left: ReadonlyMap<string, number>): string[] {
  const { action, artifact_digest, from_sequence, to_sequence } = (details ?? {}) as Record<string, unknown>;
  if (action === "artifact_erased") return left.has(String(artifact_digest)) ? [String(artifact_digest)] : [];
  if (action !== "artifacts_expired") return [];
  const isWithin = (sequence: number) => sequence >= Number(from_sequence) && sequence <= Number(to_sequence);
  return [...left].flatMap(([digest, sequence]) => (isWithin(sequence) ? [digest] : []));
}
