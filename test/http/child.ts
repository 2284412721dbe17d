// A server as a process of its own, for tests that kill it or take its disk away. Prints its URL on a line, then its log.
import { loadConfig } from "../../src/config.ts";
import { serve } from "../../src/http/server.ts";

// Beyond its file size limit a process gets this signal, whose default is to end it; a full disk would not.
process.on("SIGXFSZ", () => {});
const served = await serve(loadConfig());
process.stdout.write(`${JSON.stringify({ url: served.url, pid: process.pid })}\n`);
await served.closed;
