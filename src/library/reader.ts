// What may be read of a node's evidence and state, for one caller: what is committed, and nothing else.
import { counted } from "../core/counted.ts";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { maySee, operatorActing, tenantAsked, tenantOf, type Caller } from "../core/caller.ts";
import { EvidenceUnavailableError, NotFoundError, RequestError } from "../core/errors.ts";
import { eventTextOf } from "../core/event.ts";
import { throughJson } from "../core/json.ts";
import { wireMesh } from "../core/mesh.ts";
import { parser } from "../core/request.ts";
import { IDENTIFIER_PATTERN } from "../core/schema/base.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { Mesh } from "../core/schema/mesh.ts";
import { EventScope, EventsQuery, FollowQuery, ListQuery } from "../core/schema/queries.ts";
import type { WorkloadSummary, WorkloadView } from "../core/schema/workload.ts";
import type { NodeStatus } from "../core/schema/node.ts";
import { parseTilePath } from "../core/tiles.ts";
import { timeMs } from "../core/time.ts";
import type { Workload } from "../core/workload.ts";
import { publicJwk, publicKeys, type PublicKeys } from "../evidence/keys/jwks.ts";
import type { TransparencyLog } from "../evidence/log/log.ts";
import { partitionBefore } from "../node/partition-record.ts";
import { readMesh, readMeshes } from "../store/meshes.ts";
import type { EventQuery, ListingPlace, MaybePromise, StoredEvent, StoreReader, StreamRow } from "../store/store.ts";
import { checkNames } from "./names.ts";
import type {
  Artifact,
  EventLookup,
  InclusionProof,
  KeySummary,
  Page,
  RailgateReader,
  StreamSummary,
} from "./railgate.ts";
import { showWorkload, workloadSummary } from "./workload-view.ts";

export interface ReaderParts {
  readonly store: MaybePromise<StoreReader>;
  readonly log: MaybePromise<TransparencyLog>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Called before it waits for more; what is read next may then be opened anew. */
  readonly idle?: () => Promise<void>;
  /** Calls back when something became durable; absent: it is looked for now and then. */
  readonly subscribe?: (listener: () => void) => () => void;
}

/** A page of events with their records, of which a door can write the answer without parsing. */
export interface SignedPage extends Page<EvidenceEvent> {
  readonly records: readonly string[];
}

type Filters = Omit<EventQuery, "order" | "limit" | "after" | "chain_id">;

const EVENTS_DEFAULT = 100;
const WORKLOADS_DEFAULT = 100;
const MESHES_DEFAULT = 20;
const MESHES_MAX = 100;
const FOLLOW_PAGE = 200;
const LOOKED_FOR_MS = 250;
const GATHERED_MS = 20;
const SEEN_WITHIN_MS = 2000;
const SEEN_PAUSE_MS = { first: 10, most: 100 };

const NEVER_CUT_OFF: NodeStatus["partition"] = { state: "connected", since: null, reasons: [] };

const parseList = parser(ListQuery);
const parseEvents = parser(EventsQuery);
const parseFollow = parser(FollowQuery);
const parseScope = parser(EventScope);

export class LocalReader implements RailgateReader {
  readonly #parts: ReaderParts;
  /** Who asks. */
  protected readonly caller: Caller;

  constructor(parts: ReaderParts, caller: Caller) {
    this.#parts = parts;
    this.caller = caller;
  }

  async meshes(query: ListQuery = {}): Promise<Page<Mesh>> {
    const { tenant_id, limit = MESHES_DEFAULT, cursor } = parseList(throughJson(query));
    const after = cursor === undefined ? undefined : placed(isIdentifier(cursor) ? cursor : undefined);
    const tenant = tenantOf(this.caller, tenant_id);
    const { items, next } = await readMeshes(await this.#parts.store, tenant, Math.min(limit, MESHES_MAX), after);
    return { items: items.map(wireMesh), next };
  }

  mesh(meshId: string, tenantId?: string): { show(): Promise<Mesh | null> } {
    checkNames({ mesh_id: meshId, tenant_id: tenantId });
    return { show: () => this.showMesh(meshId, tenantId) };
  }

  async workloads(query: ListQuery = {}): Promise<Page<WorkloadSummary>> {
    const { tenant_id, limit = WORKLOADS_DEFAULT, cursor } = parseList(throughJson(query));
    const after = cursor === undefined ? undefined : placed(readPlace(cursor));
    const { now } = this.#parts;
    const store = await this.#parts.store;
    const rows = await store.states("workload", tenantAsked(this.caller, tenant_id), limit + 1, after);
    const page = rows.slice(0, limit);
    const items = page.map(({ value }) => workloadSummary(JSON.parse(value) as Workload, now()));
    return { items, next: rows.length > limit ? writePlace(page.at(-1)!) : null };
  }

  workload(workloadId: string, tenantId?: string): { show(): Promise<WorkloadView | null> } {
    checkNames({ workload_id: workloadId, tenant_id: tenantId });
    return { show: () => this.showWorkload(workloadId, tenantId) };
  }

  async events(query: EventsQuery = {}): Promise<SignedPage> {
    const { cursor, ...asked } = parseEvents(throughJson(query));
    const place = cursor === undefined ? undefined : placed(readCursor(cursor));
    const { order = place?.order ?? "desc", limit = EVENTS_DEFAULT } = asked;
    if (place && place.order !== order) throw invalidCursor(`continues a listing with order=${place.order}`);
    const { events, next } = await (await this.#parts.store).list({
      ...this.#filters(asked),
      order,
      limit,
      after: place?.after,
    });
    const records = events.map(({ record }) => record);
    let items: EvidenceEvent[] | undefined;
    const answer: Page<EvidenceEvent> = {
      get items() {
        return (items ??= records.map(eventOf));
      },
      next: next === null ? null : writeCursor(order, next),
    };
    return Object.defineProperty(answer, "records", { value: records }) as SignedPage;
  }

  async event(eventId: string, scope: EventScope = {}): Promise<EventLookup> {
    const { record } = await this.#find(eventId, scope);
    return {
      get event() {
        return eventOf(record);
      },
      record,
      inclusion: await this.#inclusion(record),
    };
  }

  async artifact(eventId: string, scope: EventScope = {}): Promise<Artifact> {
    const { artifact_digest: digest } = await this.#find(eventId, scope);
    const bytes = (await (await this.#parts.store).artifactOf(eventId))?.bytes;
    if (bytes === undefined)
      throw new NotFoundError(
        "artifact_unknown",
        `The artifact ${digest} was erased, or never kept; the event about it stands.`,
      );
    return { digest, bytes };
  }

  async *follow(query: FollowQuery = {}, signal?: AbortSignal): AsyncGenerator<EvidenceEvent> {
    for await (const page of (await this.followPages(query))(signal)) {
      for (const { record } of page) {
        if (signal?.aborted) return;
        yield eventOf(record);
      }
    }
  }

  /**
   * As `follow`, by pages that have something in them, with what is signed. At most one is held, however slowly it is taken.
   * @returns what begins it; what is wrong with the query is thrown before.
   */
  async followPages(
    query: FollowQuery = {},
  ): Promise<(signal?: AbortSignal) => AsyncGenerator<readonly StoredEvent[]>> {
    const { after, ...asked } = parseFollow(throughJson(query));
    const filters = this.#filters(asked);
    const begun = asked.since === undefined ? await (await this.#parts.store).settled() : 0;
    const position = after === undefined ? begun : (await this.#find(after, { tenant_id: asked.tenant_id })).position;
    return (signal) => this.#pages(filters, position, signal);
  }

  async *#pages(filters: Filters, after: number, signal?: AbortSignal): AsyncGenerator<readonly StoredEvent[]> {
    using commits = new Wakeup(this.#parts.subscribe, signal);
    for (let position = after; !signal?.aborted; ) {
      const store = await this.#parts.store;
      const upTo = await store.settled();
      const { events: found, next } =
        position < upTo
          ? await store.page({ ...filters, order: "asc", limit: FOLLOW_PAGE, after: position })
          : { events: [], next: null };
      position = next ?? Math.max(upTo, found.at(-1)?.position ?? 0);
      if (found.length > 0) yield found;
      // A page that ended early is followed by the next, but others get their turn.
      if (next === null) await this.#parts.idle?.();
      await (next === null ? commits.next() : turn());
    }
  }

  async streams(): Promise<StreamSummary[]> {
    const log = await this.#parts.log;
    const mine = (await log.streams()).filter(({ tenant_id }) => maySee(this.caller, tenant_id));
    return mine.map(({ chain_id, size }) => ({ chain_id, size, vkey: log.vkey(chain_id) }));
  }

  /**
   * Waits until a record can be read here, two seconds at most.
   * @returns whether it can; one of another tenant never can.
   */
  async sees(chainId: string, sequence: number): Promise<boolean> {
    const untilMs = performance.now() + SEEN_WITHIN_MS;
    let recorded: number | undefined;
    for (let pauseMs = SEEN_PAUSE_MS.first; ; pauseMs = Math.min(2 * pauseMs, SEEN_PAUSE_MS.most)) {
      const stream = await (await this.#parts.log).stream(chainId);
      if (stream && stream.size > sequence && maySee(this.caller, stream.tenant_id)) {
        const store = await this.#parts.store;
        // Listings that go forwards show it too.
        recorded ??= store.shared ? ((await store.events({ order: "desc", limit: 1 }))[0]?.position ?? 0) : 0;
        if (recorded <= (await store.settled())) return true;
      }
      if (performance.now() + pauseMs > untilMs) return false;
      await sleep(pauseMs);
    }
  }

  async checkpoint(chainId: string): Promise<string> {
    return (await (await this.#parts.log).checkpoint((await this.#stream(chainId)).chain_id)).note;
  }

  async tile(chainId: string, name: string): Promise<Uint8Array> {
    const { chain_id } = await this.#stream(chainId);
    const tile = parseTilePath(`tile/${name}`);
    const bytes = tile && (await (await this.#parts.log).tile(chain_id, tile));
    if (!bytes) throw new NotFoundError("tile_unknown", "The stream has no such tile, or not yet.");
    return bytes;
  }

  async inclusionProof(chainId: string, index: number, size: number): Promise<string[]> {
    const { chain_id, size: committed } = await this.#stream(chainId);
    mustBeWhole({ index, size });
    if (size > committed) throw invalid("size", `is more than the ${counted(committed, "event")} of the stream`);
    if (index >= size) throw invalid("index", "must be less than size");
    return (await this.#parts.log).inclusionProof(chain_id, index, size);
  }

  async consistencyProof(chainId: string, from: number, to: number): Promise<string[]> {
    const { chain_id, size: committed } = await this.#stream(chainId);
    mustBeWhole({ from, to });
    if (to > committed) throw invalid("to", `is more than the ${counted(committed, "event")} of the stream`);
    if (from > to) throw invalid("from", "must not be more than to");
    return (await this.#parts.log).consistencyProof(chain_id, from, to);
  }

  async jwks(): Promise<PublicKeys> {
    return publicKeys(await (await this.#parts.store).keys());
  }

  async nodeStatus(): Promise<NodeStatus> {
    operatorActing(this.caller);
    const store = await this.#parts.store;
    const left = await partitionBefore(store);
    const { state, since, reasons } = (left ?? NEVER_CUT_OFF) as NodeStatus["partition"];
    return { node_id: (await store.meta("node_id")) ?? null, partition: { state, since, reasons }, upstream: null };
  }

  async keys(): Promise<KeySummary[]> {
    return (await (await this.#parts.store).keys()).flatMap(
      ({ kid, role, node_id, created_at_ms, retired_at_ms, jwk }) => {
        if (role === "peer" || node_id !== undefined) return [];
        const created_at = new Date(created_at_ms).toISOString();
        const retired_at = retired_at_ms === null ? null : new Date(retired_at_ms).toISOString();
        return [{ kid, role, created_at, retired_at, jwk: publicJwk(jwk) }];
      },
    );
  }

  async close(): Promise<void> {
    await (await this.#parts.store).close();
  }

  protected async showMesh(meshId: string, tenantId: string | undefined): Promise<Mesh | null> {
    const mesh = await readMesh(await this.#parts.store, tenantOf(this.caller, tenantId), meshId);
    return mesh ? wireMesh(mesh) : null;
  }

  /** As `workload(…).show()`; what is no identifier names nothing. */
  async showWorkload(workloadId: string, tenantId: string | undefined): Promise<WorkloadView | null> {
    const { now } = this.#parts;
    const store = await this.#parts.store;
    return showWorkload(store, tenantOf(this.caller, tenantId), workloadId, now());
  }

  #filters({ tenant_id, since, until, ...filters }: FollowQuery): Filters {
    const { event_type, outcome, workload_id, correlation_id } = filters;
    return {
      event_type,
      outcome,
      workload_id,
      correlation_id,
      tenant_id: tenantAsked(this.caller, tenant_id),
      since_ms: since === undefined ? undefined : timeMs(since),
      until_ms: until === undefined ? undefined : timeMs(until),
    };
  }

  /** An event of another tenant is as unknown as one that never was. */
  async #find(eventId: string, scope: EventScope): Promise<NonNullable<Awaited<ReturnType<StoreReader["event"]>>>> {
    const tenant = tenantAsked(this.caller, parseScope(throughJson(scope)).tenant_id);
    const event = await (await this.#parts.store).event(eventId);
    if (!event || !maySee(this.caller, event.tenant_id) || (tenant !== undefined && tenant !== event.tenant_id))
      throw new NotFoundError("event_unknown", "This node has no such event.");
    return event;
  }

  /** The event itself is told even while its place cannot be proven. */
  async #inclusion(record: string): Promise<InclusionProof | null> {
    const { chain_id, sequence } = eventOf(record);
    try {
      return await (await this.#parts.log).inclusion(chain_id, sequence);
    } catch (error) {
      if (error instanceof EvidenceUnavailableError) return null;
      throw error;
    }
  }

  /** A stream of another tenant is as unknown as one that never was. */
  async #stream(chainId: string): Promise<StreamRow> {
    const stream = await (await this.#parts.log).stream(chainId);
    if (!stream || !maySee(this.caller, stream.tenant_id))
      throw new NotFoundError("stream_unknown", "This node has no such stream.");
    return stream;
  }
}

/** Wakes whoever follows: `next` resolves when something may have become durable since it last did, or at the end. */
class Wakeup implements Disposable {
  readonly #polls: boolean;
  readonly #ended = new AbortController();
  #woken = Promise.withResolvers<void>();

  constructor(subscribe: ReaderParts["subscribe"], signal: AbortSignal | undefined) {
    const wake = (): void => this.#woken.resolve();
    const unsubscribe = subscribe?.(wake);
    this.#polls = unsubscribe === undefined;
    signal?.addEventListener("abort", wake, { signal: this.#ended.signal });
    this.#ended.signal.addEventListener("abort", () => unsubscribe?.());
  }

  async next(): Promise<void> {
    const later = this.#polls ? setTimeout(() => this.#woken.resolve(), LOOKED_FOR_MS) : undefined;
    await this.#woken.promise;
    clearTimeout(later);
    // Commits come by the hundred a second; nobody need hear of each by itself.
    if (!this.#polls) await sleep(GATHERED_MS);
    this.#woken = Promise.withResolvers<void>();
  }

  [Symbol.dispose](): void {
    this.#ended.abort();
  }
}

const IDENTIFIER = new RegExp(IDENTIFIER_PATTERN);
const isIdentifier = (text: string): boolean => IDENTIFIER.test(text);

/** As it was signed. */
const eventOf = (record: string): EvidenceEvent => JSON.parse(eventTextOf(record)) as EvidenceEvent;

const invalid = (member: string, message: string): RequestError =>
  new RequestError(422, [{ pointer: `/${member}`, message }]);
const invalidCursor = (message: string): RequestError => invalid("cursor", message);

function placed<T>(place: T | undefined): T {
  if (place === undefined) throw invalidCursor("must be the `next` of an earlier answer");
  return place;
}

function mustBeWhole(numbers: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(numbers))
    if (!Number.isSafeInteger(value) || value < 0) throw invalid(name, "must be a whole number, 0 or more");
}

type Place = { readonly tenant_id: string; readonly key: string };

/** Tenant and workload behind which a listing goes on; identifiers have no space. */
const writePlace = ({ tenant_id, key }: Place): string => Buffer.from(`${tenant_id} ${key}`).toString("base64url");

function readPlace(text: string): Place | undefined {
  const [tenant = "", key = "", ...rest] = Buffer.from(text, "base64url").toString().split(" ");
  return rest.length === 0 && isIdentifier(tenant) && isIdentifier(key) ? { tenant_id: tenant, key } : undefined;
}

/** Direction and place: a listing cannot be continued the other way round. */
const CURSOR = /^(asc|desc)-(\d{1,15})(?:-(\d{1,15})-([\w-]{1,400}))?$/;

const writeCursor = (order: EventQuery["order"], place: number | ListingPlace): string =>
  typeof place === "number"
    ? `${order}-${place}`
    : `${order}-${place.ms}-${place.sequence}-${Buffer.from(place.chain_id).toString("base64url")}`;

function readCursor(text: string): { order: EventQuery["order"]; after: number | ListingPlace } | undefined {
  const [, order, first, sequence, chain] = CURSOR.exec(text) ?? [];
  if (order !== "asc" && order !== "desc") return undefined;
  if (chain === undefined) return { order, after: Number(first) };
  const chain_id = Buffer.from(chain, "base64url").toString();
  const place = { ms: Number(first), chain_id, sequence: Number(sequence) };
  return chain_id.split("/").every(isIdentifier) ? { order, after: place } : undefined;
}
