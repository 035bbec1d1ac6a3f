/**
 * Watches over the engine thread of a disk. While the engine is stuck in a system call (a disk that does not answer, writes
 * that are throttled) it answers the peer's pings in its place (drbd.md I10, 3.7); and when a disk call takes longer than
 * `disk-timeout` it ends the process, so that the peer can take over.
 *
 * It looks every 50 ms while there is work, and sleeps while the engine waits for some. It never sends a ping of its own:
 * a host whose disk hangs must not look alive to a peer that did not ask.
 */
import { flushCompileCache } from "node:module";
import { workerData } from "node:worker_threads";
import { monotonicClock } from "../../system/clock.ts";
import { nativeMemory, receiveNow, sendNow } from "../../system/descriptors.ts";
import { addressOf } from "../../system/ffi.ts";
import { endAtOnce, exitStatus } from "./end-at-once.ts";
import { type HelperRole, Mailbox, SharedWords, TAKE_OVER_BYTES, word } from "./shared-words.ts";

/** What the sentry thread is started with. */
export interface SentrySetup {
  readonly shared: SharedArrayBuffer;
  readonly mailboxes: readonly {
    readonly role: HelperRole;
    readonly memory: SharedArrayBuffer;
  }[];
  /** 0: none. */
  readonly diskTimeoutMs: number;
  readonly mountPoint: string;
}

const LOOK_EVERY_MS = 50;
/** An engine that did nothing for so long is stuck. */
const STUCK_MS = 100;
/** No helper thread and no engine at work for so long: sleep until the engine has work. */
const IDLE_MS = 1_000;
const HEADER_BYTES = 16;
const MAGIC = 0x8620_ec20;
const P_PING = 0x13;
const P_PING_ACK = 0x14;

const setup = workerData as SentrySetup;
// Now, because this thread comes to no end of its own: the next start needs no compiler, and much less memory.
flushCompileCache();
const shared = new SharedWords(setup.shared);
const pingAck = nativeMemory(HEADER_BYTES);
pingAck.bytes.writeUInt32BE(MAGIC, 0);
pingAck.bytes.writeUInt16BE(P_PING_ACK, 6);
const takenOver = Buffer.from(
  shared.takenOver.buffer,
  shared.takenOver.byteOffset,
  TAKE_OVER_BYTES,
);
const takenOverAddress = addressOf(takenOver);

/** A count that should grow while something is busy. */
class Watched {
  #seen = -1;
  #since = 0;

  /** @returns for how long it has been busy without progress */
  stillMs(busy: boolean, progress: number, now: number): number {
    if (!busy || progress !== this.#seen) {
      this.#seen = progress;
      this.#since = now;
    }
    return now - this.#since;
  }
}

const engine = new Watched();
const helpers = setup.mailboxes.map(({ role, memory }) => ({
  role,
  mailbox: new Mailbox(role, memory),
  watched: new Watched(),
}));
let idleSince = monotonicClock.now() as number;
/** Bytes of `takenOver` that were looked at, in whole packets. */
let lookedAt = 0;

while (shared.get(word.stopping) === 0) {
  const asleep = shared.get(word.engineAsleep) === 1;
  const now = monotonicClock.now();
  const stuckMs = engine.stillMs(!asleep, shared.get(word.engineProgress), now);
  if (stuckMs >= STUCK_MS) standIn();
  const longest = Math.max(stuckMs, ...helpers.map(helperStillMs(now)));
  if (setup.diskTimeoutMs > 0 && longest >= setup.diskTimeoutMs) {
    const detail = `a call to the disk has taken ${Math.round(longest)} ms`;
    endAtOnce(shared, setup.mountPoint, exitStatus.disk, "BTN-DISK-TIMEOUT", detail);
  }
  const busy = !asleep || helpers.some(({ mailbox }) => mailbox.progress.busy);
  if (busy) idleSince = now;
  if (now - idleSince >= IDLE_MS) sleepUntilWork();
  else Atomics.wait(shared.words, word.stopping, 0, LOOK_EVERY_MS);
}

function helperStillMs(now: number) {
  return ({ mailbox, watched }: (typeof helpers)[number]): number => {
    const { busy, done } = mailbox.progress;
    return watched.stillMs(busy, done, now);
  };
}

/** The engine sees the word whenever it wakes up, and wakes us. */
function sleepUntilWork(): void {
  shared.set(word.sentryAsleep, 1);
  if (shared.get(word.engineAsleep) === 1 && shared.get(word.stopping) === 0) {
    Atomics.wait(shared.words, word.sentryAsleep, 1);
  }
  shared.set(word.sentryAsleep, 0);
  idleSince = monotonicClock.now();
}

/** Takes what has arrived on the meta socket, answers pings among it, and keeps the rest for the engine. */
function standIn(): void {
  shared.lockMeta(2);
  const fd = shared.get(word.metaSocket);
  const before = shared.get(word.takenOver);
  if (before === 0) lookedAt = 0;
  if (fd !== -1 && before < TAKE_OVER_BYTES) {
    const address = takenOverAddress + BigInt(before);
    const count = receiveNow(fd, address, TAKE_OVER_BYTES - before);
    // The end of the connection, and errors, are the engine's to find: it gets them from the socket as well.
    if (count > 0) answerPings(fd, before + count);
  }
  shared.unlockMeta();
}

function answerPings(fd: number, length: number): void {
  let end = length;
  while (lookedAt + HEADER_BYTES <= end) {
    if (takenOver.readUInt32BE(lookedAt) !== MAGIC) break; // no packet: the engine drops the connection
    const command = takenOver.readUInt16BE(lookedAt + 6);
    const total = HEADER_BYTES + takenOver.readUInt32BE(lookedAt + 8);
    if (lookedAt + total > end) break;
    if (command === P_PING && sendNow(fd, pingAck.address, HEADER_BYTES) === HEADER_BYTES) {
      takenOver.copyWithin(lookedAt, lookedAt + total, end);
      end -= total;
      Atomics.add(shared.words, word.pingsAnswered, 1);
    } else lookedAt += total;
  }
  shared.set(word.takenOver, end);
}
