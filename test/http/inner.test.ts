// What a thread passes on to the main one: the answer comes back, whatever the caller is still sending.
import { once } from "node:events";
import { createServer } from "node:http";
import { createConnection, type AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import test from "ava";
import { Peers } from "../../src/http/call/peer.ts";
import { endBehind } from "../../src/http/call/reply.ts";
import { Inner, passOn } from "../../src/http/threads/inner.ts";

const CALLERS = 24;

test("an answer that ends the connection comes back while the body goes on coming", async (t) => {
  const inner = await Inner.open((req, res) => {
    req.once("data", () => {
      endBehind(res);
      res.writeHead(408).end("too slow");
    });
  });
  const outer = createServer(passOn(inner.address, new Peers(), () => undefined));
  outer.listen(0, "127.0.0.1");
  await once(outer, "listening");
  const { port } = outer.address() as AddressInfo;
  const told = await Promise.all(
    Array.from({ length: CALLERS }, async () => {
      const socket = createConnection({ port, host: "127.0.0.1", noDelay: true });
      socket.write("POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\n");
      const sending = setInterval(() => socket.write("x"), 1);
      socket.on("close", () => clearInterval(sending));
      return text(socket);
    }),
  );
  for (const each of told) t.regex(each, /^HTTP\/1.1 408 [^]*\r\nConnection: close\r\n[^]*too slow/);
  outer.close();
  await inner.close();
});
