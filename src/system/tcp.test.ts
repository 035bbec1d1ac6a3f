import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { test } from "node:test";
import { closeDescriptor, EAGAIN, nativeMemory, receiveNow, sendNow } from "./descriptors.ts";
import { SystemCallError } from "./ffi.ts";
import { POLLIN, POLLOUT, PollSet } from "./poll.ts";
import {
  acceptTcp,
  connectTcp,
  listenTcp,
  localOf,
  peerOf,
  setTcpOptions,
  shutDownTcp,
  socketError,
  unacknowledgedBytes,
} from "./tcp.ts";

const ECONNREFUSED = 111;
const EPIPE = 32;

function waitFor(fd: number, events: number): number {
  const set = new PollSet(1);
  set.watch(0, fd, events);
  set.wait(10_000);
  return set.ready(0);
}

for (const loopback of ["127.0.0.1", "::1"]) {
  test(`a connection over ${loopback}: dialled, taken, used, ended`, (context) => {
    let listener: number;
    try {
      listener = listenTcp({ address: loopback, port: 0 }, { receiveBufferBytes: 65_536 });
    } catch (error) {
      if (loopback !== "::1") throw error;
      return context.skip(`no IPv6 here: ${String(error)}`);
    }
    const open = [listener];
    try {
      equal(acceptTcp(listener), undefined);
      equal(peerOf(listener), undefined);
      const { port } = localOf(listener);
      const from = { address: loopback, port: 0 };
      const dialled = connectTcp({ address: loopback, port }, from, {
        noDelay: true,
        sendBufferBytes: 65_536,
        keepAlive: { idleSeconds: 10, intervalSeconds: 1, count: 3 },
        userTimeoutMs: 5_000,
      });
      open.push(dialled);
      ok(waitFor(dialled, POLLOUT) & POLLOUT);
      equal(socketError(dialled), 0);
      ok(waitFor(listener, POLLIN) & POLLIN);
      const taken = acceptTcp(listener);
      ok(taken !== undefined);
      open.push(taken);
      deepEqual(peerOf(dialled), { address: loopback, port });
      deepEqual(peerOf(taken), localOf(dialled));

      const memory = nativeMemory(64);
      equal(receiveNow(taken, memory.address, 64), -EAGAIN);
      memory.bytes.write("ping");
      setTcpOptions(dialled, { cork: true });
      equal(sendNow(dialled, memory.address, 2), 2);
      equal(sendNow(dialled, memory.address + 2n, 2), 2);
      setTcpOptions(dialled, { cork: false, quickAck: true });
      ok(unacknowledgedBytes(dialled) >= 0);
      waitFor(taken, POLLIN);
      const back = nativeMemory(64);
      equal(receiveNow(taken, back.address, 64), 4);
      equal(back.bytes.toString("latin1", 0, 4), "ping");

      shutDownTcp(dialled, "send");
      waitFor(taken, POLLIN);
      equal(receiveNow(taken, back.address, 64), 0);
      equal(sendNow(dialled, memory.address, 4), -EPIPE);
      shutDownTcp(taken, "both");
    } finally {
      open.forEach(closeDescriptor);
    }
  });
}

test("a refused connection is told by the error of the socket, an impossible one at once", () => {
  const listener = listenTcp({ address: "127.0.0.1", port: 0 });
  const { port } = localOf(listener);
  throws(() => listenTcp({ address: "127.0.0.1", port }), { code: "EADDRINUSE" });
  closeDescriptor(listener);
  const dialled = connectTcp({ address: "127.0.0.1", port });
  waitFor(dialled, POLLOUT);
  equal(socketError(dialled), ECONNREFUSED);
  equal(socketError(dialled), 0);
  equal(peerOf(dialled), undefined);
  closeDescriptor(dialled);
  throws(() => listenTcp({ address: "192.0.2.1", port: 0 }), SystemCallError);
  throws(() => connectTcp({ address: "dbm157", port }), RangeError);
});

test("a socket whose reader does not read takes what fits and then says that it is full", () => {
  const listener = listenTcp({ address: "127.0.0.1", port: 0 });
  const dialled = connectTcp({ address: "127.0.0.1", port: localOf(listener).port });
  waitFor(listener, POLLIN);
  const taken = acceptTcp(listener);
  try {
    const memory = nativeMemory(1_048_576);
    let sent = 0;
    for (let rounds = 0; rounds < 1_000; rounds++) {
      const count = sendNow(dialled, memory.address, memory.bytes.length);
      if (count === -EAGAIN) break;
      ok(count > 0);
      sent += count;
    }
    ok(sent > 0 && sent < 1_000 * memory.bytes.length);
    equal(sendNow(dialled, memory.address, 1_000_000), -EAGAIN);
  } finally {
    for (const fd of [listener, dialled, taken]) if (fd !== undefined) closeDescriptor(fd);
  }
});
