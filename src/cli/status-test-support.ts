/** A status report for the tests of this room: two hosts, one group, all well. */
import type { StatusReport } from "../agent/control.ts";

const links = [
  { name: "eth0", up: true, lastHeardMs: 90 },
  { name: "eth1", up: true, lastHeardMs: 91 },
];

export const report: StatusReport = {
  schema: 1,
  revision: 7,
  host: "dbm157",
  cluster: { name: "shop", id: "5f0c", origin: "/etc/baton/cluster.yaml", autoFailback: "off" },
  agent: {
    version: "0.1.0",
    pid: 812,
    started: "2026-11-23T09:00:00.000Z",
    uptimeMs: 3_723_000,
    journalDirectory: "/var/log/baton",
  },
  beat: { pid: 813, generation: 12, sequence: 48_213, status: "active", silenced: false },
  rscStatus: "local",
  modes: [
    {
      code: "BTN-MODE-NO-ARBITER",
      text: "Split brain possible: no third party tells a dead host from a cut cable",
    },
  ],
  timing: {
    profile: "default",
    keepaliveMs: 200,
    warntimeMs: 600,
    deadtimeMs: 1_200,
    initdeadMs: 10_000,
    deadpingMs: 1_200,
    agentGraceMs: 3_000,
  },
  hosts: [
    {
      name: "dbm157",
      self: true,
      verdict: "alive",
      reason: "BTN-MEMBER-SELF",
      kind: "baton",
      softwareVersion: "0.1.0",
      status: "active",
      generation: 12,
      silentMs: null,
      links: [],
    },
    {
      name: "dbm158",
      self: false,
      verdict: "alive",
      reason: "BTN-MEMBER-HEARD",
      kind: "classic",
      softwareVersion: null,
      status: "active",
      generation: 9,
      silentMs: 90,
      links,
    },
  ],
  pings: [{ name: "192.168.0.1", up: true, lastReplyMs: 400 }],
  disks: [],
  groups: [
    {
      group: "mysql",
      prefers: "dbm157",
      ownership: { epoch: 4, owner: "dbm157" },
      here: "running",
      there: { dbm158: "stopped" },
      holder: "dbm157",
      reason: "BTN-FAILOVER-HOLDS",
      detail: "dbm157 owns it",
      unproven: false,
      resources: [
        { name: "disk", kind: "shared-disk", state: "running", detail: "" },
        { name: "data", kind: "filesystem", state: "running", detail: "" },
        { name: "server", kind: "mysqld", state: "running", detail: "" },
        { name: "write-address", kind: "address", state: "running", detail: "" },
      ],
    },
  ],
  moves: [],
  warnings: [],
  counters: { received: 96_000 },
  keys: [{ index: 1, method: "sha1", fingerprint: "0a1b2c3d", sends: true }],
};
