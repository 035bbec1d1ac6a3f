/**
 * The one door to native code: `node:ffi`. Every other file of `system/` binds what it needs through
 * `bindNative` and turns a result of -1 into a `SystemCallError` with `checked`, in the same expression, so that
 * nothing runs between the call and the reading of errno.
 *
 * Calls are synchronous and hold up the event loop: bind only what does not wait, or give it a
 * descriptor that does not block. Start processes with `--disable-warning=ExperimentalWarning`.
 *
 * Arguments: `int32` and smaller are numbers, `int64`/`uint64` are bigints, `pointer`, `buffer` and `string` take a
 * string (copied, with a NUL at its end), a `Buffer` or typed array, an address (bigint) or null.
 */
import { dlopen, type FunctionDefinitions, getInt32, getRawPointer } from "node:ffi";
import { getSystemErrorMessage, getSystemErrorName } from "node:util";

/** A system call said no. `code` is the name of the errno, such as `ENETDOWN`. */
export class SystemCallError extends Error {
  override readonly name = "SystemCallError";
  readonly call: string;
  readonly errno: number;
  readonly code: string;

  /** @param detail what it was about: a device, a path; part of the message */
  constructor(call: string, errno: number, detail?: string) {
    const code = errnoName(errno);
    const about = detail === undefined ? "" : ` ${detail}`;
    super(`Cannot ${call}${about}: ${code}, ${errnoText(errno)}`);
    this.call = call;
    this.errno = errno;
    this.code = code;
  }
}

/**
 * Binds functions of the C library, or of libuv, which this process carries.
 * @throws {Error} if a symbol does not exist
 */
export function bindNative<const Definitions extends FunctionDefinitions>(
  definitions: Definitions,
): ReturnType<typeof dlopen<Definitions>>["functions"] {
  return dlopen(null, definitions).functions;
}

/** Where the bytes of a buffer lie: for structures that point to others, and for alignment. */
export function addressOf(bytes: ArrayBuffer | NodeJS.ArrayBufferView): bigint {
  return getRawPointer(bytes);
}

const errnoLocation = bindNative({
  __errno_location: { arguments: [], return: "pointer" },
}).__errno_location;

/** The errno of this thread. Only meaningful right after a call that failed. */
export function errno(): number {
  return getInt32(errnoLocation());
}

/**
 * Passes the result of a call through, as a number.
 * @param call the name for messages, such as `bind`
 * @throws {SystemCallError} if the result is -1
 */
export function checked(call: string, result: number | bigint, detail?: string): number {
  if (result === -1 || result === -1n) throw new SystemCallError(call, errno(), detail);
  return Number(result);
}

/** `ENETDOWN` for 100; `E<number>` for one that Node does not know. */
export function errnoName(number: number): string {
  try {
    return getSystemErrorName(-number);
  } catch {
    return `E${number}`; // a RangeError: not an errno of this platform; the number says it all
  }
}

function errnoText(number: number): string {
  try {
    return getSystemErrorMessage(-number) ?? "unknown error";
  } catch {
    return "unknown error"; // as above
  }
}

/** What several files need. Raw results: wrap them in `checked`. */
export const libc = bindNative({
  close: { arguments: ["int32"], return: "int32" },
  fcntl: { arguments: ["int32", "int32", "int64"], return: "int32" },
  ioctl: { arguments: ["int32", "uint64", "pointer"], return: "int32" },
  mount: {
    arguments: ["string", "string", "pointer", "uint64", "pointer"],
    return: "int32",
  },
  umount2: { arguments: ["string", "int32"], return: "int32" },
  socket: { arguments: ["int32", "int32", "int32"], return: "int32" },
  setsockopt: { arguments: ["int32", "int32", "int32", "pointer", "uint32"], return: "int32" },
  getsockopt: { arguments: ["int32", "int32", "int32", "pointer", "pointer"], return: "int32" },
  bind: { arguments: ["int32", "pointer", "uint32"], return: "int32" },
  getsockname: { arguments: ["int32", "pointer", "pointer"], return: "int32" },
  sendto: {
    arguments: ["int32", "pointer", "uint64", "int32", "pointer", "uint32"],
    return: "int64",
  },
  recvfrom: {
    arguments: ["int32", "pointer", "uint64", "int32", "pointer", "pointer"],
    return: "int64",
  },
  if_nametoindex: { arguments: ["string"], return: "uint32" },
  flock: { arguments: ["int32", "int32"], return: "int32" },
  setsid: { arguments: [], return: "int32" },
  sync: { arguments: [], return: "void" },
  syncfs: { arguments: ["int32"], return: "int32" },
});
