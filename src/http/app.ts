// The application: every route mounted on express, and what is at no route.
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import express, { type RequestHandler } from "express";
import type { Door } from "./call/door.ts";
import { HttpError } from "./call/problem.ts";
import type { Route } from "./call/route.ts";

/** Where calls that found no route are counted: paths are the callers', and must not fill the metrics. */
const NOWHERE = { path: "unknown", method: "GET", tag: "", summary: "", answers: {} } as const;

/** What makes a path of express' a pattern. */
const PATTERN = /[:*{(]/;
/** One that only leaves its end open. */
const OPEN_END = /^([^:*{(]+\/)\*(\w+)$/;
/** Parts that are the same decoded. */
const PARTS = /^[\w.-]+(?:\/[\w.-]+)*$/;

/** Routes that are found without express, where it would come to the same. */
class Straight {
  readonly #plain = new Map<string, RequestListener>();
  readonly #open: { readonly begin: string; readonly name: string; readonly served: RequestListener }[] = [];
  #isOver = false;

  /** In order: behind the first with parameters within its path, express alone knows which comes first. */
  add({ method, path }: Route, served: RequestListener): void {
    const [, folder, name] = OPEN_END.exec(path) ?? [];
    this.#isOver ||= folder === undefined && PATTERN.test(path);
    const begin = `${method} ${folder ?? path}`;
    if (this.#isOver || this.#plain.has(begin) || this.#openOf(begin)) return;
    if (folder === undefined) this.#plain.set(begin, served);
    else this.#open.push({ begin, name: name!, served });
  }

  find(req: IncomingMessage & { params?: object }): RequestListener | undefined {
    const { method, url = "" } = req;
    const end = url.indexOf("?");
    const asked = `${method} ${end === -1 ? url : url.slice(0, end)}`;
    const plain = this.#plain.get(asked);
    if (plain) return plain;
    const open = this.#openOf(asked);
    const rest = open && asked.slice(open.begin.length);
    if (rest === undefined || !PARTS.test(rest)) return undefined;
    req.params = { [open!.name]: rest.split("/") };
    return open!.served;
  }

  #openOf(asked: string) {
    return this.#open.find(({ begin }) => asked.startsWith(begin));
  }
}

/**
 * Routes in the order given: the busiest first. Those before the first whose path has parameters within are found by their path as it
 * stands, which is the route that express would come to, at a twentieth of what the deciding thread has to do.
 * @param elsewhere answers all that has no route here; default: it is not found.
 */
export function makeApp(door: Door, routes: readonly Route[], elsewhere?: RequestListener): RequestListener {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.set("query parser", false);
  app.enable("strict routing");
  app.enable("case sensitive routing");
  const straight = new Straight();
  for (const route of routes) {
    const served = door.serve(route);
    app[verbOf(route)](route.path, served as RequestHandler);
    straight.add(route, served);
  }
  const listener: RequestListener = (req, res) => {
    // Behind the last answer on its connection nothing can be answered.
    if (req.socket.writableEnded) return void req.socket.destroy();
    (straight.find(req) ?? (app as RequestListener))(req, res);
  };
  if (elsewhere) {
    app.use(elsewhere as RequestHandler);
    app.use((_: unknown, req: IncomingMessage, res: ServerResponse, _next: unknown) => elsewhere(req, res));
    return listener;
  }
  for (const [path, group] of Map.groupBy(routes, (route) => route.path))
    app.all(path, door.serve(otherMethod(path, group)) as RequestHandler);
  app.use(door.serve(fails(() => new HttpError("not_found", "GET /docs lists what there is."))) as RequestHandler);
  // Only a path that cannot be decoded comes here: routes answer for themselves.
  app.use((_: unknown, req: IncomingMessage, res: ServerResponse, _next: unknown) => {
    door.serve(fails(() => new HttpError("request_malformed", "The path is not properly percent-encoded.")))(req, res);
  });
  return listener;
}

const verbOf = ({ method }: Route) => method.toLowerCase() as "get" | "post" | "put" | "patch" | "delete";

function otherMethod(path: string, group: readonly Route[]): Route {
  const methods = group.flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  const Allow = [...methods, "OPTIONS"].join(", ");
  return {
    ...NOWHERE,
    path,
    open: group.every(({ open }) => open),
    handle: ({ req }) => {
      if (req.method === "OPTIONS") return { status: 204, body: "", headers: { Allow } };
      throw new HttpError("method_not_allowed", `It takes ${Allow}.`, { Allow });
    },
  };
}

function fails(error: () => HttpError): Route {
  return {
    ...NOWHERE,
    handle: () => {
      throw error();
    },
  };
}
