// A simulated network between nodes: requests take their time, overtake each other, arrive twice, or are cut, before they arrive or after.
import { problemOf } from "../../src/http/call/problem.ts";
import type { Encoding } from "../../src/evidence/upstream/messages.ts";
import type { Intake } from "../../src/evidence/upstream/intake.ts";
import { ServiceError, type ServiceAnswer, type ServiceRequest } from "../../src/outbound/service.ts";
import type { Actor, World } from "./world.ts";

/** How bad it is; each a probability, or milliseconds. */
export interface Weather {
  /** The request is lost on its way, and its sender hears so. */
  cut: number;
  /** It arrives, and its answer is lost. */
  halfDone: number;
  /** It arrives a second time, later. */
  twice: number;
  delayMsMax: number;
}

export const CALM: Weather = { cut: 0, halfDone: 0, twice: 0, delayMsMax: 5 };

/** What takes requests: a node that is up. */
export interface Host {
  readonly actor: Actor;
  readonly intake: Intake;
}

/** May answer in place of a node: how a fault is put into what is to be tested. */
export type Impostor = (to: string, asked: ServiceRequest) => ServiceAnswer | undefined;

const BODY_BYTES_MAX = 32 * 1024 * 1024;
const encoder = new TextEncoder();

export class Network {
  weather: Weather = { ...CALM };
  impostor: Impostor = () => undefined;
  readonly #world: World;
  readonly #hosts = new Map<string, Host>();
  /** Between which nodes nothing passes, in whichever direction. */
  readonly #cut = new Set<string>();

  constructor(world: World) {
    this.#world = world;
  }

  /** A node is up from now on, until its actor ends. */
  up(name: string, host: Host): void {
    this.#hosts.set(name, host);
  }

  cut(one: string, other: string): void {
    this.#cut.add(wayOf(one, other));
  }

  heal(): void {
    this.#cut.clear();
    this.weather = { ...CALM };
  }

  /** As a node asks the one above it. */
  service(from: string, to: string) {
    return { request: (asked: ServiceRequest) => this.#request(from, to, asked), close: () => {} };
  }

  #request(from: string, to: string, asked: ServiceRequest): Promise<ServiceAnswer> {
    const world = this.#world;
    const asking = world.current;
    return new Promise((resolve, reject) => {
      let open = true;
      const settle = (delayMs: number, then: () => void) =>
        world.after(delayMs, asking, () => {
          if (open) then();
          open = false;
        });
      const fail = (delayMs: number, why: string) =>
        settle(delayMs, () => reject(new ServiceError(`service upstream ${why}`)));
      asked.signal?.addEventListener("abort", () => fail(0, "was not waited for"));
      fail(asked.msMax ?? 60_000, "did not answer in time");
      const { cut, halfDone, twice } = this.weather;
      const lost = this.#cut.has(wayOf(from, to)) || world.random.chance(cut);
      const halfLost = world.random.chance(halfDone);
      if (lost) {
        world.met.add("request lost");
        return void fail(this.#delay(), "cannot be reached");
      }
      const answered = (answer: ServiceAnswer): void => {
        if (halfLost || this.#cut.has(wayOf(from, to))) {
          world.met.add("answer lost");
          fail(this.#delay(), "ended before it had answered");
        } else settle(this.#delay(), () => resolve(answer));
      };
      const gone = (): unknown => fail(this.#delay(), "reset the connection");
      world.after(this.#delay(), asking, () => asked.sent?.());
      this.#arrive(to, asked, answered, gone);
      if (!world.random.chance(twice)) return;
      world.met.add("request arrives twice");
      this.#arrive(
        to,
        asked,
        () => {},
        () => {},
        20,
      );
    });
  }

  #arrive(
    to: string,
    asked: ServiceRequest,
    answered: (answer: ServiceAnswer) => void,
    gone: () => unknown,
    laterFactor = 1,
  ): void {
    const host = this.#hosts.get(to);
    if (!host?.actor.alive) {
      this.#world.met.add("nobody there");
      return void gone();
    }
    host.actor.atEnd(gone);
    this.#world.after(this.#delay() * laterFactor, host.actor, () => {
      const instead = this.impostor(to, asked);
      void (instead ? Promise.resolve(instead) : answerOf(host, asked)).then((answer) => {
        if (host.actor.alive) answered(answer);
      });
    });
  }

  #delay(): number {
    return this.#world.random.next() * this.weather.delayMsMax;
  }
}

const wayOf = (one: string, other: string): string => [one, other].sort().join(" — ");

/** As the door for records has it. */
async function answerOf({ intake }: Host, { path, headers, body }: ServiceRequest): Promise<ServiceAnswer> {
  const chainId = decodeURIComponent(path.split("/")[3]!);
  const encoding = headers?.["Content-Encoding"] as Encoding;
  try {
    const offer = { chainId, bytes: body!, encoding, bytesMax: BODY_BYTES_MAX, sender: null, firstUse: true };
    return { status: 200, headers: {}, bytes: encoder.encode(JSON.stringify(await intake.take(offer))) };
  } catch (error) {
    const { problem } = problemOf(error, "simulated");
    return { status: problem.status, headers: {}, bytes: encoder.encode(JSON.stringify(problem)) };
  }
}
