// `/v1/witness`: cosigning other logs' checkpoints, in the protocol that logs speak with witnesses (https://c2sp.org/tlog-witness).
import type { Witness, WitnessAnswer } from "../../library/doors.ts";
import { readBytes } from "../call/body.ts";
import { HttpError } from "../call/problem.ts";
import { route, type Exchange, type Reply, type Route } from "../call/route.ts";

/** 63 hashes and a note. */
const BODY_BYTES_MAX = 128 * 1024;
const TEXT = "text/plain; charset=utf-8";
const SIZE = "text/x.tlog.size";

/** Open to everyone, as the protocol has it: what counts is the log's signature on what is submitted. */
export function witnessRoutes(witness: Witness | undefined): Route[] {
  if (!witness) return [];
  const text = (description: string) => ({ description, content: { [TEXT]: { type: "string" } } });
  return [
    route({
      method: "POST",
      path: "/v1/witness/add-checkpoint",
      tag: "Witness",
      open: true,
      summary: "Have a checkpoint cosigned",
      description:
        "`old <size>`, the consistency proof's hashes a line each, an empty line, and the checkpoint; the answer is the cosignature's line.",
      body: { [TEXT]: { type: "string" } },
      answers: {
        200: text("The cosignature"),
        400: text("Not a request, or the old size is larger"),
        403: text("The log's signature is missing or wrong"),
        404: text("No log of that origin is witnessed here"),
        409: {
          description: "The latest cosigned checkpoint has another size than the request's old one: this",
          content: { [SIZE]: { type: "string" } },
        },
        422: text("The checkpoint is not shown to continue the one before"),
      },
      problems: ["request_timeout", "request_too_large", "bodies_exhausted"],
      handle: async (exchange) => {
        const body = await readText(exchange);
        return answer(
          body === undefined ? { status: 400, text: "the body is not UTF-8\n" } : await witness.addCheckpoint(body),
        );
      },
    }),
    route({
      method: "GET",
      path: "/v1/witness/:origin_hash/checkpoint",
      tag: "Witness",
      open: true,
      summary: "The latest checkpoint of a log that was cosigned",
      query: {},
      params: { origin_hash: "SHA-256 of the log's origin, lowercase hex." },
      answers: { 200: text("The checkpoint, cosigned") },
      problems: ["stream_unknown"],
      handle: ({ params }) => {
        const note = witness.checkpoint(params["origin_hash"]!);
        if (note === undefined) throw new HttpError("stream_unknown", "No checkpoint of that log was cosigned here.");
        return { status: 200, body: note, type: TEXT, headers: { "Cache-Control": "no-cache" } };
      },
    }),
    route({
      method: "GET",
      path: "/v1/witness/vkey",
      tag: "Witness",
      open: true,
      summary: "The key that cosignatures verify with",
      query: {},
      answers: { 200: text("A verifier key") },
      handle: () => ({ status: 200, body: `${witness.vkey}\n`, type: TEXT }),
    }),
  ];
}

async function readText(exchange: Exchange): Promise<string | undefined> {
  const bytes = await readBytes(exchange, BODY_BYTES_MAX);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

const answer = ({ status, text }: WitnessAnswer): Reply => ({ status, body: text, type: status === 409 ? SIZE : TEXT });
