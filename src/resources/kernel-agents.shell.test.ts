/** The promises of every kind, kept by the three kinds that the kernel itself provides. */
import { rmSync } from "node:fs";
import { test } from "node:test";
import { monotonicClock } from "../system/index.ts";
import { cableToOtherHost, inOwnNamespaces, loopDevice, sh } from "../system/own-namespaces.ts";
import { type ConformanceSubject, conformance } from "./conformance.test-support.ts";
import { createResourceAgent } from "./create.shell.ts";
import { defaultPolicy } from "./policy.ts";
import type { ResourceSpec } from "./spec.ts";

const environment = {
  group: "mysql",
  host: "dbm157",
  clock: monotonicClock,
  timing: { keepaliveMs: 50, deadtimeMs: 300 },
  notify: (): void => undefined,
};
const base = { name: "it", policy: defaultPolicy("address") } as const;

/** A subject whose agents are made from one spec. */
function subject(spec: ResourceSpec, end: () => void): ConformanceSubject {
  return {
    open: () => createResourceAgent(spec, environment),
    end: () => Promise.resolve(end()),
  };
}

function address(text: string, own: string): ConformanceSubject {
  const other = cableToOtherHost("veth0", "veth1");
  sh(`ip address add ${own} dev veth0`);
  const automatic = { prefixLength: undefined, device: undefined, broadcast: undefined };
  return subject({ ...base, kind: "address", address: text, ...automatic }, () => {
    sh("ip link delete veth0");
    other[Symbol.dispose]();
  });
}

function onImage(make: string, spec: (device: string) => ResourceSpec): ConformanceSubject {
  sh(`truncate -s 16M /tmp/image && ${make}`);
  const loop = loopDevice("/tmp/image");
  return subject(spec(loop.path), () => {
    sh("while umount /tmp/data 2>/dev/null; do :; done");
    loop[Symbol.dispose]();
    rmSync("/tmp/image");
  });
}

const makers: Readonly<Record<string, () => ConformanceSubject>> = {
  "IPv4 address": () => address("10.7.0.222", "10.7.0.157/24"),
  "IPv6 address": () => address("2001:db8:7::222", "2001:db8:7::157/64 nodad"),
  "file system": () =>
    onImage("mkfs.ext4 -q -F /tmp/image", (device) => ({
      ...base,
      kind: "filesystem",
      device,
      directory: "/tmp/data",
      type: "ext4",
      options: [],
      fsck: "auto",
      forceUnmountAfterMs: 1_000,
    })),
  "shared disk": () =>
    onImage("true", (claimDevice) => ({
      ...base,
      kind: "shared-disk",
      device: "/dev/none",
      claimDevice,
    })),
};

inOwnNamespaces(import.meta.url, () => {
  sh("mount -t tmpfs tmpfs /tmp");
  for (const [kind, make] of Object.entries(makers)) {
    for (const promise of conformance) {
      test(`${kind}: ${promise.name}`, () => promise.check(() => Promise.resolve(make())));
    }
  }
});
