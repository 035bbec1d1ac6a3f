import { deepEqual, equal, notEqual, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { configurationDigestInput } from "./digest-input.ts";
import { formatFinding } from "./findings.ts";
import { configForHost, parseClusterYaml } from "./native.ts";
import { formatRate, formatSize, parseRate, parseSize } from "./sizes.ts";

const example = readFileSync(new URL("../../docs/examples/cluster.yaml", import.meta.url), "utf8");
const [head = ""] = example.split("\ngroups:", 1);
const groups = `
groups:
  - name: write
    prefers: dbm157
    resources:
      - disk: r0
      - filesystem: {device: /dev/drbd0, directory: /database, type: ext4}
      - address: 192.168.0.222/24
`;
const hosts = `
    hosts:
      dbm157: {backing: /dev/sdb1, address: 192.168.1.157}
      dbm158: {backing: /dev/sdb1, address: 192.168.1.158}`;
const plain = `disks:\n  r0:${hosts}`;

const textOf = (disks: string, use = groups, base = head): string => `${base}\n${disks}\n${use}`;

function read(disks: string, use = groups, self?: string) {
  const outcome = parseClusterYaml(textOf(disks, use), "cluster.yaml", { self });
  if (!outcome.ok) throw new Error(outcome.findings.map(formatFinding).join("\n"));
  return { ...outcome, disk: outcome.config.disks[0] };
}

/** `<severity> <code>: <message>` of each finding. */
function findings(disks: string, use = groups): readonly string[] {
  return parseClusterYaml(textOf(disks, use), "cluster.yaml").findings.map(
    (each) => `${each.severity} ${each.code}: ${each.message}`,
  );
}

/** The plain disk with further lines. */
const withLines = (...lines: readonly string[]): string =>
  [plain, ...lines.map((line) => `    ${line}`)].join("\n");

test("the example of a disk in the documentation is fine, on either host and on none", () => {
  const text = readFileSync(
    new URL("../../docs/examples/cluster-disk.yaml", import.meta.url),
    "utf8",
  );
  for (const self of [undefined, "dbm157", "DBM158"])
    deepEqual(parseClusterYaml(text, "cluster.yaml", { self }).findings, []);
});

test("a disk needs two hosts with a device and an address; the rest has safe defaults", () => {
  const { disk, config, findings: found } = read(plain);
  deepEqual(found, []);
  deepEqual(disk?.hosts, [
    {
      host: "dbm157",
      backing: "/dev/sdb1",
      metadata: { kind: "internal" },
      address: "192.168.1.157",
      port: 7788,
      minor: 0,
    },
    {
      host: "dbm158",
      backing: "/dev/sdb1",
      metadata: { kind: "internal" },
      address: "192.168.1.158",
      port: 7788,
      minor: 0,
    },
  ]);
  const { net, disk: local } = disk ?? {};
  deepEqual(
    [net?.protocol, net?.dataIntegrity, net?.verify, local?.fencing, local?.onIoError],
    ["C", "crc32c", "crc32c", "native", "detach"],
  );
  // deadtime 1.2 s: C5 holds without a word in the file.
  deepEqual([net?.timeoutMs, net?.pingIntervalMs, net?.pingTimeoutMs], [600, 300, 500]);
  equal(net?.afterSplitBrain0Primaries, "disconnect");
  equal(config.groups[0]?.resources[0]?.kind, "disk");
});

test("a file system on /dev/drbdN is mounted by the stable name of the disk", () => {
  const resource = read(plain).config.groups[0]?.resources[1];
  equal(resource?.kind === "filesystem" ? resource.device : "", "/dev/baton/r0");
});

test("every setting reads back in the units of the disk", () => {
  const { disk } = read(
    withLines(
      "protocol: B",
      "fencing: resource-only",
      "size: 10GiB",
      "metadata: /dev/sdc1[2]",
      "minor: 3",
      "on_no_data: suspend-io",
      "integrity: none",
      "activity_log: {extents: 6433, updates: false}",
      "network: {timeout: 800ms, congestion_fill: 1MiB, send_buffer: 512KiB, ko_count: 3}",
      "resync: {plan_ahead: 2.5s, delay_target: 500ms, fill_target: 64KiB, max_rate: 200MiB/s, checksum: sha1}",
      "split_brain: {no_primary: discard-node-dbm158}",
      "authentication: {algorithm: sha1, secret_file: /etc/baton/r0.key}",
      "startup: {wait_for_connection: 2m, become_primary_on: [DBM157]}",
      "handlers: {split-brain: /usr/local/bin/tell}",
    ),
  );
  deepEqual(
    disk?.hosts.map((host) => [host.port, host.minor, host.metadata]),
    [
      [7791, 3, { kind: "indexed", device: "/dev/sdc1", index: 2 }],
      [7791, 3, { kind: "indexed", device: "/dev/sdc1", index: 2 }],
    ],
  );
  deepEqual(
    [
      disk?.disk.sizeSectors,
      disk?.disk.activityLogExtents,
      disk?.disk.resync.planAheadSteps,
      disk?.disk.resync.delayTargetSteps,
      disk?.disk.resync.fillTargetSectors,
      disk?.disk.resync.maxRateKibPerSecond,
      disk?.net.congestionFillBytes,
      disk?.net.dataIntegrity,
      disk?.net.authentication?.secretFile,
      disk?.net.afterSplitBrain0Primaries,
      disk?.startup.waitForConnectionMs,
      disk?.startup.becomePrimaryOn,
    ],
    [
      20_971_520,
      6_433,
      25,
      5,
      128,
      204_800,
      1_048_576,
      undefined,
      "/etc/baton/r0.key",
      "discard-remote",
      120_000,
      ["dbm157"],
    ],
  );
});

test("the own side comes first, and a victim by name changes sides with it, once", () => {
  const text = withLines("split_brain: {no_primary: discard-node-dbm158}");
  const { config } = read(text);
  const there = configForHost(config, "dbm158");
  deepEqual(
    [there, configForHost(there, "dbm158"), configForHost(there, "dbm157")].map(({ disks }) => [
      disks[0]?.hosts[0].host,
      disks[0]?.net.afterSplitBrain0Primaries,
    ]),
    [
      ["dbm158", "discard-local"],
      ["dbm158", "discard-local"],
      ["dbm157", "discard-remote"],
    ],
  );
  equal(configurationDigestInput(there), configurationDigestInput(config));
});

test("the digest of the configuration covers what both sides of a disk must agree on", () => {
  const digest = (text: string): string => configurationDigestInput(read(text).config);
  const before = digest(plain);
  notEqual(before, digest(withLines("protocol: A", "fencing: dont-care")));
  notEqual(
    before,
    digest(plain.replace("/dev/sdb1, address: 192.168.1.158", "/dev/sdc1, address: 192.168.1.158")),
  );
  notEqual(before, digest(withLines("integrity: none")));
  equal(before, digest(withLines("resync: {max_rate: 10MiB/s}")));
});

const mistakes: readonly (readonly [disks: string, use: string, found: readonly string[]])[] = [
  [
    withLines("network: {timeout: 2s, ping_interval: 1s}"),
    groups,
    [
      "error BTN-CONFIG-DISK-TIMING: The timeout of disk r0 is 2s, which is not below deadtime (1.2s) (C5)",
      "error BTN-CONFIG-DISK-TIMING: Disk r0 notices a silent peer after 1.5s (ping interval and ping timeout), which is not below deadtime (1.2s) (C5)",
    ],
  ],
  [
    withLines("protocol: A", "fencing: resource-and-stonith"),
    groups,
    ["error BTN-CONFIG-DISK-POLICY: Disk r0 has protocol A and fencing resource-and-stonith"],
  ],
  [
    plain.replace("dbm158:", "dbm185:"),
    groups,
    [
      'error BTN-CONFIG-UNKNOWN-HOST: disks.r0.hosts names "dbm185", which is not among the hosts; did you mean dbm158?',
    ],
  ],
  [
    withLines("protcol: C"),
    groups,
    ['error BTN-CONFIG-UNKNOWN-KEY: Unknown key "protcol" in disks.r0; did you mean protocol?'],
  ],
  [
    withLines("authentication: {algorithm: sha256, secret: hunter2}"),
    groups,
    [
      "error BTN-CONFIG-MISSING: disks.r0.authentication.secret_file is missing",
      "error BTN-CONFIG-SECRET: disks.r0.authentication.secret holds the secret itself",
    ],
  ],
  [
    plain,
    groups.replace("disk: r0", "disk: ro"),
    [
      "advice BTN-CONFIG-DISK-IDLE: Disk r0 is in no group",
      'error BTN-CONFIG-DISK-UNKNOWN: Disk "ro" is not among the disks; did you mean r0?',
      "error BTN-CONFIG-ORDER: /dev/baton/r0 belongs to disk r0, which is not in group write",
    ],
  ],
  [
    plain,
    groups.replace("/dev/drbd0", "/dev/sdb1"),
    ["error BTN-CONFIG-DISK-BENEATH: /dev/sdb1 is what disk r0 keeps its data on"],
  ],
  [
    `${plain}\n    minor: 0\n  r1:${hosts.replaceAll("sdb1", "sdb2")}\n    minor: 1\n    hosts2: 1`
      .replace("\n    hosts2: 1", "")
      .replace("minor: 1", "minor: 0"),
    groups,
    [
      "error BTN-CONFIG-DISK-CLASH: 192.168.1.157 port 7788 on dbm157 is used by disk r1 and by disk r0",
      "error BTN-CONFIG-DISK-CLASH: Minor 0 on dbm157 is used by disk r1 and by disk r0",
      "error BTN-CONFIG-DISK-CLASH: 192.168.1.158 port 7788 on dbm158 is used by disk r1 and by disk r0",
      "error BTN-CONFIG-DISK-CLASH: Minor 0 on dbm158 is used by disk r1 and by disk r0",
    ],
  ],
  [
    withLines("resync: {after: r0, max_rate: 100}", "size: 10 gigs"),
    groups,
    [
      'error BTN-CONFIG-VALUE: disks.r0.resync.max_rate can not be "100": it is not a size per second',
      'error BTN-CONFIG-VALUE: disks.r0.size can not be "10 gigs": it is not a size',
    ],
  ],
  [
    withLines(
      "split_brain: {one_primary: discard-secondary}",
      "network: {allow_two_primaries: true}",
    ),
    groups,
    [
      "advice BTN-CONFIG-DISK-SPLIT-BRAIN: Disk r0 throws away one side's writes by itself after a split brain (one_primary)",
      "advice BTN-CONFIG-DISK-TWO-PRIMARIES: Disk r0 may be Primary on both hosts",
    ],
  ],
];

for (const [disks, use, expected] of mistakes) {
  test(`a mistake is told: ${expected[0] ?? ""}`, () => {
    const found = findings(disks, use);
    const idle = found.filter((each) => !each.startsWith("advice BTN-CONFIG-DISK-IDLE"));
    const wanted = expected.some((each) => each.includes("IDLE")) ? found : idle;
    deepEqual(wanted.toSorted(), expected.toSorted());
  });
}

test("findings about a disk name the line of the key", () => {
  const text = textOf(withLines("network:", "  timeout: 2s"));
  const line = text.split("\n").findIndex((each) => each.includes("timeout: 2s")) + 1;
  const outcome = parseClusterYaml(text, "cluster.yaml");
  ok(line > 0);
  deepEqual(
    outcome.findings.map((each) => each.line),
    [line],
  );
});

test("sizes and rates read back as they are written", () => {
  for (const bytes of [0, 1, 512, 1_024, 4_096, 1_000_000, 2 ** 30, 5 * 2 ** 40]) {
    deepEqual(parseSize(formatSize(bytes)), { ok: true, bytes });
    deepEqual(parseRate(formatRate(bytes)), { ok: true, bytes });
  }
  for (const wrong of ["", "10", "-1MiB", "1.5B", "10MB", "1e3KiB", "99999999999TiB"])
    equal(parseSize(wrong).ok, false, wrong);
});
