// Whether the node in this container lives, whatever it listens on and whoever may ask there: by the socket in its data directory.
import { get } from "node:http";

const socketPath = `${process.env["RAILGATE_DATA_DIR"] ?? "./data"}/railgate.sock`;
const asked = get({ socketPath, path: "/healthz", timeout: 4000 }, ({ statusCode }) => {
  process.exit(statusCode === 200 ? 0 : 1);
});
asked.on("error", () => process.exit(1));
asked.on("timeout", () => process.exit(1));
