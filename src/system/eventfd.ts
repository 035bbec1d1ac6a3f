/** eventfd(2): wakes a thread that waits in poll(2), from any thread, by the number of the descriptor alone. */
import { EAGAIN, nativeMemory, readNow, writeNow } from "./descriptors.ts";
import { bindNative, checked, SystemCallError } from "./ffi.ts";

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;

const native = bindNative({ eventfd: { arguments: ["uint32", "int32"], return: "int32" } });

const one = nativeMemory(8, false, 8);
one.bytes.writeBigUInt64LE(1n);
const counter = nativeMemory(8, false, 8);

/** A new one, non-blocking and close-on-exec. Close with `closeDescriptor`. @throws {SystemCallError} EMFILE */
export function createEventDescriptor(): number {
  return checked("create event descriptor", native.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

/** Makes it readable. Any number of signals before a drain is one. @throws {SystemCallError} EBADF */
export function signalEvent(fd: number): void {
  const written = writeNow(fd, one.address, 8);
  // EAGAIN: the counter is full, so it is readable already.
  if (written < 0 && written !== -EAGAIN) throw new SystemCallError("signal event", -written);
}

/** Makes it unreadable. @returns how many signals came since the last time, 0 if none. @throws {SystemCallError} EBADF */
export function drainEvent(fd: number): number {
  const count = readNow(fd, counter.address, 8);
  if (count === 8) return Number(counter.bytes.readBigUInt64LE());
  if (count === -EAGAIN) return 0;
  throw new SystemCallError("drain event", -count);
}
