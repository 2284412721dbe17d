// What fetches bundles in the background, and what it tells of whether their services can be reached.
import { RemoteService } from "../outbound/service.ts";
import type { Policies } from "../policies/activate.ts";
import { BundlePoller } from "../policies/poll.ts";
import { isPolled } from "../policies/source.ts";
import { VERSION, type NodeOptions } from "./options.ts";
import type { Partition } from "./partition.ts";
import type { Service } from "./services.ts";

/** The servers that the settings name. Whoever made them closes them. */
export function remoteServices({ services = {} }: NodeOptions): ReadonlyMap<string, RemoteService> {
  return new Map(
    Object.entries(services).map(([name, access]) => [name, new RemoteService(access, `Railgate/${VERSION}`)]),
  );
}

/** A poller for each bundle that comes from a service. @throws Error one names a service that there is none of. */
export function bundleServices(
  { bundles = [], observe }: NodeOptions,
  remotes: ReadonlyMap<string, RemoteService>,
  {
    policies,
    partition,
    failed: alsoFailed,
    now,
  }: { policies: Policies; partition: Partition; failed: () => void; now: () => number },
): Service[] {
  const polled = bundles.filter(isPolled);
  if (polled.length > 0) partition.expect("bundles");
  const failing = new Map<string, string>();
  return polled.map((bundle) => {
    const service = remotes.get(bundle.service);
    if (!service) throw new Error(`bundle ${bundle.name} names the service ${bundle.service}, which there is none of`);
    const reached = (problem: string | undefined) => {
      if (problem === undefined) failing.delete(bundle.name);
      else failing.set(bundle.name, problem);
      partition.report("bundles", failing.values().next().value);
    };
    const failed = (problem: string) => {
      observe?.bundleFailed?.(problem);
      alsoFailed();
    };
    return new BundlePoller({ bundle, service, policies, now, reached, failed });
  });
}
