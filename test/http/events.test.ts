// The evidence over HTTP: to list, to look up, to follow; and the workloads that it is about.
import { createHash } from "node:crypto";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { createConnection } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { admissible, byTime, Clock, insufficient, start, type Started } from "./support.ts";
import { until } from "../until.ts";

const served = await start();
const { call } = served;
test.after.always(() => served.close());

const admitted: EvidenceEvent[] = [];
test.before(async () => {
  for (let i = 0; i < 5; i++)
    admitted.push(
      (await call("POST", "/v1/admissions", { body: { ...admissible(`w-${i}`), correlation_id: `c-${i % 2}` } })).json
        .event,
    );
  admitted.push((await call("POST", "/v1/admissions", { body: insufficient("w-5") })).json.event);
  admitted.push((await call("POST", "/v1/admissions", { body: admissible("team/api@2", "other") })).json.event);
});

const idsOf = (items: EvidenceEvent[]) => items.map(({ id }) => id);
const newestFirst = () => idsOf(admitted).reverse();

test("newest first, or oldest first", async (t) => {
  const all = (await call("GET", "/v1/events")).json;
  t.deepEqual(idsOf(all.items).slice(0, admitted.length), newestFirst());
  t.is(all.next, null);
  t.deepEqual(idsOf((await call("GET", "/v1/events?order=asc")).json.items), idsOf(all.items).reverse());
  t.is(all.items.at(-1).event_type, "node.start");
});

for (const [query, wanted] of [
  ["tenant_id=other", () => [admitted[6]!]],
  ["event_type=workload.refuse", () => [admitted[5]!]],
  ["outcome=refused", () => [admitted[5]!]],
  ["workload_id=w-2", () => [admitted[2]!]],
  ["workload_id=team%2Fapi%402", () => [admitted[6]!]],
  ["correlation_id=c-1&order=asc", () => [admitted[1]!, admitted[3]!]],
  ["tenant_id=nobody", () => []],
] as [string, () => EvidenceEvent[]][]) {
  test(`events?${query}`, async (t) => {
    t.deepEqual((await call("GET", `/v1/events?${query}`)).json.items, wanted());
  });
}

test("since and until bound by time, the latter excluded", async (t) => {
  const at = encodeURIComponent(admitted[3]!.occurred_at);
  const since = (await call("GET", `/v1/events?since=${at}`)).json.items as EvidenceEvent[];
  const until = (await call("GET", `/v1/events?until=${at}`)).json.items as EvidenceEvent[];
  t.true(since.every(({ occurred_at }) => occurred_at >= admitted[3]!.occurred_at));
  t.true(until.every(({ occurred_at }) => occurred_at < admitted[3]!.occurred_at));
  t.is(since.length + until.length, (await call("GET", "/v1/events")).json.items.length);
});

test("pages join up without gap or repetition, also while events come in", async (t) => {
  for (const order of ["asc", "desc"]) {
    const whole = idsOf((await call("GET", `/v1/events?order=${order}&tenant_id=acme`)).json.items);
    const pages: string[] = [];
    let next: string | null = "";
    while (next !== null) {
      const { json } = await call(
        "GET",
        `/v1/events?order=${order}&tenant_id=acme&limit=2${next && `&cursor=${encodeURIComponent(next)}`}`,
      );
      t.true(json.items.length <= 2);
      pages.push(...idsOf(json.items));
      next = json.next;
    }
    t.deepEqual(pages, whole);
  }
});

test("streams of several tenants are listed in order of time, then chain and sequence; an older cursor goes on as it began", async (t) => {
  const clock = new Clock(Date.parse("2026-11-27T10:00:00Z"));
  const at = await start({}, { clock: clock.shared });
  t.teardown(() => at.close());
  // Each tenant in turn; the clock is set back, and stands still.
  for (const [i, secondsOn] of [0, 5, 5, 2, 2, 9, 4, 4].entries()) {
    clock.ms = Date.parse("2026-11-27T10:00:00Z") + secondsOn * 1000;
    await at.call("POST", "/v1/admissions", { body: admissible(`w-${i}`, ["b", "a", "c"][i % 3]) });
  }
  const listed = async (query: string, cursor = "") => {
    const items: EvidenceEvent[] = [];
    for (let next: string | null = cursor; next !== null; ) {
      const { json } = await at.call("GET", `/v1/events?limit=2&${query}${next && `&cursor=${next}`}`);
      items.push(...json.items);
      next = json.next;
    }
    return items;
  };
  const oldest = await listed("event_type=workload.admit&order=asc");
  t.is(oldest.length, 8);
  t.deepEqual(idsOf(oldest), idsOf([...oldest].sort(byTime)));
  const all = await listed("");
  t.deepEqual(idsOf(all), idsOf([...all].sort(byTime).reverse()));
  // Of one stream by sequence.
  t.deepEqual(
    (await listed("tenant_id=b&order=asc")).map(({ sequence }) => sequence),
    [0, 1, 2],
  );
  const byPosition = await listed("order=asc", "asc-0");
  t.is(byPosition.length, all.length);
  t.deepEqual(
    byPosition.filter(({ event_type }) => event_type === "workload.admit").map(({ subject }) => subject),
    Array.from({ length: 8 }, (_, i) => `w-${i}`),
  );
});

for (const [query, pointer] of [
  ["limit=0", "/query/limit"],
  ["limit=1001", "/query/limit"],
  ["limit=1e2", "/query/limit"],
  ["limit=", "/query/limit"],
  ["limit=01", "/query/limit"],
  ["order=up", "/query/order"],
  ["cursor=x", "/query/cursor"],
  ["cursor=asc-1-2", "/query/cursor"],
  ["cursor=asc-1-2-Li4", "/query/cursor"],
  ["cursor=desc-2&order=asc", "/query/cursor"],
  ["since=yesterday", "/query/since"],
  ["since=2026-11-25T08:00:00", "/query/since"],
  ["tenant_id=a%20b", "/query/tenant_id"],
  ["event_type=workload", "/query/event_type"],
  ["outcome=ok", "/query/outcome"],
  ["tenant=acme", "/query/tenant"],
]) {
  test(`events?${query} is 422`, async (t) => {
    const { status, json } = await call("GET", `/v1/events?${query}`);
    t.is(status, 422);
    t.is(json.errors[0].pointer, pointer);
  });
}

test("one event, with its record", async (t) => {
  const { status, json } = await call("GET", `/v1/events/${admitted[0]!.id}`);
  t.is(status, 200);
  t.deepEqual(json.event, admitted[0]);
  t.is(Buffer.from(json.record.split(".")[1], "base64url").toString(), JSON.stringify(json.event));
  for (const id of ["nope", "..%2F..", "%00", admitted[0]!.id.toUpperCase()]) {
    const missing = await call("GET", `/v1/events/${id}`);
    t.is(missing.status, 404, id);
    t.is(missing.json.code, "event_unknown");
  }
  t.is((await call("GET", "/v1/events/%ff")).json.code, "request_malformed");
});

test("the artifact is the exact bytes that the event points to", async (t) => {
  const { id, evidence_pointer } = admitted[0]!;
  const { status, bytes, headers, json } = await call("GET", `/v1/events/${id}/artifact`);
  t.is(status, 200);
  t.is(headers["content-type"], "application/json");
  const hex = createHash("sha256").update(bytes).digest("hex");
  t.is(evidence_pointer, `eosc://evidence/sha256:${hex}`);
  t.is(headers.etag, `"sha256:${hex}"`);
  t.is(headers["repr-digest"], `sha-256=:${createHash("sha256").update(bytes).digest("base64")}:`);
  t.like(json, {
    entrypoint: "railgate/admission/decision",
    input: { request: { workload: { workload_id: "w-0" } } },
    decision: { outcome: "accepted" },
  });
  const again = await call("GET", `/v1/events/${id}/artifact`, {
    headers: { "if-none-match": `"x", ${headers.etag}` },
  });
  t.is(again.status, 304);
  t.is(again.text, "");
  t.is((await call("GET", "/v1/events/nope/artifact")).json.code, "event_unknown");
});

test("the artifact of an activation is the bundle as received", async (t) => {
  const [activated] = (await call("GET", "/v1/events?event_type=policy.activate")).json.items;
  const { bytes, headers } = await call("GET", `/v1/events/${activated.id}/artifact`);
  t.is(headers["content-type"], "application/gzip");
  t.is(activated.evidence_pointer, `eosc://evidence/sha256:${createHash("sha256").update(bytes).digest("hex")}`);
});

test("workloads: listed by tenant and id, in pages", async (t) => {
  const all = (await call("GET", "/v1/workloads")).json;
  t.deepEqual(
    all.items.map((each: { workload_id: string }) => each.workload_id),
    ["w-0", "w-1", "w-2", "w-3", "w-4", "team/api@2"],
  );
  t.is(all.next, null);
  t.deepEqual(
    (await call("GET", "/v1/workloads?tenant_id=other")).json.items.map(
      (each: { workload_id: string }) => each.workload_id,
    ),
    ["team/api@2"],
  );
  const first = (await call("GET", "/v1/workloads?limit=4")).json;
  const rest = (await call("GET", `/v1/workloads?limit=4&cursor=${first.next}`)).json;
  t.deepEqual([...first.items, ...rest.items], all.items);
  t.is(rest.next, null);
  for (const cursor of ["x", "YWNtZQ", Buffer.from("a b c").toString("base64url")])
    t.is((await call("GET", `/v1/workloads?cursor=${cursor}`)).status, 422, cursor);
});

test("one workload: state, admission, last events; its id may have a slash", async (t) => {
  const { status, json } = await call("GET", "/v1/workloads/team%2Fapi%402?tenant_id=other");
  t.is(status, 200);
  t.like(json, {
    workload_id: "team/api@2",
    tenant_id: "other",
    state: "admitted",
    least_level: "sandbox_isolated",
    obligations: [],
    attestation: null,
  });
  t.is(json.admission.event_id, admitted[6]!.id);
  t.is(json.admission.decision.outcome, "accepted");
  t.deepEqual(json.events, [admitted[6]]);
  const unknown = await call("GET", "/v1/workloads/team%2Fapi%402");
  t.is(unknown.status, 404);
  t.is(unknown.json.code, "workload_unknown");
});

/** A client of the stream: what it received, message by message. */
async function follow({ url }: Started, query = "", headers: Record<string, string> = {}) {
  const messages: { id: string; event: EvidenceEvent }[] = [];
  const { hostname, port } = new URL(url);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = httpRequest(
      {
        hostname,
        port,
        path: `/v1/events${query}`,
        headers: { accept: "text/event-stream", ...headers },
        agent: false,
      },
      resolve,
    );
    request.on("error", reject);
    request.end();
  });
  let text = "";
  let comments = 0;
  response.on("data", (data) => {
    text += data;
    const blocks = text.split("\n\n");
    text = blocks.pop()!;
    for (const block of blocks) {
      if (block.startsWith(":")) comments++;
      const parts = /^id: (.*)\ndata: (.*)$/.exec(block);
      if (parts) messages.push({ id: parts[1]!, event: JSON.parse(parts[2]!) });
    }
  });
  response.on("error", () => {});
  const until = async (count: number) => {
    for (let i = 0; i < 3000 && messages.length < count; i++) await sleep(20);
    return messages;
  };
  return { response, messages, until, comments: () => comments, close: () => response.destroy() };
}

test("a follower gets what is recorded from then on, filtered", async (t) => {
  const own = await start();
  const everything = await follow(own);
  const refusals = await follow(own, "?outcome=refused&tenant_id=acme");
  t.is(everything.response.headers["content-type"], "text/event-stream");
  t.is(everything.response.headers["cache-control"], "no-store");
  const items = [admissible("f-1"), insufficient("f-2"), insufficient("f-3", "other")];
  const answers = (await own.call("POST", "/v1/admissions/batch", { body: { items } })).json.items;
  t.deepEqual(
    (await everything.until(3)).map(({ event }) => event),
    answers.map(({ event }: { event: EvidenceEvent }) => event),
  );
  t.deepEqual(
    (await refusals.until(1)).map(({ event }) => event.subject),
    ["f-2"],
  );
  for (const { id, event } of everything.messages) t.is(id, event.id);
  t.regex((await own.call("GET", "/metrics")).text, /^railgate_event_followers 2$/m);
  everything.close();
  refusals.close();
  await own.close();
});

test("a follower that comes back goes on where it was, losing nothing and seeing nothing twice", async (t) => {
  const own = await start();
  const sent: string[] = [];
  const admitMany = async (count: number) => {
    const items = Array.from({ length: count }, (_, i) => admissible(`r-${sent.length + i}`));
    for (const { event } of (await own.call("POST", "/v1/admissions/batch", { body: { items } })).json.items)
      sent.push(event.id);
  };
  const seen: string[] = [];
  let last: Record<string, string> = {};
  for (let round = 0; round < 4; round++) {
    const client = await follow(own, "", last);
    await admitMany(100 + round * 150);
    for (const { id } of await client.until(round === 3 ? sent.length - seen.length : 37)) seen.push(id);
    client.close();
    last = { "last-event-id": seen.at(-1)! };
  }
  t.deepEqual(seen, sent);
  await own.close();
});

test("a follower can begin in the past", async (t) => {
  const client = await follow(served, "?since=2020-01-01T00:00:00Z&tenant_id=acme");
  t.deepEqual(
    (await client.until(6)).map(({ id }) => id),
    idsOf(admitted.slice(0, 6)),
  );
  client.close();
});

test("what makes no sense when following is refused", async (t) => {
  const headers = { accept: "text/event-stream" };
  for (const query of ["limit=1", "order=asc", "cursor=asc-1"])
    t.is((await call("GET", `/v1/events?${query}`, { headers })).status, 422, query);
  const unknown = await call("GET", "/v1/events", { headers: { ...headers, "last-event-id": "nope" } });
  t.is(unknown.status, 404);
  t.is(unknown.json.code, "event_unknown");
});

test("a quiet stream is kept open by comments, and closing ends it", async (t) => {
  const own = await start({}, { follow: { heartbeatMs: 30 } });
  const client = await follow(own);
  await until(() => client.comments() >= 2);
  const ended = new Promise<void>((resolve) => client.response.on("end", resolve));
  await own.close();
  await ended;
  t.pass();
});

test("more followers than allowed are told to come back later", async (t) => {
  const own = await start({}, { follow: { clientsMax: 1 } });
  const first = await follow(own);
  const { status, json, headers } = await own.call("GET", "/v1/events", { headers: { accept: "text/event-stream" } });
  t.is(status, 503);
  t.is(json.code, "streams_exhausted");
  t.truthy(headers["retry-after"]);
  first.close();
  await own.close();
});

test("a follower that does not read is cut off, and holds next to nothing until then", async (t) => {
  const own = await start(
    { limits: { body_bytes_max: 16 * 1024 * 1024 } },
    { peers: { waitMsMax: 300, checkEveryMs: 50 } },
  );
  const { hostname, port } = new URL(own.url);
  const socket = createConnection({ host: hostname, port: Number(port) });
  socket.write(`GET /v1/events HTTP/1.1\r\nHost: ${hostname}:${port}\r\nAccept: text/event-stream\r\n\r\n`);
  socket.pause();
  socket.on("error", () => {});
  const followers = async () =>
    Number(/^railgate_event_followers (\d)$/m.exec((await own.call("GET", "/metrics")).text)![1]);
  await until(async () => (await followers()) > 0);
  const items = Array.from({ length: 1000 }, (_, i) => admissible(`slow-${i}`));
  for (let round = 0; round < 30 && (await followers()) > 0; round++) {
    await own.call("POST", "/v1/admissions/batch", { body: { items } });
    await sleep(50);
  }
  for (let i = 0; i < 1200 && (await followers()) > 0; i++) await sleep(50);
  t.is(await followers(), 0);
  socket.destroy();
  await own.close();
});
