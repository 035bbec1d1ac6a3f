/**
 * Tells when a descriptor can be read, for kinds that `node:dgram` and `node:net` refuse: raw, packet and netlink
 * sockets, `/dev/fuse`. libuv's own poll handle on the event loop of this thread: no thread waits, nothing polls.
 *
 * The native callback only schedules an immediate; the work runs in that, in the same turn of the
 * loop, where exceptions, promises and timers behave as everywhere else.
 */
import { DynamicLibrary, getCurrentEventLoop } from "node:ffi";
import { errnoName, SystemCallError } from "./ffi.ts";

/** From uv.h; the values are part of libuv's stable interface. */
const UV_POLL = 8;
const UV_READABLE = 1;

const library = new DynamicLibrary(null);
const uv = library.getFunctions({
  uv_handle_size: { arguments: ["int32"], return: "uint64" },
  uv_poll_init: { arguments: ["pointer", "pointer", "int32"], return: "int32" },
  uv_poll_start: { arguments: ["pointer", "int32", "pointer"], return: "int32" },
  uv_close: { arguments: ["pointer", "pointer"], return: "void" },
  calloc: { arguments: ["uint64", "uint64"], return: "pointer" },
  free: { arguments: ["pointer"], return: "void" },
});

const watchers = new Map<bigint, Watcher>();

interface Watcher {
  readonly onReadable: () => void;
  readonly onClosed: () => void;
  scheduled: boolean;
}

/** libuv stops watching a descriptor that has an error; a moment later it is watched again. */
const AFTER_ERROR_MS = 100;

/** One native callback for all handles, kept for the life of the process: none can outlive it. */
const polled = library.registerCallback(
  { arguments: ["pointer", "int32", "int32"], return: "void" },
  (handle, status) => {
    const watcher = watchers.get(handle as bigint);
    if (watcher === undefined) return;
    if ((status as number) < 0) setTimeout(() => watchAgain(handle as bigint), AFTER_ERROR_MS);
    if (watcher.scheduled) return;
    watcher.scheduled = true;
    setImmediate(() => {
      watcher.scheduled = false;
      if (watchers.has(handle as bigint)) watcher.onReadable();
    });
  },
);

const closed = library.registerCallback({ arguments: ["pointer"], return: "void" }, (handle) => {
  const watcher = closing.get(handle as bigint);
  closing.delete(handle as bigint);
  uv.free(handle as bigint);
  setImmediate(() => watcher?.onClosed());
});
const closing = new Map<bigint, Watcher>();

function watchAgain(handle: bigint): void {
  if (watchers.has(handle)) uv.uv_poll_start(handle, UV_READABLE, polled);
}

/**
 * Calls `onReadable` while `fd`, which must not block, has something to read (level-triggered), until the returned
 * function is called. Keeps the process alive meanwhile. An error on the descriptor counts as readable: the read
 * that follows reports it.
 *
 * Close `fd` only when the promise of the returned function has resolved.
 * @throws {SystemCallError} if the descriptor can not be watched: a regular file, or closed
 */
export function watchReadable(fd: number, onReadable: () => void): () => Promise<void> {
  const handle = uv.calloc(1n, uv.uv_handle_size(UV_POLL));
  const refusal = uv.uv_poll_init(getCurrentEventLoop(), handle, fd);
  if (refusal !== 0) {
    uv.free(handle); // never became part of the loop
    throw new SystemCallError("watch", -refusal, `descriptor ${fd} (${errnoName(-refusal)})`);
  }
  const { promise, resolve } = Promise.withResolvers<void>();
  const watcher: Watcher = { onReadable, onClosed: resolve, scheduled: false };
  watchers.set(handle, watcher);
  uv.uv_poll_start(handle, UV_READABLE, polled);
  return () => {
    if (watchers.delete(handle)) {
      closing.set(handle, watcher);
      uv.uv_close(handle, closed);
    }
    return promise;
  };
}
