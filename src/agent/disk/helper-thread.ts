/**
 * A thread that waits for the disk so that the engine need not. One of: `flush` (fdatasync), `metadata` (writes that are
 * durable when they are done), `worker` (reads that are not in memory, discards, zero-outs).
 */
import { flushCompileCache } from "node:module";
import { workerData } from "node:worker_threads";
import { discardBlocks, punchHole, zeroBlocks, zeroRange } from "../../system/block-space.ts";
import { becomeIoFlusher } from "../../system/memory-lock.ts";
import { preadAt, pwriteAt } from "../../system/positioned-io.ts";
import { DiskLog } from "./disk-log.ts";
import { syncData, writeBack, writeDurably } from "./durable-write.ts";
import { Failpoints } from "./failpoints.ts";
import { type HelperRole, type Job, job, Mailbox, SharedWords } from "./shared-words.ts";

/** What a helper thread is started with. */
export interface HelperSetup {
  readonly role: HelperRole;
  readonly mailbox: SharedArrayBuffer;
  readonly shared: SharedArrayBuffer;
  readonly eventFd: number;
  readonly failpoint: string | undefined;
  readonly diskLog: string | undefined;
}

const EIO = 5;
const EOPNOTSUPP = 95;
const ZEROES = 1_048_576;

const setup = workerData as HelperSetup;
const shared = new SharedWords(setup.shared);
const mailbox = new Mailbox(setup.role, setup.mailbox);
const log = DiskLog.open(setup.diskLog, shared);
const failpoints = new Failpoints(setup.failpoint);
becomeIoFlusher();
// Now, because this thread comes to no end of its own: the next start needs no compiler, and much less memory.
flushCompileCache();
mailbox.serve(shared, setup.eventFd, perform);

function perform(what: Job, slot: number): number {
  switch (what.kind) {
    case job.flush:
      return flush(what);
    case job.metadata:
      return writeMetadata(what, slot);
    case job.read:
      return readFully(what, slot);
    case job.punchHole:
      return -(punchHole(what.fd, what.offset, what.length) ?? 0);
    case job.zeroRange:
      return zeroes(what, slot);
    case job.discardBlocks:
      return -(discardBlocks(what.fd, what.offset, what.length) ?? 0);
    case job.zeroBlocks:
      return -(zeroBlocks(what.fd, what.offset, what.length) ?? 0);
    default:
      return -EIO;
  }
}

function flush({ fd }: Job): number {
  const before = log?.newest ?? 0;
  const result = syncData(fd);
  if (result === 0) log?.durable("data", 1, before);
  return result;
}

/**
 * Payload: for each write its offset and length as two doubles, then all bytes. `length`: how many writes. All but the
 * last go to the device and are waited for; the last is written durably, which flushes the device for all of them.
 */
function writeMetadata({ fd, length: count, flag }: Job, slot: number): number {
  const payload = mailbox.payloads[slot];
  if (payload === undefined) return -EIO;
  const { bytes, address } = payload;
  failpoints.pass("metadata");
  let at = count * 16;
  const first = (log?.newest ?? 0) + 1;
  for (let index = 0; index < count; index++) {
    const offset = bytes.readDoubleLE(index * 16);
    const length = bytes.readDoubleLE(index * 16 + 8);
    log?.write("metadata", offset, bytes.subarray(at, at + length));
    const last = index === count - 1 && flag === 1;
    const result = writeFully(fd, address + BigInt(at), length, offset, last);
    if (result < 0) return result;
    at += length;
  }
  if (flag === 1 && log !== undefined) log.durable("metadata", first, log.newest);
  return 0;
}

function writeFully(
  fd: number,
  address: bigint,
  length: number,
  offset: number,
  durably: boolean,
): number {
  const write = durably ? writeDurably : pwriteAt;
  for (let done = 0; done < length; ) {
    const count = write(fd, address + BigInt(done), length - done, offset + done);
    if (count <= 0) return count === 0 ? -EIO : count;
    done += count;
  }
  return durably ? 0 : writeBack(fd, offset, length);
}

function readFully({ fd, offset, length }: Job, slot: number): number {
  const payload = mailbox.payloads[slot];
  if (payload === undefined) return -EIO;
  for (let done = 0; done < length; ) {
    const count = preadAt(fd, payload.address + BigInt(done), length - done, offset + done);
    if (count <= 0) return count === 0 ? -EIO : count;
    done += count;
  }
  return length;
}

/** Where there is no quick way, zeroes are written. */
function zeroes(what: Job, slot: number): number {
  const refused = zeroRange(what.fd, what.offset, what.length);
  if (refused !== EOPNOTSUPP) return -(refused ?? 0);
  const payload = mailbox.payloads[slot];
  if (payload === undefined) return -EIO;
  payload.bytes.fill(0);
  for (let done = 0; done < what.length; ) {
    const length = Math.min(ZEROES, what.length - done);
    const count = pwriteAt(what.fd, payload.address, length, what.offset + done);
    if (count <= 0) return count === 0 ? -EIO : count;
    done += count;
  }
  return 0;
}
