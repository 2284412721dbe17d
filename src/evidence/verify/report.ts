// What the verifier says: one line per check, and the first record at fault. A check that was not carried out has failed.

/** Every check, in the order of the report, with what holds when it passes. */
export const CHECKS = {
  archive: "the archive holds plain files of the layout, each once, within bounds",
  manifest: "the manifest names what an export must say of itself",
  manifest_signature: "the manifest is signed by the producer's current event key",
  files: "every file is listed with its digest, and every listed file is there",
  methods: "the methods of hashing are the ones that were applied here",
  keys: "the keys are what they are called, and their ranges do not overlap",
  signer: "those who signed are known by keys that did not come with the export",
  events: "every line is one event in canonical JSON",
  event_hashes: "every event_hash is the hash of its event",
  chain: "the events follow each other without a gap, each naming the hash of the one before",
  records: "every record is a compact JWS of the one allowed form, and holds the event of its line",
  record_signatures: "every record's signature verifies",
  key_ranges: "every record is signed by the key that was valid for its place",
  segment: "the chain segment lists these events in this order",
  segment_hash: "segment_hash is the Merkle root over the event hashes",
  segment_signature: "the chain segment is signed by the key that signed the manifest",
  bundle_hash: "bundle_hash is the Merkle root over the event hashes",
  checkpoint: "the checkpoint is signed by the log key, for this stream, and covers the range",
  inclusion: "every record is included in the checkpoint's tree at its sequence",
  artifacts: "every artifact that an event points to is there with its digest, or erased on record",
  policies: "every policy bundle and authority material that an event names is there",
  profile: "what the evidence profile demands is there",
  ecs: "it has the form that the ECS contracts publish",
  since: "the log begins with all that was verified before, and the export takes up where that ended",
} as const;

/** Checks that are made only where they were asked for. */
const ON_REQUEST: ReadonlySet<CheckName> = new Set(["since"]);

export type CheckName = keyof typeof CHECKS;
export type CheckStatus = "passed" | "failed" | "not_checked";

/** Where something is wrong. `line` counts from 1 in the files that have a record a line, and is null in the others. */
export interface Place {
  readonly file: string | null;
  readonly line: number | null;
  readonly sequence: number | null;
}

export interface Check {
  readonly name: CheckName;
  readonly status: CheckStatus;
  /** What holds, what is wrong first, or why it could not be checked. */
  readonly detail: string;
  readonly file?: string;
  readonly line?: number;
  readonly sequence?: number;
  /** How many faults were found, where more than one. */
  readonly faults?: number;
}

export interface ExportSummary {
  readonly export_id: string | null;
  readonly tenant_id: string | null;
  readonly chain_id: string | null;
  readonly evidence_profile_id: string | null;
  readonly from_sequence: number | null;
  readonly to_sequence: number | null;
  readonly events: number;
}

export interface VerifyReport {
  readonly ok: boolean;
  /** Whether anything of the layout was found at all. */
  readonly is_export: boolean;
  readonly checks: readonly Check[];
  readonly first_bad: Place | null;
  readonly export: ExportSummary;
  /** Artifacts that are gone, with the event that says so. */
  readonly erased: readonly ErasedArtifact[];
  /** Thumbprints of the keys that signed, and whether the caller had them by another way than the export. */
  readonly keys: { readonly pinned: boolean; readonly kids: readonly string[] };
  /** Where this audit ends, for a later one to go on from (`keepHead`); null where not all of it passed. */
  readonly head?: string | null;
}

export interface ErasedArtifact {
  readonly sequence: number;
  readonly artifact: string;
  readonly basis: string;
  readonly erasure_event_id: string;
}

/** Where a fault lies, before the range's first sequence is known: `index` counts records from 0. */
export interface FaultPlace {
  readonly file?: string;
  readonly index?: number;
}

interface Fault {
  readonly message: string;
  readonly place: FaultPlace;
}

/** Files whose lines are records. */
const LINED = new Set(["events.jsonl", "records.jws"]);

/** Collects what the checks find. */
export class Findings {
  readonly #faults = new Map<CheckName, { first: Fault; count: number }>();
  readonly #unchecked = new Map<CheckName, string>();
  readonly #requested = new Set<CheckName>();
  readonly #passed = new Map<CheckName, string | undefined>();

  /** One of those that are made only then: it is to be in the report, whatever comes of it. */
  request(check: CheckName): void {
    this.#requested.add(check);
  }

  fault(check: CheckName, message: string, place: FaultPlace = {}, count = 1): void {
    const known = this.#faults.get(check);
    const fault = { message, place };
    if (known === undefined) this.#faults.set(check, { first: fault, count });
    else
      this.#faults.set(check, {
        first: isBefore(fault, known.first) ? fault : known.first,
        count: known.count + count,
      });
  }

  /** The check was carried out to its end; faults that were found still count. */
  done(check: CheckName, detail?: string): void {
    this.#passed.set(check, detail);
  }

  /** The export lacks what the check needs, as exports of other producers may. It is not passed. */
  unchecked(check: CheckName, reason: string): void {
    if (!this.#unchecked.has(check)) this.#unchecked.set(check, reason);
  }

  hasFault(check: CheckName): boolean {
    return this.#faults.has(check);
  }

  checks(firstSequence: number | undefined): Check[] {
    return (Object.keys(CHECKS) as CheckName[])
      .filter((name) => !ON_REQUEST.has(name) || this.#requested.has(name))
      .map((name) => this.#check(name, firstSequence));
  }

  /** The record at fault that comes first; where no record is, the file. */
  firstBad(firstSequence: number | undefined): Place | null {
    const faults = (Object.keys(CHECKS) as CheckName[]).flatMap((name) => this.#faults.get(name)?.first ?? []);
    const placed = faults
      .filter(({ place }) => place.index !== undefined)
      .sort((a, b) => a.place.index! - b.place.index!);
    // A changed record spoils its neighbours' proofs as well, so proofs name a record only where nothing else does.
    const first = placed.find(({ place }) => place.file !== "proofs.json") ?? placed[0];
    const fault = first ?? faults.find(({ place }) => place.file !== undefined) ?? faults[0];
    return fault === undefined
      ? null
      : { file: fault.place.file ?? null, line: lineOf(fault.place), sequence: sequenceOf(fault.place, firstSequence) };
  }

  #check(name: CheckName, firstSequence: number | undefined): Check {
    const found = this.#faults.get(name);
    if (found !== undefined) return failed(name, found.first, found.count, firstSequence);
    const unchecked = this.#unchecked.get(name);
    if (unchecked !== undefined) return { name, status: "not_checked", detail: unchecked };
    if (this.#passed.has(name)) return { name, status: "passed", detail: this.#passed.get(name) ?? CHECKS[name] };
    return { name, status: "failed", detail: "it could not be carried out" };
  }
}

function failed(name: CheckName, { message, place }: Fault, count: number, firstSequence: number | undefined): Check {
  const line = lineOf(place);
  const sequence = sequenceOf(place, firstSequence);
  return {
    name,
    status: "failed",
    detail: message,
    ...(place.file !== undefined && { file: place.file }),
    ...(line !== null && { line }),
    ...(sequence !== null && { sequence }),
    ...(count > 1 && { faults: count }),
  };
}

const isBefore = (a: Fault, b: Fault): boolean => (a.place.index ?? Infinity) < (b.place.index ?? Infinity);

function lineOf({ file, index }: FaultPlace): number | null {
  return file !== undefined && LINED.has(file) && index !== undefined ? index + 1 : null;
}

function sequenceOf({ index }: FaultPlace, firstSequence: number | undefined): number | null {
  return index === undefined || firstSequence === undefined ? null : firstSequence + index;
}
