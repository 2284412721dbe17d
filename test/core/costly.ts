// The costliest bodies that the door takes, or refuses: wrong in everything that is counted, or as long as a body may be.
import { containerRequest, teeRequest, vmRequest } from "./requests.ts";

export const times = <T>(count: number, item: (n: number) => T): T[] =>
  Array.from({ length: count }, (_, n) => item(n));
const named = (count: number, name: (n: number) => string) => Object.fromEntries(times(count, (n) => [name(n), 1]));

type Body = { workload: Record<string, any>; placement: Record<string, any> } & Record<string, any>;

function body(kind: "container" | "vm" | "tee", change: (body: Body, profile: Record<string, any>) => void): Body {
  const made = { container: containerRequest, vm: vmRequest, tee: teeRequest }[kind]() as unknown as Body;
  change(made, made.workload["envelope"][kind]);
  return made;
}

/** Wrong in everything that is counted, as often as the door lets it be. */
export function allWrong(kind: "container" | "vm"): Body {
  return body(kind, (made, profile) => {
    const critical = kind === "container" ? ["runtime", "image_registry"] : ["firmware", "hypervisor"];
    for (const field of ["tenant_tier", "risk", "classification"]) made.workload[field] = "x";
    made.workload["governance_profile"] = "regulated-ml";
    for (const list of ["images", "firmware", "drivers"])
      if (list in profile)
        profile[list] = times(64, () => ({ name: "n", provenance: { verified: false, issuer: "i" } }));
    for (const list of ["host_namespaces", "host_paths", "added_capabilities"])
      if (list in profile) profile[list] = times(64, (n) => `x${n}`);
    made.workload["dependencies"] = times(128, (n) => ({
      dependency_id: `d${n}`,
      kind: critical[n % 2],
      available: false,
      local: false,
      jurisdiction: "US",
    }));
    made.workload["residency"] = times(128, (n) => (n % 2 ? "EU" : "EEA"));
    made.workload["jurisdictions"] = times(128, (n) => (n % 2 ? "EU" : "EEA"));
    made.placement = { jurisdiction: "US", tenants_on_host: times(256, (n) => `t${n}`) };
  });
}

const word = (text: string) => body("container", (made) => void (made.workload["classification"] = text));
const envelope = (value: unknown) => body("container", (made) => void (made.workload["envelope"] = value));

export const COSTLY_BODIES: [what: string, body: object][] = [
  ["a container that is all wrong", allWrong("container")],
  ["a vm that is all wrong", allWrong("vm")],
  ["a megabyte in one word", word("c".repeat(1_000_000))],
  ["a megabyte of quotes", word('"'.repeat(500_000))],
  ["a megabyte of controls", word("\u0001".repeat(170_000))],
  ["a megabyte beyond the BMP", word("\u{1F600}".repeat(250_000))],
  ["a kind of a megabyte", envelope({ kind: "k".repeat(1_000_000) })],
  ["a kind of quotes", envelope({ kind: '"'.repeat(500_000) })],
  ["an envelope of numbers", envelope({ kind: "k", numbers: times(400_000, () => 1) })],
  ["an envelope of objects", envelope({ kind: "k", objects: times(60_000, (n) => ({ a: n })) })],
  ["an envelope of names", envelope({ kind: "k", names: named(60_000, (n) => `k${n}`) })],
  [
    "objects, each of names of its own",
    envelope({ kind: "k", all: times(2500, (m) => named(20, (n) => `k${m}-${n}`)) }),
  ],
  ["unknown members", { ...containerRequest(), ...named(60_000, (n) => `wrokload${n}`) }],
  ["as many as there may be", { ...containerRequest(), ...named(4000, (n) => `wrokload${n}`) }],
  [
    "attributes without end",
    body("container", (made) => void (made.workload["attributes"] = named(4000, (n) => `a.b/k${n}`))),
  ],
  ["a name of dots", body("container", (made) => void (made.workload["attributes"] = { ["a.".repeat(400_000)]: 1 }))],
  [
    "images without end",
    body("container", (_, profile) => void (profile["images"] = times(20_000, () => ({ reference: 5 })))),
  ],
  [
    "long texts",
    body("container", (_, profile) => void (profile["host_paths"] = times(64, () => "\u2800".repeat(4096)))),
  ],
];
