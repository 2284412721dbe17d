// Facts: what the host makes of declarations before the law sees them.
import test from "ava";
import { SAYS_NO_MORE } from "../../src/core/attestation.ts";
import fc from "fast-check";
import { buildInput, NO_TRUST, reportFact } from "../../src/core/facts.ts";
import { AdmissionInputSchema, type Context } from "../../src/core/schema/index.ts";
import { parser } from "../../src/core/request.ts";
import { pinnedReference } from "../../src/core/reference.ts";
import { saysNothing } from "../../src/core/text.ts";
import { durationS, timeMs } from "../../src/core/time.ts";
import { bareRequest, containerRequest, DIGEST, teeRequest, vmRequest } from "./requests.ts";

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
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
  const says = (pointer: string) => ({ pointer, pinned: true, status: "declared" });
  t.deepEqual(
    vm.map(({ pointer, pinned, provenance }) => ({ pointer, pinned, status: provenance?.status })),
    ["firmware", "drivers", "images"].map((list) => says(`/workload/envelope/vm/${list}/0`)),
  );
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
    format: null,
    report_ref: "r",
    platform_type: "vtpm",
    result: "pass",
    measured_at_ms: nowMs - 3_600_000,
    debuggable: null,
    ...SAYS_NO_MORE,
    nonce: { form: "none", ok: false },
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
    // Fractions of the smallest part, after a point or a comma (ISO 8601-1 §5.5.2).
    ["PT0.25H", 900],
    ["PT0,25H", 900],
    ["PT0.7H", 2520],
    ["PT1H0,5M", 3630],
    ["P0.5D", 43200],
    ["P0,5W", 302400],
    ["P1DT0.5H", 88200],
    ["PT0.5H1M", undefined],
    ["P0.5DT1H", undefined],
    ["PT.5H", undefined],
    ["PT5.H", undefined],
    ["PT5,H", undefined],
    ["PT0.25.5H", undefined],
    ["PT0٫5H", undefined],
    ["P", undefined],
    ["PT", undefined],
    ["P1DT", undefined],
    ["-PT1S", undefined],
    ["+PT1S", undefined],
    ["PT1e3S", undefined],
    ["PT1S\n", undefined],
  ];
  for (const [text, seconds] of known) t.is(durationS(text), seconds, text);
});

test(`image references are pinned by the distribution grammar alone (SEED=${seed})`, (t) => {
  const alnum = fc.stringMatching(/^[a-z0-9]{1,8}$/);
  const separator = fc.constantFrom(".", "_", "__", "-", "---");
  const component = fc
    .tuple(alnum, fc.array(fc.tuple(separator, alnum), { maxLength: 2 }))
    .map(([first, more]) => first + more.map(([mark, word]) => mark + word).join(""));
  const label = fc.stringMatching(/^[A-Za-z0-9](?:[A-Za-z0-9-]{0,6}[A-Za-z0-9])?$/);
  const port = fc.option(fc.nat(65535), { nil: undefined });
  const host = fc.oneof(
    fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join(".")),
    fc.constantFrom("[::1]", "[2001:db8::1]", "127.0.0.1"),
  );
  const domain = fc.tuple(host, port).map(([name, number]) => (number === undefined ? name : `${name}:${number}`));
  const tag = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/);
  const hex = fc.stringMatching(/^[0-9a-f]{64}$/);
  const reference = fc.record({
    domain: fc.option(domain, { nil: undefined }),
    path: fc.array(component, { minLength: 1, maxLength: 3 }),
    tag: fc.option(tag, { nil: undefined }),
    hex,
  });
  fc.assert(
    fc.property(
      reference,
      fc.nat(),
      fc.constantFrom(" ", "\u0000", "\u200b", "@", "#", "%", "é", "\n", "\\"),
      (parts, at, odd) => {
        const name = [...(parts.domain === undefined ? [] : [parts.domain]), ...parts.path].join("/");
        const text = `${name}${parts.tag === undefined ? "" : `:${parts.tag}`}@sha256:${parts.hex}`;
        t.true(pinnedReference(text), text);
        const place = at % (text.length + 1);
        const spoilt = text.slice(0, place) + odd + text.slice(place);
        t.false(pinnedReference(spoilt), spoilt);
        t.false(pinnedReference(text.replace("@sha256", "@SHA256")));
        t.false(pinnedReference(text.slice(0, -1)));
      },
    ),
    { seed, numRuns: 500 },
  );
  const sha = `@${DIGEST}`;
  for (const good of [
    "a",
    "a/b",
    "localhost/a",
    "registry.example:5000/a/b",
    "Registry.Example/a",
    "a__b",
    "a--b",
    "a:Tag_1.0-x",
  ])
    t.true(pinnedReference(good + sha), good);
  for (const bad of [
    "",
    "A",
    "registry.example/A",
    "registry.example/a/B",
    "registry.example:port/a",
    "registry.example:5000/",
    "registry..example/a/",
    "a//b",
    "/a",
    "a/",
    "a.",
    "a..b",
    "a___b",
    "-a",
    "a-",
    "_a",
    "https://registry.example/a",
    "user@registry.example/a",
    "[::1/a",
    "a:-tag",
    `a:${"t".repeat(129)}`,
    "a:b:c",
    "a\u0430",
    `${"a/".repeat(128)}a`,
    `a${sha}`,
  ])
    t.false(pinnedReference(bad + sha), bad);
  t.true(pinnedReference(`${"a/".repeat(127)}a${sha}`));
  t.false(pinnedReference(`a.b@sha512:${"0".repeat(128)}`));
});

test("text that shows nothing states nothing, by whatever character", (t) => {
  const nothing = ["\u0000", "\u001f", "\u0085", "\u00a0", "\u00ad", "\u034f", "\u061c", "\u115f", "\u1160", "\u17b4"];
  nothing.push("\u180e", "\u2000", "\u200b", "\u200d", "\u2028", "\u202e", "\u2060", "\u2800", "\u3000", "\u3164");
  nothing.push("\ufe0f", "\ufeff", "\uffa0", "\u{1d173}", "\u{e0020}", "\u{e0fff}", "\ue000", "\ufdd0", "\u{10ffff}");
  for (const each of [...nothing, "", nothing.join("")]) t.true(saysNothing(each), JSON.stringify(each));
  for (const something of ["a", ".", "-", "移行", "ж", "🙂", "\u2800x", `${nothing.join("")}1`])
    t.false(saysNothing(something), something);
  const container = (over: object) => {
    const request = containerRequest() as any;
    Object.assign(request.workload.envelope.container, over);
    return buildInput({ ...known, request }).facts.blank;
  };
  const at = "/workload/envelope/container/";
  t.deepEqual(container({ writable_justification: "\u2800\u3164" }), [`${at}writable_justification`]);
  t.deepEqual(container({ seccomp: "Localhost/\u200b" }), [`${at}seccomp`]);
  t.deepEqual(container({ seccomp: "Localhost/\u200ba", writable_justification: "x" }), []);
  t.deepEqual(buildInput({ ...known, request: vmRequest() }).facts.blank, []);
  const said = reportFact({ report_ref: "\u2800", platform_type: " ", result: "pass" }, undefined);
  t.like(said, { report_ref: null, platform_type: null });
});

test("a deadline moves on with a newer measurement only", (t) => {
  const due = (measured_at: string | undefined, measuredMs: number | null, byMs: number | null, interval = "PT15M") => {
    const request = teeRequest() as any;
    request.workload.envelope.tee.reattestation_interval = interval;
    if (measured_at !== undefined) request.attestation = { measured_at };
    const workload = {
      state: "running",
      least_level: "shared",
      measured_at_ms: measuredMs,
      reattest_by_ms: byMs,
    } as const;
    return buildInput({ ...known, request, workload }).facts.reattestation!.by;
  };
  const [then, running] = [nowMs - 600_000, nowMs + 300_000];
  const at = (ms: number) => new Date(ms).toISOString();
  t.is(due(at(then), null, null), "2026-11-25T08:15:00Z");
  t.is(due(at(then + 1), then, running), "2026-11-25T08:15:00Z");
  for (const measured of [at(then), at(then - 1), undefined])
    t.is(due(measured, then, running), "2026-11-25T08:05:00Z");
  t.is(due(at(then), then, running, "PT1M"), "2026-11-25T08:01:00Z", "sooner, where the interval is shorter");
  t.is(due(at(then), then, null), "2026-11-25T08:05:00Z", "as if it had run on meanwhile");
});
