/** The worker in which the engine runs: puts its parts together, and ends the process if the engine finds a bug in itself. */
import { flushCompileCache } from "node:module";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { assert } from "../../base/index.ts";
import { nodeDigests } from "../../replication/wire/digests.shell.ts";
import { monotonicClock } from "../../system/clock.ts";
import { becomeIoFlusher } from "../../system/memory-lock.ts";
import { makeCore } from "./core.ts";
import { DiskLog } from "./disk-log.ts";
import { endAtOnce, exitStatus } from "./end-at-once.ts";
import { Engine } from "./engine.ts";
import { Failpoints } from "./failpoints.ts";
import { LocalDisk, random64 } from "./local-disk.ts";
import type { EngineCommand, EngineReport, EngineSetup } from "./messages.ts";
import { PeerSockets } from "./peer-sockets.ts";
import { Mailbox, SharedWords } from "./shared-words.ts";

const setup = workerData as EngineSetup;
const shared = new SharedWords(setup.shared);
becomeIoFlusher();
// Now, because this thread comes to no end of its own: the next start needs no compiler, and much less memory.
flushCompileCache();
try {
  makeEngine().run();
} catch (error) {
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  endAtOnce(shared, setup.mountPoint, exitStatus.assertion, "BTN-DISK-ENGINE-BUG", detail);
}

function makeEngine(): Engine {
  const port = parentPort;
  assert(port !== null, "The engine runs in a worker");
  const { spec, host, secret } = setup;
  const side = spec.hosts.find((each) => each.host === host);
  assert(side !== undefined, "This host is one of the two of the disk");
  const failpoints = new Failpoints(setup.failpoint);
  const report = (message: EngineReport): void => port.postMessage(message);
  const { flush, metadata, workers } = setup.mailboxes;
  const mailboxes = {
    flush: new Mailbox("flush", flush),
    metadata: new Mailbox("metadata", metadata),
    workers: workers.map((memory) => new Mailbox("worker", memory)),
  };
  const core = makeCore(
    { spec, host, digests: nodeDigests, secret, random64 },
    monotonicClock.now(),
  );
  return new Engine({
    core,
    shared,
    eventFd: setup.eventFd,
    failpoints,
    diskName: spec.name,
    makeDisk: ({ feed, settle }) =>
      new LocalDisk({
        side,
        metadataFlushes: spec.disk.metadataFlushes,
        mailboxes,
        log: DiskLog.open(setup.diskLog, shared),
        failpoints,
        settle,
        feed,
        startWorker: (index) => report({ kind: "worker", index }),
      }),
    makeSockets: ({ feed }) => new PeerSockets({ shared, failpoints, feed }),
    nextCommand: () => receiveMessageOnPort(port)?.message as EngineCommand | undefined,
    report,
  });
}
