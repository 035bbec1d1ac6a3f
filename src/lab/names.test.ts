import { deepEqual, equal, notEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { LabError } from "./errors.ts";
import { imagePath, labNames } from "./names.ts";
import { addressOf, dataHosts, labHosts, macOf, portOf } from "./topology.ts";

test("two labs share no name, in one directory or in two", () => {
  const labs = [labNames("a"), labNames("b"), labNames("a", "/tmp/x"), labNames("a", "/tmp/y")];
  for (const key of ["directory", "lockFile", "stateFile", "cgroup"] as const) {
    equal(new Set(labs.map((names) => names[key])).size, labs.length, key);
  }
  notEqual(imagePath(labNames("a"), "claim"), imagePath(labNames("b"), "claim"));
});

test("a name that could leave its directory is refused", () => {
  for (const name of ["", "..", "a/b", "-a", ".x", "a b", "x".repeat(33)]) {
    throws(() => labNames(name), LabError, name);
  }
});

test("hosts have the chapter's addresses", () => {
  deepEqual(
    labHosts.flatMap((host) =>
      host.links.map((link) => `${host.name} ${link} ${addressOf(host, link)}`),
    ),
    [
      "dbm157 eth0 192.168.0.157",
      "dbm157 eth1 192.168.1.157",
      "dbm158 eth0 192.168.0.158",
      "dbm158 eth1 192.168.1.158",
      "client eth0 192.168.0.10",
    ],
  );
  deepEqual(
    dataHosts.map(({ name }) => name),
    ["dbm157", "dbm158"],
  );
});

test("no two cables share a port or a hardware address", () => {
  const cables = labHosts.flatMap((host) => host.links.map((link) => ({ host, link })));
  equal(new Set(cables.map(({ host, link }) => portOf(host, link))).size, cables.length);
  equal(new Set(cables.map(({ host, link }) => macOf(host, link))).size, cables.length);
  // IFNAMSIZ is 16 with the NUL.
  equal(
    cables.every(({ host, link }) => portOf(host, link).length <= 15),
    true,
  );
});
