// Faults that are put into what is tested, to see that the simulation finds them: each changes what the disk does, or what threads and nodes say to each other.
import { zstdDecompressSync } from "node:zlib";
import type { Simulation } from "./simulation.ts";
import { tamper } from "./threads.ts";

export interface Mutant {
  readonly name: string;
  /** In which it must be found, from this seed on; default: the first. */
  readonly scenario: string;
  readonly from?: number;
  readonly prepare: (simulation: Simulation) => void;
}

/** @param changes what stands in statements to the database, and what is asked in its place. */
const inSql =
  (...changes: readonly (readonly [from: string, to: string])[]): Mutant["prepare"] =>
  ({ database }) => {
    database!.rewrite = (sql) => changes.reduce((changed, [from, to]) => changed.replace(from, to), sql);
  };

type Message = { readonly [member: string]: any };

/** @param change of what a node and one of its threads say to each other. @returns what is said in its place. */
const inThreads =
  (change: (thread: string, toThread: boolean, message: Message) => Message[] | undefined): Mutant["prepare"] =>
  ({ world }) =>
    tamper(world, (thread, toThread, message) => change(thread, toThread, message as Message) ?? [message]);

/** What the thread that checks records has to say of them. */
const inVerdicts = (change: (verdict: Message, size: number) => Message | undefined): Mutant["prepare"] =>
  inThreads((thread, toThread, { job, answer }) => {
    if (toThread || !thread.endsWith(":intake-worker") || !answer?.verdict) return undefined;
    const verdict = change(answer.verdict, answer.size);
    return verdict && [{ job, answer: { ...answer, verdict } }];
  });

const taken = (nextSequence: number) => ({ kind: "taken", parcels: [], accepted: 0, nextSequence });

/** What is to be committed. */
const inGroups = (change: (group: Message) => Message): Mutant["prepare"] =>
  inThreads((_thread, toThread, message) => {
    if (!toThread || message["kind"] !== "commit") return undefined;
    return [{ ...message, groups: message["groups"].map(change) }];
  });

/** The same event once more, under another id. */
function again(event: Message): Message {
  const id = `${event["id"].slice(0, -4)}ffff`;
  return { ...event, id, parts: event["parts"].map((part: string) => part.replaceAll(event["id"], id)) };
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: "answers before it has synced",
    scenario: "one-node",
    from: 20,
    prepare: (simulation) => void (simulation.everyDisk = { lies: true }),
  },
  {
    name: "does not check the epoch of a batch",
    scenario: "one-node",
    from: 10,
    prepare: inThreads((_thread, toThread, message) =>
      toThread && message["kind"] === "commit" ? [{ ...message, epoch: Number.MAX_SAFE_INTEGER }] : undefined,
    ),
  },
  {
    name: "does not compare versions",
    scenario: "sides",
    from: 2,
    prepare: inGroups((group) => ({
      ...group,
      reads: [],
      events: group["events"].map((event: Message) => ({
        ...event,
        states: event["states"].map(({ version: _, ...state }: Message) => state),
      })),
    })),
  },
  {
    name: "reconciles twice",
    scenario: "edges-and-hub",
    prepare: inGroups((group) => ({
      ...group,
      events: group["events"].flatMap((event: Message) =>
        event["event_type"] === "chain.reconciliation" ? [event, again(event)] : [event],
      ),
    })),
  },
  {
    name: "accepts a gap",
    scenario: "restored-hub",
    prepare: inVerdicts((verdict, size) => (verdict["code"] === "record_gap" ? taken(size + 1) : undefined)),
  },
  {
    name: "overlooks a second history",
    scenario: "copied",
    prepare: inVerdicts((verdict, size) => (verdict["kind"] === "equivocation" ? taken(size) : undefined)),
  },
  {
    name: "acknowledges records that it does not keep",
    scenario: "edges-and-hub",
    from: 23,
    prepare: ({ network, random }) => {
      network.impostor = (to, { body }) => {
        const { from_sequence, records } = JSON.parse(Buffer.from(zstdDecompressSync(body!)).toString());
        if (records.length === 0 || random.chance(0.8)) return undefined;
        const next_sequence = from_sequence + records.length;
        const said = { node_id: to, next_sequence, accepted: records.length };
        return { status: 200, headers: {}, bytes: Buffer.from(JSON.stringify(said)) };
      };
    },
  },
];

/** Of nodes that share a database. */
export const SHARED_MUTANTS: readonly Mutant[] = [
  {
    name: "does not ask for its epoch",
    scenario: "twins",
    from: 16,
    prepare: inSql(["AND epoch = $2 RETURNING epoch", "AND $2::bigint > 0 RETURNING epoch"]),
  },
  {
    name: "looks a commit up without making it impossible",
    scenario: "replicas",
    from: 17,
    prepare: ({ database }) => {
      const find = "SELECT epoch FROM nodes WHERE node_id = $1 AND token = $2";
      database!.rewrite = (sql) => (/SET epoch = epoch \+ 1.*token = \$2 RETURNING epoch/s.test(sql) ? find : sql);
    },
  },
  {
    name: "takes a commit whose end nobody saw for one that was not made",
    scenario: "replicas",
    from: 1,
    prepare: inSql([
      "SELECT position FROM events WHERE id = $1",
      "SELECT position FROM events WHERE id = $1 AND false",
    ]),
  },
  {
    name: "neither locks what it compares nor compares what it writes",
    scenario: "replicas",
    from: 9,
    prepare: inSql(
      ["DO UPDATE SET version = states.version WHERE false", "DO NOTHING"],
      ["WHERE states.version < excluded.version", ""],
    ),
  },
  {
    name: "takes a node id that is held",
    scenario: "twins",
    prepare: inSql(["expires_at > clock_timestamp() AS live", "false AS live"]),
  },
  {
    name: "follows past places that are open",
    scenario: "replicas",
    from: 17,
    prepare: inSql(["(SELECT coalesce(min(first)", "(SELECT coalesce(min(NULL::bigint)"]),
  },
  {
    name: "forgets with a thread what that thread has told",
    scenario: "promoted-at-once",
    from: 6,
    prepare: inThreads((_thread, toThread, message) =>
      !toThread && message["kind"] === "committed" ? [{ ...message, heads: [] }] : undefined,
    ),
  },
  {
    name: "commits at places that were closed",
    scenario: "replicas",
    from: 23,
    prepare: inSql([" AND first = $1::bigint RETURNING node_id", " AND $1::bigint > 0 RETURNING node_id"]),
  },
];
