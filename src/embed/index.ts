// `railgate`: the engine as a library, for hosts that decide in their own process; the command line can ask a host by the socket in its data directory.
import type { Server } from "node:http";
import type { LocalRailgate, LocalSettings, NodeOptions } from "../library/index.ts";
import { openRailgate as open } from "../library/index.ts";

export * from "../library/index.ts";

/**
 * Opens a node in this process: bundle, keys and store have embedded defaults. Whoever owns the data directory can ask it there
 * (`railgate events --data-dir …`) for as long as it is open.
 * @param actor what the host is called in the events of what it does itself.
 * @throws ConfigError an option that is none, such as a node id that is no identifier.
 * @throws RailgateError this Node.js is too old; the message says which is needed.
 * @throws StoreLockedError another process holds the data directory.
 * @throws DataDirError the data directory cannot be made or written.
 * @throws KeyError the private key is missing or another.
 * @throws LogRolledBackError the database is behind the checkpoints that were signed, or another one.
 * @throws CheckpointsMissingError nobody can tell whether it is: see `afterRestore`.
 * @throws EvidenceUnavailableError the database cannot be written.
 */
export async function openRailgate(
  options: Partial<NodeOptions> & LocalSettings = {},
  actor = "library",
): Promise<LocalRailgate> {
  // Read meanwhile; where it cannot be, that is said below.
  const socket = import("../http/socket-file.ts");
  socket.catch(() => {});
  const railgate = await open(options, actor);
  await beAsked(railgate, await socket);
  return railgate;
}

/** What answers is loaded when somebody asks. Where there can be no socket, nobody does. */
async function beAsked(
  railgate: LocalRailgate,
  { LocalSocket }: typeof import("../http/socket-file.ts"),
): Promise<void> {
  let server: Promise<Server> | undefined;
  const socket = await LocalSocket.open(railgate.dataDir, (connection) => {
    server ??= import("../http/host.ts").then(({ hostServer }) => hostServer(railgate));
    server.then(
      (http) => http.emit("connection", connection),
      () => connection.destroy(),
    );
  }).catch(() => undefined);
  if (!socket) return;
  railgate.beforeClose(() => socket.close());
  railgate.listening({ socket: socket.path });
}
