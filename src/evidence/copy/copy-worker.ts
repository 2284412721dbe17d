// A thread that reads both sides of a copy: it verifies, compares, and writes nothing.
import { openCopySource } from "../../store/open.ts";
import { answerRequests } from "../../threads/threads.ts";
import { Checking } from "./checking.ts";
import type { CopyAnswer, CopyRequest } from "./threads.ts";

let checking: Promise<Checking> | undefined;

answerRequests<CopyRequest, CopyAnswer>(async (request) => {
  if ("source" in request) {
    checking = (async () => new Checking(await openCopySource(request.source), await openCopySource(request.copied)))();
    await checking;
    return {};
  }
  const work = await checking!;
  return "records" in request ? work.read(request.records) : work.compare(request);
});
