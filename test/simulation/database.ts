// A simulated way to a database: connections take their time and break, sessions time out by the simulated clock, and what they ask is asked of a real server, one thing at a time.
import { EventEmitter } from "node:events";
import type { Backend } from "./backend.ts";
import type { Server } from "./server.ts";
import { fatal, messagesIn, settingsIn, sqlIn, statementIn, withSql, type Message } from "./wire.ts";
import type { Actor, World } from "./world.ts";

/** As they are outside of any simulation. */
const realDelay = setTimeout;
const realNow = performance.now.bind(performance);

/** What becomes of a commit: it is lost with its connection; it is done, and the answer is lost; the connection breaks, and it arrives later; what it appends arrives later. */
export type CommitFault = "lost" | "done" | "late" | "held";

/** Longer than a place in the order of all streams is left open, and short of the end of a transaction that nobody goes on with. */
export const HELD_MS = [2500, 5000] as const;

/** Between a node and the database. */
export interface Way {
  /** Whether anything passes; where it is silent, nobody hears that nothing does. */
  state: "open" | "cut" | "silent";
  delayMsMax: number;
  /** Of the next commits. */
  commits: CommitFault[];
  /** The probability that a connection breaks with what is sent over it. */
  breaks: number;
}

const LATE_MS_MAX = 9000;
/** Before whoever follows closes its place. */
const SOON_MS_MAX = 700;
const STUCK_MS_MAX = 60_000;
const LOOKED_MS = 2;

export class Database {
  /** What is asked in place of a statement: how a fault is put into what is to be tested. */
  rewrite: (sql: string) => string = (sql) => sql;
  /** Of nodes, by the names of their sites. */
  readonly nodeIds = new Map<string, string>();
  /** What did not hold, in words. */
  readonly broken: string[] = [];
  readonly #server: Server;
  readonly #world: World;
  /** By node id, the session that took it last. */
  readonly #holders = new Map<string, Session>();
  readonly #ways = new Map<string, Way>();
  readonly #sessions = new Set<Session>();
  /** What was not carried, by the way on which it waits. */
  readonly #held = new Map<string, (() => void)[]>();
  #asked: { readonly session: Session; readonly messages: readonly Message[] }[] = [];
  /** What is done to the server as a whole. */
  #work: (() => Promise<void>)[] = [];
  #up = true;

  constructor(server: Server, world: World) {
    this.#server = server;
    this.#world = world;
    world.settle = () => this.#settle();
  }

  way(of: string): Way {
    const known = this.#ways.get(of) ?? { state: "open", delayMsMax: 2, commits: [], breaks: 0 };
    this.#ways.set(of, known);
    return known;
  }

  /** All connections of a node break. @param heard whether the server hears of it. */
  cut(of: string, heard: boolean): void {
    for (const session of this.#sessions) if (session.socket.from === of) this.#breaks(session, heard);
  }

  #breaks(session: Session, heard: boolean): void {
    this.#world.met.add("connection breaks");
    session.breaks(heard);
  }

  /** For some time, nothing passes between a node and the database. */
  leads(of: string, state: "cut" | "silent", forMs: number): void {
    this.way(of).state = state;
    if (state === "cut") this.cut(of, true);
    this.#world.after(forMs, this.#world.root, () => this.#opens(of));
  }

  /** No way is out of order any more. */
  heal(): void {
    for (const [of, way] of this.#ways) {
      Object.assign(way, { commits: [], breaks: 0, delayMsMax: 2 });
      this.#opens(of);
    }
  }

  #opens(of: string): void {
    this.way(of).state = "open";
    const held = this.#held.get(of) ?? [];
    this.#held.delete(of);
    for (const carry of held) carry();
  }

  /** The server ends all sessions, and takes none for some time. @param meanwhile what becomes of what it holds. */
  fails(forMs: number, meanwhile?: () => Promise<void>): void {
    this.#up = false;
    this.#world.met.add("server fails");
    for (const session of this.#sessions) session.breaks(true);
    if (meanwhile) this.#work.push(meanwhile);
    this.#world.after(forMs, this.#world.root, () => (this.#up = true));
  }

  /** From now on a standby lacks what is recorded. */
  standbyStops(): void {
    this.#work.push(() => this.#server.keep("standby"));
  }

  /** It takes the place of the server. @returns once it has: streams that lack what was recorded. */
  standbyTakesOver(forMs: number): Promise<readonly string[]> {
    return new Promise((resolve) => {
      this.fails(forMs, async () => {
        const before = await this.#server.sizes();
        await this.#server.putBack("standby");
        const after = await this.#server.sizes();
        resolve([...before].flatMap(([chain, size]) => ((after.get(chain) ?? 0) < size ? [chain] : [])));
      });
    });
  }

  /** Nobody is connected any more. */
  async end(): Promise<void> {
    for (const session of this.#sessions) session.breaks(true);
    await this.#settle();
    while (this.#sessions.size > 0) {
      for (const session of this.#sessions) await this.#cancel(session);
      await this.#settle();
    }
  }

  /** In the place of `net.Socket`. */
  socketClass() {
    const database = this;
    return class extends SimulatedSocket {
      constructor() {
        super(database.#world);
      }

      connect(): this {
        database.#connect(this);
        return this;
      }
    };
  }

  #connect(socket: SimulatedSocket): void {
    const way = this.way(socket.from);
    if (way.state === "silent") return;
    if (way.state === "cut" || !this.#up) {
      this.#world.met.add("connection refused");
      return socket.fails("ECONNREFUSED");
    }
    this.#world.after(this.#delay(way), socket.owner, () => {
      const session = new Session(socket, this.#server.take());
      this.#sessions.add(session);
      socket.carry = (packet) => this.#carry(session, packet);
      socket.emit("connect");
    });
  }

  #delay({ delayMsMax }: Way): number {
    return this.#world.random.next() * delayMsMax;
  }

  /** Over one connection all arrives in order. */
  #carry(session: Session, packet: Packet): void {
    const way = this.way(session.socket.from);
    session.lastToMs = Math.max(session.lastToMs, this.#world.nowMs + this.#delay(way));
    this.#world.after(session.lastToMs - this.#world.nowMs, this.#world.root, () => {
      packet.left = true;
      this.#passing(way, session.socket.from, () => this.#arrives(session, way, Buffer.concat(packet.bytes)));
    });
  }

  #passing(way: Way, of: string, carry: () => void): void {
    if (way.state !== "silent") return carry();
    this.#world.met.add("nothing passes");
    const held = this.#held.get(of) ?? [];
    this.#held.set(of, held);
    held.push(carry);
  }

  #arrives(session: Session, way: Way, bytes: Buffer): void {
    if (session.gone) return;
    if (bytes.length === 0) return session.isGone();
    if (this.#world.random.chance(way.breaks)) return this.#breaks(session, this.#world.random.chance(0.5));
    const later = (ms: number): void => {
      this.#world.after(ms, this.#world.root, () => session.gone || this.#ask(session, bytes));
    };
    const fault = session.socket.destroyed ? undefined : this.#faultOf(session, way, bytes);
    if (fault === "held") return later(this.#world.random.within(...HELD_MS));
    if (fault === "lost") return session.breaks(true);
    if (fault === "done" || fault === "late") session.socket.fails("ECONNRESET");
    const { random } = this.#world;
    if (fault === "late") return later(random.below(random.chance(0.5) ? SOON_MS_MAX : LATE_MS_MAX));
    this.#ask(session, bytes);
  }

  #faultOf(session: Session, way: Way, bytes: Buffer): CommitFault | undefined {
    const [fault] = way.commits;
    const appends = session.wouldRecord(bytes);
    const meets = fault === "held" ? appends : (appends || session.records) && bytes.includes("COMMIT");
    if (fault === undefined || !meets) return undefined;
    this.#world.tell(`a commit of ${session.socket.from} is ${fault}`);
    this.#world.met.add(`commit ${fault}`);
    return way.commits.shift();
  }

  #ask(session: Session, bytes: Buffer): void {
    session.activity++;
    if (!session.started) {
      session.settings = settingsIn(bytes);
      session.backend.run("DISCARD ALL", settingsOf(session));
      this.#asked.push({ session, messages: [] });
      return;
    }
    const { messages } = messagesIn(bytes);
    if (messages.some(({ type }) => type === "X")) return session.isGone();
    this.#asked.push({ session, messages: messages.map((each) => this.#rewritten(session, each)) });
  }

  #rewritten(session: Session, message: Message): Message {
    const sql = sqlIn(message);
    session.asks(message, sql);
    if (sql === undefined) return message;
    const instead = this.rewrite(sql);
    return instead === sql ? message : { ...message, bytes: withSql(message, instead) };
  }

  /** Whatever was asked has its answer, or waits for somebody else to let go of a lock. */
  async #settle(): Promise<void> {
    while (this.#asked.length > 0 || this.#work.length > 0 || [...this.#sessions].some(({ restless }) => restless)) {
      const asked = this.#asked;
      this.#asked = [];
      if (asked.some(({ session }) => session.asksForTime) || [...this.#sessions].some(({ backend }) => backend.busy))
        await this.#server.setClock(this.#world.clockMs);
      for (const { session, messages } of asked) {
        session.asksForTime = false;
        if (messages.length > 0) session.backend.ask(messages);
      }
      await this.#quiet();
      for (const session of this.#sessions) this.#answer(session);
      if ([...this.#sessions].some(({ restless }) => restless)) continue;
      for (const work of this.#work.splice(0)) await work();
    }
  }

  async #quiet(): Promise<void> {
    const busy = () => [...this.#sessions].filter(({ backend }) => backend.busy);
    for (const untilMs = realNow() + STUCK_MS_MAX; ; ) {
      if (busy().some(({ backend }) => !backend.waits)) await this.#heard();
      const left = busy();
      if (left.length === 0) return;
      const waiting = await this.#server.waiting();
      const before = left.every(({ backend }) => backend.waits);
      for (const { backend } of left) backend.waits = waiting.has(backend.pid);
      const still = busy();
      if (still.length < left.length || !still.every(({ backend }) => backend.waits)) continue;
      if (before) return;
      // Whoever waits in a circle is told meanwhile.
      await this.#heard();
      if (realNow() > untilMs) throw new Error("the server does not answer");
    }
  }

  #heard(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clear(timer);
        resolve();
      };
      const timer = realDelay(done, LOOKED_MS);
      this.#server.onAnswer = done;
    });
  }

  #answer(session: Session): void {
    const { backend, socket } = session;
    if (backend.busy) return session.waitsForLock((ms) => this.#cancelled(session, ms));
    const said = backend.said();
    if (session.gone) {
      if (backend.status !== "I") return backend.run("ROLLBACK");
      this.#sessions.delete(session);
      return this.#server.giveBack(backend);
    }
    if (session.answered === session.activity) return;
    session.answered = session.activity;
    if (backend.status === "I") this.#ended(session, said.includes("COMMIT\0"));
    const bytes = session.started ? said : backend.greeting;
    session.started = true;
    if (bytes.length > 0) this.#tell(session, () => socket.emit("data", bytes));
    const idleMs = Number(session.settings.get("idle_in_transaction_session_timeout") ?? 0);
    if (backend.status !== "I" && idleMs > 0) this.#ends(session, idleMs);
  }

  /** A transaction has ended: only who moved the epoch on last may record under a node id (spec replicas §2). */
  #ended(session: Session, committed: boolean): void {
    const { records, takes } = session;
    Object.assign(session, { records: false, takes: false });
    if (!committed) return;
    const nodeId = this.nodeIds.get(session.socket.from)!;
    const before = this.#holders.get(nodeId)?.socket.from ?? session.socket.from;
    if (takes && before !== session.socket.from) this.#world.met.add("node id taken over");
    if (takes) this.#holders.set(nodeId, session);
    if (records && this.#holders.get(nodeId) !== session)
      this.broken.push(`${session.socket.from} has recorded under ${nodeId}, which was taken over`);
  }

  /** Says something to a client, as long as it listens. */
  #tell(session: Session, say: () => void): void {
    const { socket } = session;
    const way = this.way(socket.from);
    session.lastFromMs = Math.max(session.lastFromMs, this.#world.nowMs + this.#delay(way));
    this.#world.after(session.lastFromMs - this.#world.nowMs, this.#world.root, () =>
      this.#passing(way, socket.from, () =>
        this.#world.after(0, socket.owner, () => {
          if (!socket.destroyed) say();
        }),
      ),
    );
  }

  #ends(session: Session, afterMs: number): void {
    const { activity, socket } = session;
    this.#world.after(afterMs, this.#world.root, () => {
      if (session.activity !== activity || session.gone) return;
      this.#world.tell(`the server ends a session of ${socket.from} that is idle in its transaction`);
      this.#world.met.add("session idle for too long");
      const why = fatal("25P03", "terminating connection due to idle-in-transaction timeout");
      this.#tell(session, () => {
        socket.emit("data", why);
        socket.destroy();
      });
      session.isGone();
    });
  }

  #cancelled(session: Session, afterMs: number): void {
    const { activity, socket } = session;
    this.#world.after(afterMs, this.#world.root, () => {
      if (session.activity !== activity || !session.backend.busy) return;
      this.#world.tell(`the server gives up what ${socket.from} waits for`);
      this.#world.met.add("lock waited for for too long");
      this.#work.push(() => this.#cancel(session));
    });
  }

  async #cancel({ backend }: Session): Promise<void> {
    await this.#server.cancel(backend);
    backend.waits = false;
  }
}

const clear = clearTimeout;

/** Those whose time is simulated are not the server's. */
const TIMED = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];

function settingsOf({ settings }: Session): string {
  const path = `${settings.get("search_path") ?? '"$user"'}, sim, pg_catalog`;
  const others = [...settings].filter(([name]) => name !== "search_path" && !TIMED.includes(name));
  return [["search_path", path], ...others].map(([name, value]) => `SET ${name} = ${value}`).join("; ");
}

/** What is under way in one piece; more is added as long as it has not left. */
interface Packet {
  readonly bytes: Buffer[];
  readonly atMs: number;
  left: boolean;
}

/** The client's end of a connection, as much of it as `pg` asks for. */
abstract class SimulatedSocket extends EventEmitter {
  readonly owner: Actor;
  /** Whose it is. */
  readonly from: string;
  writable = true;
  destroyed = false;
  carry: (packet: Packet) => void = () => {};
  readonly #world: World;
  #packet: Packet | undefined;

  constructor(world: World) {
    super();
    this.#world = world;
    this.owner = world.current;
    this.from = world.current.process.name;
    for (const actor of new Set([this.owner, this.owner.process])) actor.atEnd(() => this.#orphaned());
  }

  // What is written at one moment goes out in one piece anyhow.
  cork = (): void => {};
  uncork = (): void => {};
  setNoDelay = (): this => this;
  setKeepAlive = (): this => this;
  ref = (): this => this;
  unref = (): this => this;

  write(bytes: Buffer, done?: () => void): boolean {
    if (!this.writable) return false;
    if (this.#packet && !this.#packet.left && this.#packet.atMs === this.#world.nowMs) this.#packet.bytes.push(bytes);
    else this.carry((this.#packet = { bytes: [bytes], atMs: this.#world.nowMs, left: false }));
    done?.();
    return true;
  }

  end(): void {
    this.destroy();
  }

  destroy(error?: Error): void {
    if (this.destroyed) return;
    this.#finish();
    this.#world.after(0, this.owner, () => {
      if (error) this.emit("error", error);
      this.emit("close");
    });
  }

  /** The connection broke. */
  fails(code: string): void {
    if (this.destroyed) return;
    this.writable = false;
    this.destroyed = true;
    this.#world.after(0, this.owner, () => {
      this.emit("error", Object.assign(new Error(`the connection broke (${code})`), { code }));
      this.emit("close");
    });
  }

  /** The system sends what was written, and says that nobody is there any more; a machine without power says nothing. */
  #orphaned(): void {
    const { process } = this.owner;
    if (process.alive || process.disk?.faults.crash !== "lost_power") this.#finish();
  }

  #finish(): void {
    if (this.destroyed) return;
    this.writable = false;
    this.destroyed = true;
    this.carry({ bytes: [], atMs: this.#world.nowMs, left: false });
  }
}

/** The server's end of it. */
class Session {
  readonly socket: SimulatedSocket;
  readonly backend: Backend;
  settings: ReadonlyMap<string, string> = new Map();
  started = false;
  /** Whether its transaction records events, or takes a node id; whether what was asked last needs the time. */
  records = false;
  takes = false;
  asksForTime = false;
  readonly #prepared = new Map<string, string>();
  /** Nobody is connected to it any more. */
  gone = false;
  /** Counts what was asked, and what was answered. */
  activity = 0;
  answered = 0;
  lastToMs = 0;
  lastFromMs = 0;
  #timed = 0;

  constructor(socket: SimulatedSocket, backend: Backend) {
    this.socket = socket;
    this.backend = backend;
  }

  /** Something is to be done about it before time goes on. */
  get restless(): boolean {
    if (this.backend.busy) return !this.backend.waits;
    return this.gone || this.answered !== this.activity;
  }

  /** Whether these messages append events. */
  wouldRecord(bytes: Buffer): boolean {
    if (!this.started) return false;
    return messagesIn(bytes).messages.some((message) => {
      const sql = message.type === "B" ? this.#prepared.get(statementIn(message)) : sqlIn(message);
      return sql?.includes("INTO events");
    });
  }

  /** @param text of it, where the message has it. */
  asks(message: Message, text: string | undefined): void {
    if (message.type === "P") return void this.#prepared.set(statementIn(message), text!);
    const sql = message.type === "B" ? this.#prepared.get(statementIn(message)) : text;
    if (sql === undefined) return;
    if (sql.includes("INTO events")) this.records = true;
    if (sql.includes("SET epoch = epoch + 1")) this.takes = true;
    this.asksForTime ||= /clock_timestamp|now\(\)/.test(sql);
  }

  isGone(): void {
    this.gone = true;
  }

  breaks(heard: boolean): void {
    this.socket.fails("ECONNRESET");
    if (heard) this.isGone();
  }

  /** @param cancel what waits, after so much time. */
  waitsForLock(cancel: (afterMs: number) => void): void {
    if (this.#timed === this.activity) return;
    this.#timed = this.activity;
    const most = ["lock_timeout", "statement_timeout"].map((name) => Number(this.settings.get(name) ?? 0));
    const ms = Math.min(...most.filter((each) => each > 0));
    if (Number.isFinite(ms)) cancel(ms);
  }
}
