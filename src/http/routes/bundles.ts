// Bundles for other nodes and for OPA: whole, by ETag, and held back until there is another where the caller asks to be kept waiting (OPA's bundle protocol).
import { provenTenant } from "../../core/caller.ts";
import { LONG_POLLING_TYPE } from "../../library/doors.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { HttpError } from "../call/problem.ts";
import { route, type Exchange, type Reply, type Route } from "../call/route.ts";
import { Turns } from "../call/turns.ts";

/** Whoever asks to be kept waiting longer is answered then, and asks again. */
const WAIT_S_MAX = 300;
const WAITING = { max: 256, tenantMax: 64 };

/** Callers that are kept waiting for news. */
class HeldPolls {
  readonly #turns = new Turns(WAITING, { code: "streams_exhausted", retryS: 10 });
  readonly #closing: AbortSignal;

  /** @param closing answers all of them. */
  constructor(closing: AbortSignal) {
    this.#closing = closing;
  }

  /** Resolves once `news` says that there is some, the time is over, or nobody waits any longer. */
  async wait(
    railgate: LocalRailgate,
    { caller, peer, res, provenUntilMs }: Exchange,
    ms: number,
    news: () => boolean,
  ): Promise<void> {
    if (this.#closing.aborted) return;
    using _ = this.#turns.take(provenTenant(caller), peer);
    const { promise, resolve } = Promise.withResolvers<void>();
    const over = setTimeout(resolve, Math.max(0, Math.min(ms, provenUntilMs - Date.now()))).unref();
    const end = railgate.onPolicyChange(() => news() && resolve());
    res.on("close", resolve);
    const close = () => resolve();
    this.#closing.addEventListener("abort", close, { once: true });
    try {
      await promise;
    } finally {
      clearTimeout(over);
      end();
      res.off("close", resolve);
      this.#closing.removeEventListener("abort", close);
    }
  }
}

/** @param closing aborts when the node closes. */
export function bundleRoutes(railgate: LocalRailgate, closing: AbortSignal): Route[] {
  const held = new HeldPolls(closing);
  return [
    route({
      method: "GET",
      path: "/v1/bundles/:name",
      tag: "Node",
      summary: "The bundle that decides, for other nodes and for OPA",
      description:
        "As it was signed. With `If-None-Match` (a list, too) it is 304 where the caller has it; with `Prefer: wait=<seconds>` beside it the answer is held back until there is another.",
      params: { name: "As under `bundles`; `railgate` where none is named there." },
      headers: {
        "If-None-Match": "Entity tags of bundles that the caller has.",
        Prefer: "`wait=<seconds>`: how long the answer may be held back.",
      },
      answers: {
        200: { description: "The bundle", content: { [LONG_POLLING_TYPE]: { type: "string", format: "binary" } } },
        304: { description: "The caller has it" },
      },
      problems: ["not_found", "streams_exhausted"],
      handle: (exchange) => bundleReply(railgate, held, exchange),
    }),
  ];
}

async function bundleReply(railgate: LocalRailgate, held: HeldPolls, exchange: Exchange): Promise<Reply> {
  const { req, params, caller } = exchange;
  const name = params["name"]!;
  const find = () => railgate.as(caller).bundle(name);
  const known = tagsIn(req.headers["if-none-match"]);
  const has = (digest: string | undefined) => digest !== undefined && (known.has(tagOf(digest)) || known.has("*"));
  let bundle = find();
  const waitMs = waitIn(req.headers["prefer"]) * 1000;
  if (waitMs > 0 && (bundle === undefined || has(bundle.digest))) {
    const before = bundle?.digest;
    await held.wait(railgate, exchange, waitMs, () => find()?.digest !== before);
    bundle = find();
  }
  if (bundle === undefined) throw new HttpError("not_found", `No bundle ${name.slice(0, 64)} is active here.`);
  const headers = { ETag: tagOf(bundle.digest), "Cache-Control": "no-cache" };
  if (has(bundle.digest)) return { status: 304, body: "", headers };
  return { status: 200, body: bundle.bytes, type: LONG_POLLING_TYPE, headers };
}

const tagOf = (digest: string): string => `"${digest}"`;

/** Weak comparison (RFC 9110 §13.1.2); OPA sends the header empty where it has none. */
const tagsIn = (header = ""): ReadonlySet<string> =>
  new Set(header.split(",").map((tag) => tag.trim().replace(/^W\//, "")));

/** RFC 7240 §4.3, between commas or, as OPA has it, semicolons. */
function waitIn(header: string | string[] | undefined): number {
  const seconds = /(?:^|[;,\s])wait=(\d{1,9})(?:$|[;,\s])/i.exec(String(header ?? ""))?.[1];
  return Math.min(Number(seconds ?? 0), WAIT_S_MAX);
}
