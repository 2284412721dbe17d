// A server as a process of its own, for tests that kill it or take its disk away.
import { loadConfig } from "../../src/node/config/config.ts";
import { serve } from "../../src/http/server.ts";

// Beyond its file size limit a process gets this signal, whose default is to end it; a full disk would not.
process.on("SIGXFSZ", () => {});
const served = await serve(loadConfig());
await served.closed;
