// A session of a real server, kept from schedule to schedule: what a simulated connection asks is asked of it at once, and its answer is kept until it is due.
import { Socket } from "node:net";
import { message, messagesIn, startup, type Message } from "./wire.ts";

/** As it is outside of any simulation. */
const RealSocket = Socket;

/** What has an answer of its own, which ends with "ready for query". */
const ANSWERED = new Set(["Q", "S"]);

export class Backend {
  /** The process that serves it. */
  pid = 0;
  /** What the server says first. */
  greeting: Buffer = Buffer.alloc(0);
  /** Was found waiting for a lock the last time, too. */
  waits = false;
  /** As it said last: idle, in a transaction, in one that failed. */
  status: "I" | "T" | "E" = "I";
  readonly #socket = new RealSocket();
  #rest: Buffer = Buffer.alloc(0);
  #said: Buffer[] = [];
  #open = 1;
  #changed: () => void;

  /** @param changed told whenever it has answered. */
  constructor(path: string, user: string, database: string, changed: () => void) {
    this.#changed = changed;
    this.#socket.on("data", (bytes: Buffer) => this.#take(bytes));
    this.#socket.connect(path);
    this.#socket.write(startup({ user, database }));
  }

  /** There is something that it has not answered. */
  get busy(): boolean {
    return this.#open > 0;
  }

  ask(messages: readonly Message[]): void {
    this.#open += messages.filter(({ type }) => ANSWERED.has(type)).length;
    this.waits = false;
    this.#socket.write(Buffer.concat(messages.map(({ bytes }) => bytes)));
  }

  run(...statements: readonly string[]): void {
    this.ask(statements.map((sql) => ({ type: "Q", bytes: message("Q", sql) })));
  }

  /** What it has said since this was asked last. */
  said(): Buffer {
    const said = Buffer.concat(this.#said);
    this.#said = [];
    return said;
  }

  end(): void {
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    const { messages, rest } = messagesIn(Buffer.concat([this.#rest, bytes]));
    this.#rest = rest;
    for (const each of messages) {
      this.#said.push(each.bytes);
      if (each.type === "K") this.pid = each.bytes.readUInt32BE(5);
      if (each.type !== "Z") continue;
      this.#open--;
      this.status = String.fromCharCode(each.bytes[5]!) as Backend["status"];
      if (this.greeting.length === 0) this.greeting = this.said();
    }
    if (!this.busy) this.#changed();
  }
}
