import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { bindNative, libc, SystemCallError } from "./ffi.ts";
import { watchReadable } from "./readiness.ts";
import {
  AF_INET,
  addressKey,
  bindSocket,
  bindToDevice,
  closeSocket,
  deviceIndex,
  ipv6Bytes,
  makeReceiver,
  openSocket,
  receiveDatagram,
  SOCK_DGRAM,
  sendDatagram,
  socketAddress,
} from "./sockets.ts";

test("IPv6 addresses in every notation become their bytes", () => {
  const hex = (address: string): string => Buffer.from(ipv6Bytes(address)).toString("hex");
  equal(hex("::"), "0".repeat(32));
  equal(hex("::1"), `${"0".repeat(31)}1`);
  equal(hex("fe80::a:b"), "fe8000000000000000000000000a000b");
  equal(hex("2001:db8:1:2:3:4:5:6"), "20010db8000100020003000400050006");
  equal(hex("::ffff:192.168.0.157"), "00000000000000000000ffffc0a8009d");
  equal(hex("ff02::"), `ff02${"0".repeat(28)}`);
});

test("a link-local address takes the scope given, else the default", () => {
  const loopback = deviceIndex("lo");
  equal(socketAddress("fe80::1", 694, 7).readUInt32LE(24), 7);
  equal(socketAddress("fe80::1%lo", 694, 7).readUInt32LE(24), loopback);
  equal(socketAddress("fe80::1%9", 694, 7).readUInt32LE(24), 9);
  equal(socketAddress("2001:db8::1", 694, 7).readUInt32LE(24), 0);
  throws(() => socketAddress("dbm157", 694), RangeError);
});

test("a datagram arrives with its sender, by the event loop alone", async () => {
  const receiverFd = openSocket(AF_INET, SOCK_DGRAM);
  const senderFd = openSocket(AF_INET, SOCK_DGRAM);
  bindSocket(receiverFd, socketAddress("127.0.0.1", 0));
  bindSocket(senderFd, socketAddress("127.0.0.1", 0));
  const receiver = makeReceiver();
  equal(receiveDatagram(receiverFd, receiver), undefined);
  const { promise, resolve } = Promise.withResolvers<string>();
  const unwatch = watchReadable(receiverFd, () => {
    const length = receiveDatagram(receiverFd, receiver);
    if (length !== undefined) resolve(receiver.bytes.toString("latin1", 0, length));
  });
  try {
    equal(sendDatagram(senderFd, Buffer.from("beat"), boundAddress(receiverFd)), undefined);
    equal(await promise, "beat");
    equal(addressKey(receiver.source), "7f000001");
  } finally {
    await unwatch();
    closeSocket(receiverFd);
    closeSocket(senderFd);
  }
});

test("an exception of a watcher is an uncaught exception like any other, not a crash", async () => {
  const fd = openSocket(AF_INET, SOCK_DGRAM);
  bindSocket(fd, socketAddress("127.0.0.1", 0));
  sendDatagram(fd, Buffer.from("x"), boundAddress(fd));
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.once("uncaughtException", resolve);
  const unwatch = watchReadable(fd, () => {
    receiveDatagram(fd, makeReceiver());
    throw new Error("on purpose");
  });
  try {
    equal(String(await promise), "Error: on purpose");
  } finally {
    for (const listener of listeners) process.on("uncaughtException", listener);
    await unwatch();
    closeSocket(fd);
  }
});

test("an error of a socket is told by the read, and the watch goes on", async () => {
  const fd = openSocket(AF_INET, SOCK_DGRAM);
  const peer = openSocket(AF_INET, SOCK_DGRAM);
  bindSocket(fd, socketAddress("127.0.0.1", 0));
  bindSocket(peer, socketAddress("127.0.0.1", 0));
  const peerAddress = boundAddress(peer);
  closeSocket(peer); // whoever sends there is told that nobody listens
  const { connect } = bindNative({
    connect: { arguments: ["int32", "pointer", "uint32"], return: "int32" },
  });
  equal(connect(fd, peerAddress, peerAddress.length), 0);
  const refused = Promise.withResolvers<string>();
  const arrived = Promise.withResolvers<string>();
  const receiver = makeReceiver();
  const unwatch = watchReadable(fd, () => {
    try {
      const length = receiveDatagram(fd, receiver);
      if (length !== undefined) arrived.resolve(receiver.bytes.toString("latin1", 0, length));
    } catch (error) {
      refused.resolve((error as SystemCallError).code);
    }
  });
  const again = openSocket(AF_INET, SOCK_DGRAM);
  try {
    sendDatagram(fd, Buffer.from("x"), peerAddress);
    equal(await refused.promise, "ECONNREFUSED");
    bindSocket(again, peerAddress);
    sendDatagram(again, Buffer.from("beat"), boundAddress(fd));
    equal(await arrived.promise, "beat");
  } finally {
    await unwatch();
    closeSocket(again);
    closeSocket(fd);
  }
});

test("what the kernel refuses is named", () => {
  throws(() => watchReadable(99_999, () => undefined), SystemCallError);
  const fd = openSocket(AF_INET, SOCK_DGRAM);
  throws(() => bindSocket(fd, socketAddress("192.0.2.1", 1)), {
    code: "EADDRNOTAVAIL",
    message: /bind 192\.0\.2\.1:1: EADDRNOTAVAIL/,
  });
  if (process.getuid?.() === 0) {
    throws(() => bindToDevice(fd, "btn-none"), { code: "ENODEV" });
  }
  deepEqual(
    sendDatagram(fd, Buffer.alloc(70_000), socketAddress("127.0.0.1", 9))?.code,
    "EMSGSIZE",
  );
  closeSocket(fd);
});

function boundAddress(fd: number): Buffer {
  const address = Buffer.alloc(16);
  const length = Buffer.from([16, 0, 0, 0]);
  equal(libc.getsockname(fd, address, length), 0);
  return address;
}
