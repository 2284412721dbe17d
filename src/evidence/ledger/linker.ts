// Linking: each group of a batch gets its place at the ends of its streams, unless what it was decided on has moved (spec replicas §3).
import { EMPTY_STREAM, sealEvent, type Head } from "../../core/event.ts";
import { stateName, type StateKind, type StateRead, type StateWrite, type StoreWriter } from "../../store/store.ts";
import { openAppend, type Entry } from "./entry.ts";
import type { Group, LinkedAppend } from "./messages.ts";

export interface LinkerParts {
  readonly nodeId: string;
  /** Where all streams end, as committed. */
  readonly heads: () => Promise<Map<string, Head>> | Map<string, Head>;
  /** A UUID, version 7. */
  readonly newId: () => string;
}

/** A group in its place; undefined: what it was decided on has moved. */
export type LinkedGroup = readonly LinkedAppend[] | undefined;

/** Groups in their order, and which state it was that had moved, by `stateName`. */
export interface Linked {
  readonly groups: readonly LinkedGroup[];
  readonly moved: readonly string[];
}

/** Versions that are remembered of a kind; any other is read from the store. */
const VERSIONS_KEPT_MAX = 50_000;

/** Whether only the store knows which version any of it will have. */
export const countsByItself = (states: readonly StateWrite[]): boolean =>
  states.some(({ value, version }) => value !== null && version === undefined);

export class Linker {
  readonly #parts: LinkerParts;
  /** Ends of all streams, those of events not yet durable included. Undefined: to be read from the store. */
  #heads: Map<string, Head> | undefined;
  /** Of pieces of state, by kind and name, changes that are not yet durable included. */
  readonly #versions = new Map<StateKind, Map<string, number>>();
  /** By origin: how many of its groups have moved. */
  readonly #moved = new Map<number, number>();

  constructor(parts: LinkerParts) {
    this.#parts = parts;
  }

  /**
   * Links what has not moved, in order, each group on what those before it changed. The events become what they are linked as.
   * @param durable whether all that was linked before is. Otherwise none of it may be state that counts by itself.
   * @throws Error the store cannot be read; nothing was linked.
   */
  async link(groups: readonly Group[], store: StoreWriter, durable: boolean): Promise<Linked> {
    const heads = (this.#heads ??= await this.#parts.heads());
    await this.#learn(groups, store, durable);
    const moved = new Set<string>();
    const linkedGroups = groups.map((group) => {
      if (this.#hasMoved(group, moved)) {
        this.#moved.set(group.origin, (this.#moved.get(group.origin) ?? 0) + 1);
        return undefined;
      }
      const linked = this.#eventsOf(group, heads).map((event, i): LinkedAppend => {
        const { text, head } = sealEvent(event, heads.get(event.chain_id) ?? EMPTY_STREAM);
        heads.set(event.chain_id, head);
        const reads = i === 0 ? group.reads : undefined;
        return Object.assign(event, { sequence: head.size - 1, event_hash: head.hash!, text, reads });
      });
      for (const { states } of linked) this.wrote(states);
      return linked;
    });
    return { groups: linkedGroups, moved: [...moved] };
  }

  /** State was written, or is about to be. */
  wrote(states: readonly StateWrite[]): void {
    for (const state of states) {
      const name = stateName(state);
      const versions = this.#of(state.kind);
      versions.delete(name);
      // What is absent has version 0; of what counts by itself the store knows the version.
      if (state.value === null) versions.set(name, 0);
      else if (state.version !== undefined) versions.set(name, state.version);
    }
  }

  /** Of these kinds some were deleted, which is durable; all of them are read again. */
  forget(kinds: readonly StateKind[]): void {
    for (const kind of kinds) this.#versions.delete(kind);
  }

  /** What was linked may never be durable: everything is read again. Whoever decided must know of it. */
  reset(): void {
    this.#heads = undefined;
    this.#versions.clear();
    this.#moved.clear();
  }

  /** @param moved what of its basis has is added to it. */
  #hasMoved({ reads, origin, generation, stacked }: Group, moved: Set<string>): boolean {
    if (stacked && generation < (this.#moved.get(origin) ?? 0)) return true;
    const read = reads.find(({ version, ...at }) => this.#of(at.kind).get(stateName(at)) !== version);
    if (read !== undefined) moved.add(stateName(read));
    return read !== undefined;
  }

  #eventsOf({ events, everywhere }: Group, heads: ReadonlyMap<string, Head>): Group["events"] {
    if (!everywhere) return events;
    const { nodeId } = this.#parts;
    const chains = [...heads].filter(([chain, { size }]) => size > 0 && chain.endsWith(`/${nodeId}`));
    return chains.map(([chain], i) => {
      const tenant_id = chain.slice(0, -nodeId.length - 1);
      return openAppend(this.#copy(everywhere, tenant_id, i === chains.length - 1), nodeId);
    });
  }

  /** What changes with it changes with the last, which has its id. */
  #copy(entry: Entry, tenant_id: string, last: boolean): Entry {
    const { newId } = this.#parts;
    const { draft } = entry;
    if (last) return { ...entry, draft: { ...draft, tenant_id } };
    const copied = { ...draft, tenant_id, id: newId(), correlation_id: newId() };
    return { ...entry, draft: copied, states: [], keys: undefined, signNextWith: undefined };
  }

  /** Reads versions that are not known. */
  async #learn(groups: readonly Group[], store: StoreWriter, durable: boolean): Promise<void> {
    // What others may change meanwhile is only known while it is locked.
    if (store.shared) this.#versions.clear();
    else if (durable) this.#trim();
    const unknown = new Map<string, StateRead>();
    for (const { reads } of groups)
      for (const read of reads) {
        const name = stateName(read);
        if (!this.#of(read.kind).has(name)) unknown.set(name, read);
      }
    if (unknown.size === 0) return;
    const versions = await store.versions([...unknown.values()]);
    [...unknown].forEach(([name, { kind }], i) => this.#of(kind).set(name, versions[i]!));
  }

  #of(kind: StateKind): Map<string, number> {
    let versions = this.#versions.get(kind);
    if (versions === undefined) this.#versions.set(kind, (versions = new Map()));
    return versions;
  }

  /** What is forgotten must be durable. */
  #trim(): void {
    for (const versions of this.#versions.values())
      for (const name of versions.keys()) {
        if (versions.size <= VERSIONS_KEPT_MAX) break;
        versions.delete(name);
      }
  }
}
