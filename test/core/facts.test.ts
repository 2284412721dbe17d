// Facts: what the host makes of declarations before the law sees them.
import test from "ava";
import { buildInput, NO_TRUST, reportFact } from "../../src/core/facts.ts";
import { AdmissionInputSchema, type Context } from "../../src/core/schema/index.ts";
import { parser } from "../../src/core/request.ts";
import { durationS, timeMs } from "../../src/core/time.ts";
import { bareRequest, containerRequest, DIGEST, teeRequest, vmRequest } from "./requests.ts";

const nowMs = Date.UTC(2026, 10, 25, 8);
const snapshot = { age_s: null, snapshot_id: DIGEST };
const context: Context = { partition: { state: "connected", since: null }, policy: snapshot, authority: snapshot };
const known = { nowMs, caller: null, trust: NO_TRUST, workload: null, context };

test("input documents are as their schema says, members in one order", (t) => {
  const parse = parser(AdmissionInputSchema);
  for (const request of [containerRequest(), vmRequest(), teeRequest(), bareRequest()]) {
    const input = buildInput({
      ...known,
      request,
      caller: { tenant_id: "acme" },
      workload: { state: "running", least_level: "shared", measured_at_ms: null, reattest_by_ms: null },
    });
    t.is(parse(input), input as never);
    t.deepEqual(Object.keys(input), ["request", "facts", "context"]);
    t.is(
      Object.keys(input.facts).join(),
      "now,now_ms,caller,artifacts,blank,reattestation,authority,attestation,exceptions,workload,placements",
    );
  }
});

test("artifacts are listed in order, each pinned or not", (t) => {
  const vm = buildInput({ ...known, request: vmRequest() }).facts.artifacts;
  t.deepEqual(vm, [
    { pointer: "/workload/envelope/vm/firmware/0", pinned: true },
    { pointer: "/workload/envelope/vm/drivers/0", pinned: true },
    { pointer: "/workload/envelope/vm/images/0", pinned: true },
  ]);
  const hex = DIGEST.slice(7);
  for (const reference of [
    "x:latest",
    `@${DIGEST}`,
    `x@sha256:${hex.toUpperCase()}`,
    `x@sha256:${hex}0`,
    `x@sha512:${hex}`,
    `x y@${DIGEST}`,
    `x@${DIGEST}\n`,
    DIGEST,
    "",
  ]) {
    const request = {
      workload: {
        workload_id: "w",
        tenant_id: "t",
        envelope: { kind: "tee" as const, tee: { images: [{ reference }, {}] } },
      },
    };
    t.deepEqual(
      buildInput({ ...known, request }).facts.artifacts.map(({ pinned }) => pinned),
      [false, false],
      reference,
    );
  }
  const envelopes = [
    undefined,
    "container",
    {},
    { kind: "unikernel", unikernel: { images: 5 } },
    { kind: "constructor" },
    { kind: "vm", vm: {} },
  ];
  for (const envelope of envelopes) {
    const request = { workload: { ...bareRequest().workload, ...(envelope === undefined ? {} : { envelope }) } };
    t.deepEqual(buildInput({ ...known, request: request as never }).facts.artifacts, []);
  }
});

test("re-attestation is due after the interval, in whole seconds", (t) => {
  const due = (reattestation_interval: string) =>
    buildInput({
      ...known,
      request: {
        workload: { workload_id: "w", tenant_id: "t", envelope: { kind: "tee", tee: { reattestation_interval } } },
      },
    }).facts.reattestation;
  t.deepEqual(due("PT15M"), { interval_s: 900, by: "2026-11-25T08:15:00Z" });
  t.deepEqual(due("PT0.5S"), { interval_s: 0.5, by: "2026-11-25T08:00:00Z" });
  t.is(due("P999999999Y")?.by, "9999-12-31T23:59:59Z");
  t.is(buildInput({ ...known, request: vmRequest() }).facts.reattestation, null);
});

test("a report says what it says, unless its nonce is another's", (t) => {
  const report = {
    report_ref: "r",
    platform_type: "vtpm",
    result: "pass",
    measured_at: "2026-11-25T07:00:00Z",
  } as const;
  const fact = {
    form: "report",
    status: "reported",
    error: null,
    issuer: null,
    report_ref: "r",
    platform_type: "vtpm",
    result: "pass",
    measured_at_ms: nowMs - 3_600_000,
    debuggable: null,
    token_digest: null,
  };
  t.deepEqual(reportFact(report, undefined), fact as never);
  t.is(reportFact({ ...report, nonce: "c-1" }, "c-1")?.status, "reported");
  t.like(reportFact({ ...report, nonce: "c-1" }, "c-2"), { status: "rejected", error: "nonce" });
  t.like(reportFact({ ...report, nonce: "c-1" }, undefined), { status: "rejected", error: "nonce" });
  t.like(reportFact({}, undefined), { status: "reported", report_ref: null, result: null, measured_at_ms: null });
  t.is(reportFact({ token: "x" }, undefined), null);
});

test("times", (t) => {
  t.is(timeMs("1970-01-01T00:00:00Z"), 0);
  t.is(timeMs("2026-11-25t10:00:00.0009+02:00"), nowMs);
  t.is(timeMs("0001-01-01T00:00:00Z"), -62135596800000);
  for (const bad of [
    "1900-02-29T00:00:00Z",
    "2026-04-31T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-01-01T00:00:00+24:00",
    "2026-01-01 00:00:00Z",
    " 2026-01-01T00:00:00Z",
  ])
    t.is(timeMs(bad), undefined);
});

test("durations", (t) => {
  const known: [string, number | undefined][] = [
    ["PT1S", 1],
    ["P1DT2H3M4.5S", 93784.5],
    ["P1W", 604800],
    ["P1M", 2592000],
    ["P1Y", 31536000],
    ["PT1M1H", undefined],
    ["p1d", undefined],
  ];
  for (const [text, seconds] of known) t.is(durationS(text), seconds, text);
});
