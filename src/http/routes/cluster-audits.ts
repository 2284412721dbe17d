// `/v1/kubernetes/audits`: what runs in a cluster, handed over part by part by whoever lists it, and judged as one run on record.
import type { Caller } from "../../core/caller.ts";
import { actorOf } from "../../core/caller.ts";
import { NotFoundError } from "../../core/errors.ts";
import { parseStrict } from "../../core/json.ts";
import { parser } from "../../core/request.ts";
import {
  AuditBeginSchema,
  AuditBegunSchema,
  AuditedPartSchema,
  AuditPartSchema,
  AuditRunSchema,
} from "../../core/schema/audits.ts";
import { closed } from "../../core/schema/base.ts";
import type { ClusterAudit } from "../../library/doors.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { checkJsonType, readBytes } from "../call/body.ts";
import { json, route, type Route } from "../call/route.ts";

const PART_BYTES_MAX = 16 * 1024 * 1024;
/** Many objects are in one body, each with names of its own. */
const LIMITS = { bytesMax: PART_BYTES_MAX, depthMax: 256, namesMax: 1_000_000 };
/** Runs that are open at once; beyond them the one that rested longest is given up, and has no end. */
const OPEN_MAX = 8;

const parseBegin = parser(AuditBeginSchema);
const parsePart = parser(AuditPartSchema);
const parseEnd = parser(closed({}));

type Arriving = Parameters<typeof readBytes>[0];

async function readLarge(call: Arriving): Promise<unknown> {
  checkJsonType(call.req);
  const bytes = await readBytes(call, PART_BYTES_MAX);
  await call.peer.turn(bytes.length);
  return parseStrict(bytes, LIMITS);
}

/** Runs under way, the one that rested longest first; each is its caller's alone. */
class OpenRuns {
  readonly #runs = new Map<string, { readonly audit: ClusterAudit; readonly actor: string }>();

  add(audit: ClusterAudit, caller: Caller): void {
    this.#runs.set(audit.run, { audit, actor: actorOf(caller) });
    if (this.#runs.size > OPEN_MAX) this.#runs.delete([...this.#runs.keys()][0]!);
  }

  /** @throws NotFoundError `audit_unknown` */
  get(run: string, caller: Caller): ClusterAudit {
    const open = this.#runs.get(run);
    if (open === undefined || open.actor !== actorOf(caller))
      throw new NotFoundError("audit_unknown", `There is no audit ${run.slice(0, 100)} under way.`);
    this.#runs.delete(run);
    this.#runs.set(run, open);
    return open.audit;
  }

  end(run: string): void {
    this.#runs.delete(run);
  }
}

export function clusterAuditRoutes(railgate: LocalRailgate): Route[] {
  const runs = new OpenRuns();
  const params = { run: "What the audit's beginning was answered with." };
  const problems = ["operator_needed", "audit_unknown", "evidence_unavailable"] as const;
  return [
    route({
      method: "POST",
      path: "/v1/kubernetes/audits",
      tag: "Kubernetes",
      summary: "Begin an audit of what runs in a cluster",
      description:
        "The cluster's namespaces come first; what follows is judged by their labels. `railgate audit --cluster --url …` does all of it. For operators.",
      query: {},
      body: "AuditBegin",
      shapes: { AuditBegin: AuditBeginSchema, AuditBegun: AuditBegunSchema },
      answers: { 200: { description: "Begun, on record", content: { "application/json": "AuditBegun" } } },
      problems: ["operator_needed", "evidence_unavailable"],
      handle: async (exchange) => {
        const { namespaces } = parseBegin(await readLarge(exchange));
        const audit = await railgate.as(exchange.caller).beginAudit(once(namespaces));
        runs.add(audit, exchange.caller);
        return json({ run: audit.run });
      },
    }),
    route({
      method: "POST",
      path: "/v1/kubernetes/audits/:run",
      tag: "Kubernetes",
      summary: "Judge a part of what runs",
      description:
        "Up to 125 objects of one kind, judged and committed together. A part whose answer was lost may be on record: begin anew.",
      query: {},
      params,
      body: "AuditPart",
      shapes: { AuditPart: AuditPartSchema, AuditedPart: AuditedPartSchema },
      answers: { 200: { description: "Judged, on record", content: { "application/json": "AuditedPart" } } },
      problems,
      handle: async (exchange) => {
        const { kind, items } = parsePart(await readLarge(exchange));
        return json({ objects: await runs.get(exchange.params["run"]!, exchange.caller).take(kind, items) });
      },
    }),
    route({
      method: "POST",
      path: "/v1/kubernetes/audits/:run/end",
      tag: "Kubernetes",
      summary: "End an audit: its counts go on record",
      description: "What was listed is what was allowed, refused, unreadable or had no pod.",
      query: {},
      params,
      body: "AuditEnd",
      shapes: { AuditEnd: closed({}), AuditRun: AuditRunSchema },
      answers: { 200: { description: "Sealed", content: { "application/json": "AuditRun" } } },
      problems,
      handle: async (exchange) => {
        parseEnd(await readLarge(exchange));
        const run = exchange.params["run"]!;
        const ended = await runs.get(run, exchange.caller).end();
        runs.end(run);
        return json(ended);
      },
    }),
  ];
}

async function* once<T>(value: T): AsyncGenerator<T> {
  yield value;
}
