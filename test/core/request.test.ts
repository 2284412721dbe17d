// What the door refuses, where it says the fault lies, and what it leaves to the law.
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import { Compile } from "typebox/compile";
import { RequestError } from "../../src/core/errors.ts";
import {
  parseAdmissionRequest,
  parseAttestationBody,
  parseElevationBody,
  parseLifecycleBody,
  parsePlacementBody,
  parseTopologyBody,
} from "../../src/core/request.ts";
import { escapeToken, explain } from "../../src/core/schema/explain.ts";
import { AdmissionRequestSchema, openapiComponents, policySchemas } from "../../src/core/schema/index.ts";
import { bareRequest, containerRequest, teeRequest, vmRequest } from "./requests.ts";

const seed = Number(process.env["FC_SEED"] ?? Date.now() % 2 ** 31);
console.log(`fast-check seed ${seed} (repeat with FC_SEED=${seed})`);

type Tree = { [name: string]: Tree } & Tree[];

/** The request with the member at a pointer set, or removed where the value is undefined. */
function changed(request: object, pointer: string, value: unknown): unknown {
  const names = pointer
    .split("/")
    .slice(1)
    .map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
  const last = names.pop()!;
  const parent = names.reduce((node, name) => node[name] as Tree, request as Tree) as Record<string, unknown>;
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return request;
}

function refuses(
  t: ExecutionContext,
  value: unknown,
  pointers: string[],
  message?: RegExp,
  parse: (value: unknown) => unknown = parseAdmissionRequest,
) {
  const error = t.throws(() => parse(value), { instanceOf: RequestError, code: "request_invalid" });
  t.is(error.status, 422);
  t.deepEqual(
    error.errors.map(({ pointer }) => pointer),
    pointers,
  );
  if (message !== undefined) t.regex(error.message, message);
}

const accepts = (t: ExecutionContext, value: unknown) => t.is(parseAdmissionRequest(value), value as never);

test("full requests and the barest pass, unchanged", (t) => {
  for (const request of [containerRequest(), vmRequest(), teeRequest(), bareRequest()]) accepts(t, request);
});

test("every member but the two ids may be absent", (t) => {
  for (const make of [containerRequest, vmRequest, teeRequest]) {
    for (const pointer of pointersOf(make())) {
      const request = changed(make(), pointer, undefined);
      const { kind } = make().workload.envelope as { kind: string };
      const required = ["/workload", "/workload/workload_id", "/workload/tenant_id", `/workload/envelope/${kind}`];
      if (/\/\d+$/.test(pointer)) continue;
      if (required.includes(pointer)) refuses(t, request, [pointer], /required, but missing/);
      else accepts(t, request);
    }
  }
});

test("null passes for four members only", (t) => {
  const nullable = ["writable_justification", "seccomp", "apparmor", "selinux"].map(
    (name) => `/workload/envelope/container/${name}`,
  );
  for (const pointer of pointersOf(containerRequest())) {
    const request = changed(containerRequest(), pointer, null);
    if (nullable.includes(pointer)) accepts(t, request);
    else refuses(t, request, [pointer], /not null/);
  }
  accepts(t, changed(containerRequest(), "/workload/envelope/container/selinux", null));
});

test("what the law judges may be any string", (t) => {
  for (const name of ["tenant_tier", "classification", "risk", "governance_profile", "envelope"]) {
    for (const value of ["", "nonsense", "\u202e"]) accepts(t, changed(containerRequest(), `/workload/${name}`, value));
    refuses(t, changed(containerRequest(), `/workload/${name}`, 1), [`/workload/${name}`]);
  }
  accepts(t, changed(bareRequest(), "/workload/envelope", { kind: "unikernel", anything: [{ goes: null }] }));
  accepts(t, changed(bareRequest(), "/workload/envelope", {}));
  accepts(t, changed(containerRequest(), "/workload/envelope/container/images/0/reference", "not pinned"));
  accepts(t, { ...bareRequest(), authority: "no token", exceptions: [""], attestation: { token: "?" } });
});

test("a declared kind carries the object of its name and no other", (t) => {
  refuses(
    t,
    changed(bareRequest(), "/workload/envelope", { kind: "vm" }),
    ["/workload/envelope/vm"],
    /required, but missing/,
  );
  refuses(t, changed(bareRequest(), "/workload/envelope", { kind: "vm", container: {} }), [
    "/workload/envelope/vm",
    "/workload/envelope/container",
  ]);
  refuses(t, changed(vmRequest(), "/workload/envelope/tee", {}), ["/workload/envelope/tee"], /unknown field/);
  refuses(
    t,
    changed(bareRequest(), "/workload/envelope", { kind: 7, vm: {} }),
    ["/workload/envelope/kind"],
    /must be a string/,
  );
  refuses(t, changed(bareRequest(), "/workload/envelope", { vm: { drivers: {} } }), ["/workload/envelope/vm/drivers"]);
});

test("unknown fields are named, wherever they are, with what was meant", (t) => {
  refuses(
    t,
    changed(containerRequest(), "/workload/clasification", "x"),
    ["/workload/clasification"],
    /did you mean `classification`\?/,
  );
  refuses(t, { ...bareRequest(), "a/b~c": 1 }, ["/a~1b~0c"], /unknown field/);
  for (const parent of [
    "",
    "/workload",
    "/workload/crp",
    "/workload/network",
    "/workload/dependencies/0",
    "/placement",
    "/workload/envelope",
    "/workload/envelope/container",
    "/workload/envelope/container/images/0",
    "/workload/envelope/container/images/0/provenance",
  ]) {
    refuses(t, changed(containerRequest(), `${parent}/zzz`, 1), [`${parent}/zzz`], /unknown field/);
  }
});

test("all faults are reported at once, each place once", (t) => {
  const request = { workload: { workload_id: "a b", risk: null, crp: { tier: 1.5 } }, extra: 1, placement: [] };
  refuses(
    t,
    request,
    ["/workload/tenant_id", "/workload/workload_id", "/workload/risk", "/workload/crp/tier", "/extra", "/placement"],
    /\(and 5 more\)/,
  );
});

test("identifiers", (t) => {
  for (const good of ["a", "...", ".a", "..a", "A-Z._:/@9", "__proto__", "x".repeat(253)])
    accepts(t, changed(bareRequest(), "/workload/workload_id", good));
  for (const bad of [
    "",
    ".",
    "..",
    "a b",
    "é",
    "a\u200b",
    "a\n",
    "\u202ea",
    "x".repeat(254),
    "а" /* Cyrillic */,
    "a%",
  ]) {
    refuses(t, changed(bareRequest(), "/workload/workload_id", bad), ["/workload/workload_id"], /1 to 253 letters/);
  }
});

test("times, durations, jurisdictions and results", (t) => {
  const cases: [pointer: string, good: string[], bad: string[]][] = [
    [
      "/attestation/measured_at",
      ["2026-11-23T00:15:00Z", "2024-02-29T23:59:59.123456+05:30"],
      [
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-23T00:15:00",
        "2026-11-23",
        "2026-11-23T24:00:00Z",
        "2026-11-23T00:15:60Z",
        "yesterday",
        "",
      ],
    ],
    ["/attestation/result", ["pass", "fail"], ["PASS", "maybe", ""]],
    [
      "/workload/envelope/tee/reattestation_interval",
      ["PT15M", "P1D", "PT0S", "P1DT1H", "PT0.5S", "P2W"],
      ["15m", "P", "PT", "P1DT", "-PT1M", "PT1", "P1W1D", ""],
    ],
    ["/placement/jurisdiction", ["DE", "EU", "EEA"], ["de", "DEU", "Germany", "D", ""]],
    ["/workload/residency/0", ["EEA"], ["eu"]],
  ];
  for (const [pointer, good, bad] of cases) {
    const request = () => ({ ...teeRequest(), attestation: {} });
    for (const value of good) accepts(t, changed(request(), pointer, value));
    for (const value of bad) refuses(t, changed(request(), pointer, value), [pointer]);
  }
});

test("attestation is a token or a report, not both", (t) => {
  accepts(t, { ...bareRequest(), attestation: {} });
  refuses(t, { ...bareRequest(), attestation: { token: "x", report_ref: "y" } }, ["/attestation/report_ref"]);
  refuses(t, { ...bareRequest(), attestation: { token: 1 } }, ["/attestation/token"]);
  refuses(t, { ...bareRequest(), attestation: "x" }, ["/attestation"]);
});

test("lists and tokens are bounded", (t) => {
  refuses(t, { ...bareRequest(), exceptions: Array(17).fill("x") }, ["/exceptions"], /no more than 16/);
  refuses(t, { ...bareRequest(), authority: "x".repeat(64 * 1024 + 1) }, ["/authority"], /no longer than 65536/);
  const bounded: [pointer: string, max: number, item: unknown][] = [
    ["/workload/envelope/vm/images", 64, {}],
    ["/workload/envelope/vm/firmware", 64, {}],
    ["/workload/envelope/vm/drivers", 64, {}],
    ["/workload/dependencies", 128, {}],
    ["/workload/jurisdictions", 128, "DE"],
    ["/workload/residency", 128, "DE"],
    ["/placement/tenants_on_host", 256, "a"],
  ];
  for (const [pointer, max, item] of bounded) {
    accepts(t, changed(vmRequest(), pointer, Array(max).fill(item)));
    const over = changed(vmRequest(), pointer, Array(max + 1).fill(item));
    refuses(t, over, [pointer], new RegExp(`no more than ${max} items`));
  }
  for (const list of ["host_namespaces", "host_paths", "added_capabilities"]) {
    const pointer = `/workload/envelope/container/${list}`;
    accepts(t, changed(containerRequest(), pointer, Array(64).fill("x")));
    refuses(t, changed(containerRequest(), pointer, Array(65).fill("x")), [pointer], /no more than 64 items/);
  }
});

test("an envelope of an unknown kind may carry anything, if not without end", (t) => {
  const carrying = (value: unknown) => changed(containerRequest(), "/workload/envelope", { kind: "wasm", value });
  accepts(t, carrying([[{ a: [null, 1, "x", {}] }]]));
  accepts(t, carrying("x".repeat(500_000)));
  accepts(t, carrying(Array(4093).fill(0)));
  for (const many of [
    Array(4094).fill(0),
    Array(50).fill(Array(90).fill({})),
    Object.fromEntries(Array(4094).entries()),
  ])
    refuses(t, carrying(many), ["/workload/envelope"], /no more than 4096 values/);
});

test("attributes are named as labels are, few, and plain", (t) => {
  const given = (attributes: unknown) => changed(containerRequest(), "/workload/attributes", attributes);
  const at = (name: string) => `/workload/attributes/${escapeToken(name)}`;
  accepts(t, given({}));
  accepts(t, given({ "acme.example/team": "payments", "a/b": -1.5, "a-b.c/D_e.f-g": true, "0/0": "" }));
  accepts(t, given(Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`a.example/k${n}`, "v".repeat(1024)]))));
  accepts(
    t,
    given({ [`${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(61)}/${"e".repeat(63)}`]: 1 }),
  );
  const names = [
    "",
    "team",
    "/team",
    "acme/",
    "Acme/team",
    "acme//team",
    "a/b/c",
    ".a/b",
    "a./b",
    "a..b/c",
    "-a/b",
    "a/-b",
    "a/b-",
  ];
  names.push("a_b/c", "__proto__", "a/é", `${"a".repeat(64)}/b`, `a/${"b".repeat(64)}`, `${"a.".repeat(126)}aa/b`);
  for (const name of names)
    refuses(t, given(JSON.parse(`{${JSON.stringify(name)}:1}`)), [at(name)], /named prefix\/name/);
  for (const value of [null, [], {}, 2 ** 53, -(2 ** 53), "v".repeat(1025)])
    refuses(t, given({ "a/b": value }), [at("a/b")]);
  const many = Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`a.example/k${n}`, 1]));
  refuses(t, given(many), ["/workload/attributes"], /no more than 64 members/);
});

test("provenance names its attestation by digest, and tenancy is one of two", (t) => {
  const attestation = "/workload/envelope/container/images/0/provenance/attestation";
  for (const value of ["", "x", "sha256:", `sha256:${"A".repeat(64)}`, `sha512:${"a".repeat(64)}`, 5])
    refuses(t, changed(containerRequest(), attestation, value), [attestation]);
  for (const value of ["Shared", "", "exclusive", null])
    refuses(t, changed(containerRequest(), "/placement/tenancy", value), ["/placement/tenancy"]);
  accepts(t, changed(containerRequest(), "/placement/tenancy", "dedicated"));
});

test("of very many faults a hundred are told, and no more are looked for", (t) => {
  let looked = 0;
  const trap = (value: object) =>
    new Proxy(value, {
      get: (target, name) => {
        looked++;
        return Reflect.get(target, name);
      },
    });
  const images = Array.from({ length: 64 }, () => ({ reference: 5, nmae: 1 }));
  const dependencies = trap(Array.from({ length: 128 }, () => ({ kind: 5 })));
  const request = containerRequest();
  changed(request, "/workload/envelope/container/images", images);
  changed(request, "/workload/dependencies", dependencies);
  const error = t.throws(() => parseAdmissionRequest(request), { instanceOf: RequestError });
  t.is(error.errors.length, 100);
  t.true(looked < 1000, `${looked} reads`);
  const unknown = Object.fromEntries(Array.from({ length: 4000 }, (_, n) => [`wrokload${n}`, 1]));
  t.is(t.throws(() => parseAdmissionRequest(unknown), { instanceOf: RequestError }).errors.length, 100);
  const long = t.throws(() => parseAdmissionRequest({ ...bareRequest(), ["x".repeat(100_000)]: 1 }), {
    instanceOf: RequestError,
  });
  t.true(long.errors[0]!.pointer.length < 300);
});

test("prototypes are neither read nor written", (t) => {
  const hostile = JSON.parse('{"__proto__":{"workload":{"workload_id":"a","tenant_id":"b"}}}') as unknown;
  refuses(t, hostile, ["/workload", "/__proto__"]);
  const names = JSON.parse(
    '{"workload":{"workload_id":"__proto__","tenant_id":"constructor","toString":1,"__proto__":{}}}',
  ) as unknown;
  refuses(t, names, ["/workload/toString", "/workload/__proto__"]);
  t.is(({} as { workload?: unknown }).workload, undefined);
});

test("values that are no objects are refused whole", (t) => {
  for (const value of [null, [], 1, "x", true, undefined]) refuses(t, value, [""]);
});

test("whatever the validator refuses has a place, and nothing else has", (t) => {
  const validator = Compile(AdmissionRequestSchema);
  const junk = fc.oneof(fc.constantFrom(null, "", "DE", "PT1S", -1, 0.5, true), fc.jsonValue({ maxDepth: 2 }));
  const base = fc.constantFrom(containerRequest, vmRequest, teeRequest, bareRequest);
  fc.assert(
    fc.property(base, fc.array(fc.tuple(fc.nat(), junk), { maxLength: 3 }), (make, changes) => {
      const request = make();
      for (const [pick, value] of changes) {
        const pointers = pointersOf(request);
        if (pointers.length > 0) changed(request, pointers[pick % pointers.length]!, structuredClone(value));
      }
      t.is(explain(AdmissionRequestSchema, request).length === 0, validator.Check(request), JSON.stringify(request));
    }),
    { seed, numRuns: 1000 },
  );
});

test("bodies of commands", (t) => {
  const policy = {
    elevation_allowed: true,
    max_target_level: "hardware_isolated",
    preserve_latency_budget: true,
    latency_budget_us: 5,
  };
  const placement = { workload_id: "w", rail_id: "r", policy, tenant_id: "t", trace_id: "x" };
  t.is(parsePlacementBody(placement), placement as never);
  refuses(
    t,
    { ...placement, policy: { ...policy, max_target_level: "fort" } },
    ["/policy/max_target_level"],
    undefined,
    parsePlacementBody,
  );
  refuses(
    t,
    { ...placement, policy: { ...policy, latency_budget_us: -1 } },
    ["/policy/latency_budget_us"],
    undefined,
    parsePlacementBody,
  );
  refuses(
    t,
    { ...placement, policy: {} },
    Object.keys(policy).map((name) => `/policy/${name}`),
    undefined,
    parsePlacementBody,
  );
  t.notThrows(() => parseTopologyBody({ rails: [{ anything: 1 }, null] }));
  refuses(t, { rails: {} }, ["/rails"], undefined, parseTopologyBody);
  refuses(t, {}, ["/target_rail_id"], undefined, parseElevationBody);
  refuses(t, { transition: "restart" }, ["/transition"], /"create", "start", "stop", "destroy"/, parseLifecycleBody);
  t.notThrows(() => parseAttestationBody({ token: "x", tenant_id: "t" }));
  refuses(t, { token: "x", result: "pass" }, ["/result"], undefined, parseAttestationBody);
});

test("schemas are plain JSON, for OPA without what its type checker can't read", (t) => {
  t.deepEqual(JSON.parse(JSON.stringify(openapiComponents)), openapiComponents);
  t.notRegex(JSON.stringify(openapiComponents), /"~/);
  const policies = JSON.stringify(policySchemas);
  t.notRegex(policies, /"(~.*|not)":/);
  // As keywords: a member may be called so, and has a schema of its own then.
  t.notRegex(policies, /"(pattern|const|enum)":[^{]/);
});

function pointersOf(value: unknown, at = ""): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => {
    const pointer = `${at}/${escapeToken(name)}`;
    return [pointer, ...pointersOf(member, pointer)];
  });
}
