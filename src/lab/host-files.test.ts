import { deepEqual, equal, match } from "node:assert/strict";
import { test } from "node:test";
import { parseClusterYaml } from "../config/index.ts";
import {
  accountsSql,
  clusterYaml,
  etcHosts,
  groupWithAccounts,
  myCnf,
  passwdWithAccounts,
} from "./host-files.ts";
import { dataHosts, switchHost } from "./topology.ts";

const shapes = (["default", "fast", "chapter"] as const).flatMap((profile) => [
  { profile, storage: "shared", first: "shared-disk" } as const,
  { profile, storage: "disk", first: "disk" } as const,
]);

for (const { profile, storage, first } of shapes) {
  test(`the cluster.yaml of profile ${profile} with storage ${storage} is accepted without an error`, () => {
    const text = clusterYaml({ profile, storage, clusterId: "lab-0123456789abcdef" });
    const outcome = parseClusterYaml(text, "cluster.yaml", { self: "dbm157" });
    deepEqual(
      outcome.findings.filter(({ severity }) => severity === "error"),
      [],
    );
    if (!outcome.ok) throw new Error("refused");
    equal(outcome.config.timing.profile, profile);
    deepEqual(
      outcome.config.groups.map(({ prefers, resources }) => [
        prefers,
        resources.map(({ kind }) => kind),
      ]),
      [["dbm157", [first, "filesystem", "mysqld", "address"]]],
    );
    deepEqual(
      outcome.config.links.map((link) =>
        "peers" in link ? link.peers.map(({ address }) => address) : [],
      ),
      [["192.168.0.158"], ["192.168.1.158"]],
    );
  });
}

test("the server never loses a commit for speed, and its binary log is not named after the host", () => {
  match(myCnf(), /^innodb_flush_log_at_trx_commit=1$/m);
  match(myCnf(), /^sync_binlog=1$/m);
  match(myCnf(), /^log-bin=mysql-bin$/m);
});

test("the client's account can not see past read_only", () => {
  match(accountsSql("a", "b"), /^REVOKE SUPER, READ_ONLY ADMIN ON \*\.\* FROM 'lab'@/m);
});

test("accounts of the machine are kept, those of the same name replaced", () => {
  equal(
    passwdWithAccounts(
      "root:x:0:0:root:/root:/bin/bash\nmysql:x:105:112::/nonexistent:/bin/false\n",
    ),
    [
      "root:x:0:0:root:/root:/bin/bash",
      "mysql:x:30157:30157::/var/lib/mysql:/usr/sbin/nologin",
      "hacluster:x:30158:30158::/var/lib/heartbeat:/usr/sbin/nologin",
      "",
    ].join("\n"),
  );
  equal(groupWithAccounts("root:x:0:"), "root:x:0:\nmysql:x:30157:\nhaclient:x:30158:\n");
});

test("each host resolves every other one", () => {
  const text = etcHosts(dataHosts[0] ?? switchHost);
  for (const row of ["192.168.0.157\tdbm157", "192.168.0.158\tdbm158", "192.168.0.10\tclient"]) {
    match(text, new RegExp(`^${row}$`, "m"));
  }
});
