import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { parseIp } from "../base/index.ts";
import { monotonicClock } from "../system/index.ts";
import { RouteNetlink } from "../system/netlink.ts";
import { cableToOtherHost, inOwnNamespaces, measured, sh } from "../system/own-namespaces.ts";
import { PacketSocket } from "../system/packet.ts";
import { claimedMac } from "../system/packet-frames.ts";
import { createAddressAgent, probeDuplicate, sweepLeftovers } from "./address.shell.ts";
import type { ActionContext, ResourceNotice } from "./agent.ts";
import type { ResourceEnvironment } from "./environment.ts";
import { defaultPolicy } from "./policy.ts";
import type { AddressSpec } from "./spec.ts";

const notices: ResourceNotice[] = [];
const environment: ResourceEnvironment = {
  group: "mysql",
  host: "dbm157",
  clock: monotonicClock,
  timing: { keepaliveMs: 100, deadtimeMs: 400 },
  notify: (notice) => notices.push(notice),
};
const context: ActionContext = {
  signal: new AbortController().signal,
  epoch: 1,
  progress: () => undefined,
};
const spec = (address: string, device?: string): AddressSpec => ({
  kind: "address",
  name: `ip-${address}`,
  policy: defaultPolicy("address"),
  address,
  prefixLength: undefined,
  device,
  broadcast: undefined,
});
const shown = (device: string): string =>
  sh(`ip -o address show dev ${device}`).replaceAll(/^\d+: /gm, "");

inOwnNamespaces(import.meta.url, () => {
  for (const [own, wanted, line] of [
    [
      "10.7.0.157/24",
      "10.7.0.222",
      "inet 10.7.0.222/24 brd 10.7.0.255 scope global secondary veth0",
    ],
    ["2001:db8:7::157/64", "2001:db8:7::222", "inet6 2001:db8:7::222/64 scope global nodad"],
  ] as const) {
    test(`${wanted} finds its device, is announced, is stopped, each of it twice`, async () => {
      using other = cableToOtherHost("veth0", "veth1");
      sh(`ip address add ${own} dev veth0 ${own.includes(":") ? "nodad" : ""}`);
      other.sh(`ip neighbour add ${wanted} lladdr 02:00:00:00:00:99 dev veth1 nud stale`);
      const agent = createAddressAgent(spec(wanted), environment);
      deepEqual(await agent.probe(context), { state: "stopped" });

      const started = process.hrtime.bigint();
      const result = await agent.start(context);
      measured(
        `start() to ${wanted} in the kernel: ${Number(process.hrtime.bigint() - started) / 1e6} ms`,
      );
      equal(result.ok, true, JSON.stringify(result));
      equal(shown("veth0").includes(line), true, shown("veth0"));
      const mac = /ether (\S+)/.exec(sh("ip -o link show veth0"))?.[1] ?? "";
      equal(other.sh(`ip neighbour show ${wanted}`).includes(mac), true);
      equal((await agent.start(context)).ok, true);
      deepEqual(await agent.probe(context), { state: "running" });
      deepEqual(await agent.monitor(context), { state: "running" });

      deepEqual(await agent.stop(context), { ok: true });
      equal(shown("veth0").includes(wanted), false);
      deepEqual(await agent.stop(context), { ok: true });
      deepEqual(await agent.probe(context), { state: "stopped" });
      agent.dispose();
      sh("ip link delete veth0");
    });
  }

  test("five announcements go out within two seconds, the first at once", {
    timeout: 20_000,
  }, async () => {
    using _other = cableToOtherHost("veth0", "veth1");
    sh("ip address add 10.7.0.157/24 dev veth0");
    using netlink = new RouteNetlink();
    const index = netlink.links().find(({ name }) => name === "veth0")?.index ?? 0;
    // Outgoing frames are seen by packet sockets that listen to every protocol.
    const everything = 3;
    using ear = new PacketSocket(index, everything);
    const agent = createAddressAgent(spec("10.7.0.222"), environment);
    const heardAt: number[] = [];
    const address = parseIp("10.7.0.222") ?? new Uint8Array();
    const listen = (): void => {
      for (let frame = ear.receive(); frame !== undefined; frame = ear.receive()) {
        if (claimedMac(frame, address) !== undefined) heardAt.push(monotonicClock.now());
      }
    };
    await agent.start(context);
    listen();
    equal(heardAt.length, 2, "request and reply form, before start() returns");
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setInterval(() => {
      listen();
      if (heardAt.length >= 10) resolve();
    }, 20);
    await promise;
    clearInterval(timer);
    const first = heardAt[0] ?? 0;
    measured(`announcements at ms ${heardAt.map((at) => Math.round(at - first)).join(" ")}`);
    equal(heardAt.length, 10);
    agent.dispose();
    sh("ip link delete veth0");
  });

  test("an address on the wrong device is a failure, and a start puts it right", async () => {
    using _one = cableToOtherHost("veth0", "veth1");
    using _two = cableToOtherHost("veth2", "veth3");
    sh("ip address add 10.7.0.157/24 dev veth0; ip address add 10.7.0.222/24 dev veth2");
    const agent = createAddressAgent(spec("10.7.0.222", "veth0"), environment);
    const before = await agent.monitor(context);
    equal(before.state === "failed" && before.reason, "BTN-ADDRESS-WRONG-DEVICE");
    await agent.start(context);
    deepEqual(await agent.monitor(context), { state: "running" });
    equal(shown("veth2").includes("10.7.0.222"), false);
    sh("ip link set veth0 down");
    const down = await agent.monitor(context);
    equal(down.state === "failed" && down.reason, "BTN-ADDRESS-DEVICE-DOWN");
    await agent.stop(context);
    const refused = await agent.start(context);
    equal(!refused.ok && refused.reason, "BTN-ADDRESS-DEVICE-DOWN");
    const nowhere = await createAddressAgent(spec("10.99.0.1"), environment).start(context);
    equal(!nowhere.ok && nowhere.reason, "BTN-ADDRESS-NO-DEVICE");
    agent.dispose();
    sh("ip link delete veth0; ip link delete veth2");
  });

  for (const [own, theirs, wanted] of [
    ["10.7.0.157/24", "10.7.0.222/24", "10.7.0.222"],
    ["2001:db8:7::157/64", "2001:db8:7::222/64", "2001:db8:7::222"],
  ] as const) {
    test(`a stranger that answers for ${wanted} is refused; the known holder is replaced`, async () => {
      using other = cableToOtherHost("veth0", "veth1");
      const flags = own.includes(":") ? "nodad" : "";
      sh(`ip address add ${own} dev veth0 ${flags}`);
      other.sh(`ip address add ${theirs} dev veth1 ${flags}`);
      const theirMac = /ether (\S+)/.exec(other.sh("ip -o link show veth1"))?.[1] ?? "";
      deepEqual(await probeDuplicate(spec(wanted), 1_000), { mac: theirMac, device: "veth0" });
      notices.length = 0;
      const agent = createAddressAgent(spec(wanted), environment);
      await agent.prepare({ timeoutMs: 1_000, holderMayAnswer: false });
      const refused = await agent.start(context);
      equal(!refused.ok && refused.reason, "BTN-ADDRESS-DUPLICATE");
      equal(shown("veth0").includes(wanted), false);

      await agent.learnHolder(1_000);
      await agent.prepare({ timeoutMs: 1_000, holderMayAnswer: true });
      equal((await agent.start(context)).ok, true);
      deepEqual(
        notices.map(({ reason, detail }) => [reason, detail.includes(theirMac)]),
        [["BTN-ADDRESS-HOLDER-ANSWERS", true]],
      );
      await agent.stop(context);
      agent.dispose();
      sh("ip link delete veth0");
    });
  }

  test("left-overs are swept, and only those", () => {
    using _other = cableToOtherHost("veth0", "veth1");
    sh("ip address add 10.7.0.157/24 dev veth0; ip address add 10.7.0.222/24 dev veth0");
    sh("ip address add 10.7.0.223/32 dev lo");
    deepEqual(sweepLeftovers([spec("10.7.0.222"), spec("10.7.0.223"), spec("10.7.0.224")]), [
      { address: "10.7.0.222", device: "veth0" },
    ]);
    equal(shown("veth0").includes("10.7.0.157"), true);
    equal(shown("lo").includes("10.7.0.223"), true);
    sh("ip link delete veth0; ip address delete 10.7.0.223/32 dev lo");
  });
});
