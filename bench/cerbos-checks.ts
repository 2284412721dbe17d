// What makes Cerbos comparable: it admits what our law admits of these and denies what that refuses, and has them in its decision log.
import { isDeepStrictEqual } from "node:util";

type Document = { [member: string]: unknown };
/** As much of the law's input as cases change. */
interface Input {
  readonly request: { readonly workload: Document; readonly placement: Document };
  readonly facts: Document & { artifacts: Document[] };
  readonly context: { readonly policy: Document };
}

const profile = ({ request }: Input): Document =>
  (request.workload["envelope"] as { readonly container: Document }).container;
const dependencies = ({ request }: Input): Document[] => request.workload["dependencies"] as Document[];
const network = ({ request }: Input): Document => request.workload["network"] as Document;

/** What is changed of what is measured. The first ones are admitted, the others are not. */
const ADMITTED: Readonly<Record<string, (input: Input) => unknown>> = {
  "as it is measured": () => undefined,
  "of another risk": ({ request }) => (request.workload["risk"] = "medium"),
  "under another runtime": (input) => (profile(input)["runtime"] = "kata"),
  "on a file system to write to, justified": (input) =>
    Object.assign(profile(input), { read_only_root_filesystem: false, writable_justification: "spools reports" }),
  "asked for by its own tenant": ({ request, facts }) =>
    (facts["caller"] = { tenant_id: request.workload["tenant_id"] }),
};
const DENIED: Readonly<Record<string, (input: Input) => unknown>> = {
  "of an unknown risk": ({ request }) => (request.workload["risk"] = "extreme"),
  "in need of a stronger envelope": ({ request }) => (request.workload["classification"] = "restricted"),
  "under an unknown runtime": (input) => (profile(input)["runtime"] = "docker"),
  "without seccomp or AppArmor": (input) => Object.assign(profile(input), { seccomp: null, apparmor: null }),
  "on a file system to write to": (input) =>
    Object.assign(profile(input), { read_only_root_filesystem: false, writable_justification: null }),
  privileged: (input) => (profile(input)["privileged"] = true),
  "with a path of the host": (input) => (profile(input)["host_paths"] = ["/var/run/docker.sock"]),
  "with a capability": (input) => (profile(input)["added_capabilities"] = ["SYS_ADMIN"]),
  "on an open network": (input) => (network(input)["default_deny"] = false),
  "of another tenant": ({ facts }) => (facts["caller"] = { tenant_id: "somebody-else" }),
  elsewhere: ({ request }) => (request.placement["jurisdiction"] = "US"),
  "without what it depends on": (input) => (dependencies(input)[0]!["available"] = false),
  "without a registry": ({ request }) => (request.workload["dependencies"] = []),
  "with an image that is not pinned": ({ facts }) => (facts.artifacts[0]!["pinned"] = false),
  "of a regulated tenant, with no authority": ({ request }) => (request.workload["tenant_tier"] = "regulated"),
};

/** How often the log is looked at until what was asked is there; it is written by and by. */
const LOOKS_MAX = 90;
const LOOK_EVERY_MS = 500;

export interface Checked {
  /** Whether our law admits it. */
  readonly law: (input: unknown) => boolean;
  /** Whether Cerbos does, under a request's id. */
  readonly cerbos: (input: unknown, requestId: string) => Promise<boolean>;
}

/** @throws Error where law and Cerbos differ, or either is not what the case is for: the comparison would be void. */
export async function checkAnswers(input: unknown, { law, cerbos }: Checked): Promise<void> {
  const cases = [ADMITTED, DENIED].flatMap((group) =>
    Object.entries(group).map(([what, change]) => ({ what, change, admitted: group === ADMITTED })),
  );
  for (const [i, { what, change, admitted }] of cases.entries()) {
    const changed = structuredClone(input) as Input;
    change(changed);
    if (i > 0 && isDeepStrictEqual(changed, input)) throw voidOf(`the case "${what}" changes nothing`);
    const [ours, theirs] = [law(changed), await cerbos(changed, `check-${i}`)];
    if (ours !== admitted || theirs !== admitted)
      throw voidOf(
        `${what}: ${admitted ? "to be admitted" : "to be denied"}; our law ${said(ours)} it, Cerbos ${said(theirs)} it`,
      );
  }
}

const said = (admitted: boolean): string => (admitted ? "admits" : "denies");

/** @param entries how many decisions the log holds of those asked for. @throws Error it holds none: nothing was logged of what was measured. */
export async function checkLog(entries: () => Promise<number>): Promise<void> {
  for (let look = 0; look < LOOKS_MAX; look++) {
    if ((await entries()) > 0) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  throw voidOf("its decision log has nothing of what it was asked");
}

const voidOf = (why: string): Error => new Error(`the comparison with Cerbos is void: ${why}`);
