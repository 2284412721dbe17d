// Whatever is sent, the door answers as it says it does: never a 5xx, and never an admission of what is not valid.
import { Agent } from "node:http";
import test from "ava";
import fc from "fast-check";
import { Compile } from "typebox/compile";
import { parseStrict } from "../../src/core/json.ts";
import { parseAdmissionRequest } from "../../src/core/request.ts";
import { ProblemSchema } from "../../src/core/schema/problem.ts";
import { AdmissionAnswer } from "../../src/core/schema/workload.ts";
import { admissible, start } from "./support.ts";

const served = await start();
const agent = new Agent({ keepAlive: true });
test.after.always(async () => {
  agent.destroy();
  await served.close();
});
const isProblem = Compile(ProblemSchema);
const isAnswer = Compile(AdmissionAnswer);
const PATHS = ["/v1/admissions", "/v1/admissions/batch", "/v1/admissions?dry_run=true"];

/** Text that is nearly JSON, and nearly a request. */
const text = JSON.stringify(admissible());
const mutated = fc
  .tuple(
    fc.nat(text.length),
    fc.nat(8),
    fc.constantFrom(
      "",
      "{",
      "}",
      "[",
      '"',
      ",",
      ":",
      "null",
      "1e999",
      "\\u0000",
      "\ud800",
      "__proto__",
      '"a":1,',
      "\u202e",
      "𝒳",
    ),
  )
  .map(([at, cut, insert]) => text.slice(0, at) + insert + text.slice(at + cut));
const body = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc.json().map((each) => Buffer.from(each)),
  mutated.map((each) => Buffer.from(each)),
);

function validity(bytes: Uint8Array): boolean {
  try {
    parseAdmissionRequest(parseStrict(bytes));
    return true;
  } catch {
    return false;
  }
}

test.serial("arbitrary bodies are a problem below 500, unless they are valid", async (t) => {
  const property = fc.asyncProperty(fc.constantFrom(...PATHS), body, async (path, bytes) => {
    const { status, json, headers } = await served.call("POST", path, { body: bytes, agent });
    if (status === 200 && path === "/v1/admissions") return validity(bytes) && isAnswer.Check(json);
    if (status === 200) return true;
    return (
      status >= 400 &&
      status < 500 &&
      isProblem.Check(json) &&
      headers["content-type"] === "application/problem+json" &&
      (path !== "/v1/admissions" || !validity(bytes))
    );
  });
  await t.notThrowsAsync(fc.assert(property, { numRuns: 600 }));
});

test.serial("in a batch each item is answered as it would be alone", async (t) => {
  const item = fc.oneof(
    fc.jsonValue(),
    fc.constant(admissible()),
    fc.record({ workload: fc.record({ workload_id: fc.string(), tenant_id: fc.constantFrom("acme", "a b") }) }),
  );
  const property = fc.asyncProperty(fc.array(item, { maxLength: 5 }), async (items) => {
    const { status, json } = await served.call("POST", "/v1/admissions/batch", { body: { items }, agent });
    if (status !== 200) return status === 400 || status === 413;
    return (
      json.items.length === items.length &&
      items.every((each, i) =>
        (validity(Buffer.from(JSON.stringify(each))) ? isAnswer : isProblem).Check(json.items[i]),
      )
    );
  });
  await t.notThrowsAsync(fc.assert(property, { numRuns: 200 }));
});

const hostile = fc
  .string({ unit: "binary", maxLength: 60 })
  .map((each) => encodeURIComponent(each.toWellFormed()).replaceAll("%2F", "/"));
test.serial("arbitrary paths and queries are answered below 500", async (t) => {
  const target = fc.oneof(
    hostile,
    hostile.map((each) => `v1/events/${each}`),
    hostile.map((each) => `v1/workloads/${each}/artifact`),
    fc
      .tuple(fc.constantFrom("events", "workloads"), hostile, hostile)
      .map(([what, name, value]) => `v1/${what}?${name}=${value}`),
    fc.webQueryParameters().map((query) => `v1/events?${query.replaceAll(/[^!-~]/g, "")}`),
  );
  const property = fc.asyncProperty(target, fc.constantFrom("GET", "POST", "DELETE"), async (path, method) => {
    const { status, json } = await served.call(method, `/${path}`, { agent });
    // `POST /` is OPA's, with OPA's errors.
    const isOpas = method === "POST" && /^(?:[?#]|$)/.test(path) && typeof json?.message === "string";
    return status < 500 && (status < 400 || isOpas || isProblem.Check(json));
  });
  await t.notThrowsAsync(fc.assert(property, { numRuns: 400 }));
});

test.serial("arbitrary headers are answered below 500", async (t) => {
  const value = fc
    .string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)), maxLength: 80 })
    .map((each) => each.trim());
  const name = fc.constantFrom(
    "traceparent",
    "x-request-id",
    "accept",
    "if-none-match",
    "last-event-id",
    "authorization",
    "content-encoding",
    "cookie",
    "expect-ct",
    "forwarded",
  );
  const property = fc.asyncProperty(fc.dictionary(name, value, { maxKeys: 4 }), async (headers) => {
    const { status } = await served.call("POST", "/v1/admissions?dry_run=true", {
      headers: { ...headers },
      body: admissible(),
      agent,
    });
    return status === 200 || status === 415;
  });
  await t.notThrowsAsync(fc.assert(property, { numRuns: 300 }));
});
