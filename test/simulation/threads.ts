// Threads of a simulated process: each runs the real module's work as an actor of its own, and what is said between takes its time.
import { EventEmitter } from "node:events";
import { basename } from "node:path";
import type { OwnPort } from "../../src/threads/threads.ts";
import { Actor, type World } from "./world.ts";

/** By the module's name, the work of a thread. */
export type ThreadMains = { readonly [module: string]: (port: OwnPort, data: never) => void };

const START_MS_MAX = 5;
/** How long a message is under way. */
const MESSAGE_MS_MAX = 2;

/** What is said in place of what a thread and its process say to each other: how a fault is put into what is to be tested. */
export type Tampering = (thread: string, toThread: boolean, message: unknown) => readonly unknown[];

const tampering = new WeakMap<World, Tampering>();

export const tamper = (world: World, with_: Tampering): unknown => tampering.set(world, with_);

/** In the place of `Worker`. */
export function threadClass(world: World, mains: ThreadMains) {
  return class SimulatedWorker extends EventEmitter {
    readonly #owner = world.current;
    readonly #thread: Actor;
    /** What the thread does with a message; what comes before it listens waits. */
    #told: ((message: unknown) => void) | undefined;
    #waiting: unknown[] = [];
    #last = { to: 0, from: 0 };

    constructor(url: URL, { workerData }: { workerData?: unknown } = {}) {
      super();
      const name = basename(url.pathname).replace(/\.[jt]s$/, "");
      const main = mains[name];
      if (!main) throw new Error(`no thread ${name} is simulated`);
      this.#thread = new Actor(`${this.#owner.name}:${name}`, this.#owner);
      const data = structuredClone(workerData) as never;
      const port = {
        postMessage: (message: unknown) => this.#deliver(message, false),
        on: (_event: string, told: (message: unknown) => void) => this.#listened(told),
        close: () => this.#ended(0),
      } as unknown as OwnPort;
      this.#last.to = world.nowMs + world.random.next() * START_MS_MAX;
      world.after(this.#last.to - world.nowMs, this.#thread, () => main(port, data));
      simulatedThreads(this.#owner).push({ name, die: () => this.#ended(1) });
    }

    postMessage(message: unknown): void {
      this.#deliver(message, true);
    }

    ref(): void {}

    unref(): void {}

    terminate(): Promise<number> {
      this.#thread.end();
      return Promise.resolve(0);
    }

    #listened(told: (message: unknown) => void): void {
      this.#told = told;
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const message of waiting) world.after(0, this.#thread, () => told(message));
    }

    #deliver(message: unknown, toThread: boolean): void {
      const from = toThread ? this.#owner : this.#thread;
      if (!from.alive) return;
      const said = tampering.get(world)?.(this.#thread.name, toThread, message) ?? [message];
      for (const each of said) this.#send(structuredClone(each), toThread);
    }

    #send(copy: unknown, toThread: boolean): void {
      const way = toThread ? "to" : "from";
      // In order, as ports have it.
      this.#last[way] = Math.max(this.#last[way], world.nowMs + world.random.next() * MESSAGE_MS_MAX);
      world.after(this.#last[way] - world.nowMs, toThread ? this.#thread : this.#owner, () => {
        if (!toThread) this.emit("message", copy);
        else if (this.#told) this.#told(copy);
        else this.#waiting.push(copy);
      });
    }

    #ended(code: number): void {
      if (!this.#thread.alive) return;
      this.#thread.end();
      if (code !== 0) world.met.add("thread dies");
      world.tell(`the thread ${this.#thread.name} ended with ${code}`);
      world.after(Math.max(0, this.#last.from - world.nowMs), this.#owner, () => this.emit("exit", code));
    }
  };
}

interface RunningThread {
  readonly name: string;
  readonly die: () => void;
}

const running = new WeakMap<Actor, RunningThread[]>();

/** Threads that a process has started, the ended ones too. */
export function simulatedThreads(of: Actor): RunningThread[] {
  const known = running.get(of) ?? [];
  running.set(of, known);
  return known;
}
