// `railgate-consistency: <chain_id>@<sequence>`: whoever was handed a record reads nothing older than it, whichever replica is asked (spec replicas §8).
import { HttpError } from "./problem.ts";
import type { Exchange, Route } from "./route.ts";
import type { LocalRailgate } from "../../library/local.ts";

const HEADER = "railgate-consistency";
/** `<tenant_id>/<node_id>`, which may have any of these, and a sequence behind the last `@`. */
const TOKEN = /^([A-Za-z0-9._:/@-]{1,506}\/[A-Za-z0-9._:/@-]{1,253})@(\d{1,15})$/;
const RETRY_S = "1";

export const CONSISTENCY_PATTERN = TOKEN.source;

/** Routes that read what is on record, each of them waiting for the record that the caller names. */
export function consistent(railgate: LocalRailgate, routes: readonly Route[]): Route[] {
  return routes.map((route) => {
    if (route.method !== "GET" && route.path !== "/v1/exports") return route;
    return {
      ...route,
      headers: {
        ...route.headers,
        "Railgate-Consistency":
          "`<chain_id>@<sequence>`, as in an event: the answer is made once that record can be seen, which is waited for two seconds at most.",
      },
      problems: [...(route.problems ?? []), "request_malformed", "record_not_visible"],
      handle: async (exchange) => {
        await seen(railgate, exchange);
        return route.handle(exchange);
      },
    };
  });
}

/** @throws HttpError 400 for what is no such token; 425 where the record is not seen in time, or is of no stream that the caller may read. */
async function seen(railgate: LocalRailgate, { req, caller }: Exchange): Promise<void> {
  const given = req.headers[HEADER];
  if (given === undefined) return;
  const token = typeof given === "string" ? TOKEN.exec(given) : null;
  if (token === null)
    throw new HttpError(
      "request_malformed",
      `The header ${HEADER} must be <chain_id>@<sequence>, e.g. acme/node-1@17.`,
    );
  const [, chainId, sequence] = token;
  if (await railgate.as(caller).sees(chainId!, Number(sequence))) return;
  throw new HttpError("record_not_visible", `Record ${sequence} of ${chainId} cannot be seen here yet.`, {
    "Retry-After": RETRY_S,
  });
}
