import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { parseIp } from "../base/index.ts";
import { RouteNetlink } from "./netlink.ts";
import { addressFlag, linkFlag } from "./netlink-codec.ts";
import { cableToOtherHost, inOwnNamespaces, measured, sh } from "./own-namespaces.ts";
import { announceAddress, askForAddress, PacketSocket } from "./packet.ts";
import { claimedMac, etherType, formatMac } from "./packet-frames.ts";

const bytes = (text: string): Uint8Array => parseIp(text) ?? new Uint8Array();

inOwnNamespaces(import.meta.url, () => {
  test("links, addresses and routes are those that ip shows", () => {
    sh(
      "ip link add dummy7 type veth peer name far7 && ip link set far7 up && ip link set dummy7 up",
    );
    sh("ip address add 10.1.2.3/24 brd + dev dummy7");
    sh("ip -6 address add 2001:db8:1::1/64 dev dummy7 nodad");
    using netlink = new RouteNetlink();
    const link = netlink.links().find(({ name }) => name === "dummy7");
    equal((link?.flags ?? 0) & linkFlag.up, linkFlag.up);
    equal(link?.ethernet, true);
    equal(
      formatMac(link?.mac ?? new Uint8Array()),
      sh("ip -o link show dummy7 | grep -o 'ether [^ ]*'").slice(6).trim(),
    );
    const own = netlink
      .addresses()
      .filter(({ index, address }) => index === link?.index && !address.startsWith("fe80"))
      .map(({ address, prefixLength, broadcast }) => [address, prefixLength, broadcast]);
    deepEqual(own, [
      ["10.1.2.3", 24, "10.1.2.255"],
      ["2001:db8:1::1", 64, undefined],
    ]);
    const route = { index: link?.index, gateway: undefined, local: false };
    deepEqual(netlink.route(bytes("10.1.2.9")), { ...route, prefixLength: 24 });
    deepEqual(netlink.route(bytes("2001:db8:1::9")), { ...route, prefixLength: 64 });
    equal(netlink.route(bytes("10.1.2.3"))?.local, true);
    equal(netlink.route(bytes("10.99.0.1")), undefined);
    sh("ip link delete dummy7");
  });

  test("an address is added at once and deleted at once; twice is no error", () => {
    sh(
      "ip link add dummy8 type veth peer name far8 && ip link set far8 up && ip link set dummy8 up",
    );
    using netlink = new RouteNetlink();
    const index = netlink.links().find(({ name }) => name === "dummy8")?.index ?? 0;
    for (const [text, prefixLength] of [
      ["10.8.0.1", 24],
      ["2001:db8:8::1", 64],
    ] as const) {
      const change = { index, address: bytes(text), prefixLength };
      const held = (): number[] =>
        netlink.addresses().flatMap((one) => (one.address === text ? [one.flags] : []));
      const started = process.hrtime.bigint();
      equal(netlink.addAddress(change), true);
      measured(`add ${text}: ${Number(process.hrtime.bigint() - started) / 1e6} ms`);
      equal((held()[0] ?? 0) & addressFlag.tentative, 0, "it may be used at once");
      equal(netlink.addAddress(change), false);
      equal(held().length, 1);
      equal(netlink.deleteAddress(change), true);
      equal(netlink.deleteAddress(change), false);
      deepEqual(held(), []);
    }
    throws(
      () => netlink.addAddress({ index: 9999, address: bytes("10.8.0.1"), prefixLength: 24 }),
      {
        code: "ENODEV",
      },
    );
    sh("ip link delete dummy8");
  });

  test("a host with many addresses is read in full", () => {
    sh(
      "ip link add dummy9 type veth peer name far9 && ip link set far9 up && ip link set dummy9 up",
    );
    using netlink = new RouteNetlink();
    const index = netlink.links().find(({ name }) => name === "dummy9")?.index ?? 0;
    for (let host = 0; host < 3_000; host++) {
      const address = Uint8Array.from([10, 9, host >> 8, host & 255]);
      netlink.addAddress({ index, address, prefixLength: 32 });
    }
    equal(
      netlink.addresses().filter((one) => one.index === index && !one.address.includes(":")).length,
      3_000,
    );
    sh("ip link delete dummy9");
  });

  test("announcements reach the other host's neighbour table, both families", async () => {
    using other = cableToOtherHost("veth0", "veth1");
    sh("ip address add 10.7.0.1/24 dev veth0");
    other.sh(
      "ip address add 10.7.0.2/24 dev veth1 && ip -6 address add 2001:db8:7::2/64 dev veth1 nodad",
    );
    using netlink = new RouteNetlink();
    const link = netlink.links().find(({ name }) => name === "veth0");
    const from = { index: link?.index ?? 0, mac: link?.mac ?? new Uint8Array() };
    // What the other host believes of the former holder.
    other.sh("ip neighbour add 10.7.0.222 lladdr 02:00:00:00:00:99 dev veth1 nud stale");
    other.sh("ip neighbour add 2001:db8:7::222 lladdr 02:00:00:00:00:99 dev veth1 nud stale");
    for (const text of ["10.7.0.222", "2001:db8:7::222"]) announceAddress(bytes(text), from);
    for (const text of ["10.7.0.222", "2001:db8:7::222"]) {
      const believed = other.sh(`ip neighbour show ${text}`);
      equal(believed.includes(formatMac(from.mac)), true, believed);
    }
  });

  test("a probe finds who has an address, and nobody where nobody has it", async () => {
    using other = cableToOtherHost("veth2", "veth3");
    other.sh("ip address add 10.6.0.222/24 dev veth3");
    other.sh("ip -6 address add 2001:db8:6::222/64 dev veth3 nodad");
    using netlink = new RouteNetlink();
    const link = netlink.links().find(({ name }) => name === "veth2");
    const from = { index: link?.index ?? 0, mac: link?.mac ?? new Uint8Array() };
    const theirs = other.sh("ip -o link show veth3 | grep -o 'ether [^ ]*'").slice(6).trim();
    for (const text of ["10.6.0.222", "2001:db8:6::222"]) {
      const owner = await askForAddress(bytes(text), from, { timeoutMs: 2_000 });
      equal(owner === undefined ? undefined : formatMac(owner), theirs, text);
    }
    for (const text of ["10.6.0.223", "2001:db8:6::223"]) {
      equal(await askForAddress(bytes(text), from, { timeoutMs: 100 }), undefined);
    }
  });

  test("a socket that only announces hears nothing; one for IPv6 hears advertisements alone", () => {
    using other = cableToOtherHost("veth4", "veth5");
    other.sh("ip -6 address add 2001:db8:5::1/64 dev veth5 nodad");
    sh("ip -6 address add 2001:db8:5::2/64 dev veth4 nodad");
    using netlink = new RouteNetlink();
    const index = netlink.links().find(({ name }) => name === "veth4")?.index ?? 0;
    using deaf = new PacketSocket(index, 0);
    using listening = new PacketSocket(index, etherType.ipv6);
    other.sh("ping -6 -c 3 -i 0.01 -W 2 2001:db8:5::2 >/dev/null");
    equal(deaf.receive(), undefined);
    const heard: Uint8Array[] = [];
    for (let frame = listening.receive(); frame !== undefined; frame = listening.receive()) {
      heard.push(frame);
    }
    equal(
      heard.every((frame) => frame[20] === 58 && frame[54] === 136),
      true,
    );
    equal(claimedMac(heard[0] ?? new Uint8Array(), bytes("10.0.0.1")), undefined);
  });
});
