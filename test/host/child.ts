// The server that tests kill. Prints its URL on a line when it listens.
import { loadConfig } from "../../src/node/config/config.ts";
import { serve } from "../../src/http/server.ts";

const served = await serve(loadConfig());
process.stdout.write(`${JSON.stringify({ url: served.url })}\n`);
await served.closed;
