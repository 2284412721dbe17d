// The thread that sends records upstream.
import { parentPort, workerData } from "node:worker_threads";
import { RemoteService } from "../../outbound/service.ts";
import type { ForwardData } from "./forward-messages.ts";
import { sendRecords } from "./record-sender.ts";

const data = workerData as ForwardData;
void sendRecords(data, new RemoteService(data.access), parentPort!);
