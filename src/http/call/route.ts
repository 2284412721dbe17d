// What a route is: where it is, what it answers, and how the API's description tells it. Everything else follows from this.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TSchema } from "typebox";
import type { Caller } from "../../core/caller.ts";
import type { HTTP_STATUSES } from "../../core/catalogue.ts";
import type { Trace } from "../../library/doors.ts";
import type { Peer } from "./peer.ts";
import type { ProblemCode } from "./problems.ts";
import type { Parameters, Query } from "./query.ts";

/** One call, as a handler sees it. */
export interface Exchange<P extends Parameters = Parameters> {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly peer: Peer;
  readonly caller: Caller;
  /** How long the caller's proof of who it is holds, in milliseconds since the epoch. */
  readonly provenUntilMs: number;
  readonly trace: Trace;
  /** Made here, or the caller's own. */
  readonly requestId: string;
  /** Parts of the path, percent-decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query<P>;
  /** Added to the call's line in the log. */
  notes: object | undefined;
}

export interface Reply {
  readonly status: number;
  readonly body: string | Uint8Array | Stream;
  /** Default: application/json. */
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A body that is made while it is sent. */
export interface Stream {
  /** Its parts, until it ends or is `ended`: nobody is left to read it, or may any longer. A part is asked for when the one before is sent. */
  readonly parts: (ended: AbortSignal) => AsyncIterable<string | Uint8Array>;
  /** It has no end of its own. */
  readonly lasting?: boolean;
  /** Called once, whichever way it ended, and even if it never began. */
  readonly over?: () => void;
}

export type Handler<P extends Parameters = Parameters> = (exchange: Exchange<P>) => Reply | Promise<Reply>;

/** What a call is answered with that went wrong. */
export type Presenter = (error: unknown, requestId: string) => Reply;

/** One answer in the API's description. */
export interface Answer {
  readonly description: string;
  /** Content type → JSON Schema, or the name of a component. */
  readonly content?: Readonly<Record<string, string | object>>;
}

/** Codes of the law's refusals. */
export type Refusals = readonly (keyof typeof HTTP_STATUSES)[];

export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** As express has it: `/v1/workloads/:id`. */
  readonly path: string;
  readonly handle: Handler;
  /** How its failures are told; default: as problem details. */
  readonly present?: Presenter;
  /** For those who have not proved who they are, too. */
  readonly open?: boolean;
  /** Asked so often by machines that a good answer is worth no line in the log. */
  readonly quiet?: boolean;
  /** What may stand in the query; undefined: anything may, and is ignored. */
  readonly query?: Parameters;
  readonly summary: string;
  readonly description?: string;
  readonly tag: string;
  /** The body: the name of a JSON body's component, or content types with schemas. */
  readonly body?: string | Readonly<Record<string, object>>;
  /** It may be left out, and then says nothing. */
  readonly isBodyOptional?: boolean;
  /** Parts of the path, with what they are. */
  readonly params?: Readonly<Record<string, string>>;
  /** By status. */
  readonly answers: Readonly<Record<number, Answer>>;
  /** Its failures by status, where they are no problem details (see `present`). */
  readonly failures?: Readonly<Record<number, Answer>>;
  /** Problems of its own, beside those that any route answers. */
  readonly problems?: readonly ProblemCode[];
  /** What the law may refuse, with evidence. */
  readonly refusals?: Refusals;
  /** Headers that it heeds, with what they are for. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Shapes that only this part of the interface has, by the name of their component. */
  readonly shapes?: Readonly<Record<string, TSchema>>;
}

/** A route whose handler knows its query's types. */
export function route<P extends Parameters>(
  given: Omit<Route, "handle" | "query"> & { query?: P; handle: Handler<P> },
): Route {
  return given as unknown as Route;
}

export const json = (value: unknown, status = 200): Reply => ({ status, body: JSON.stringify(value) });
