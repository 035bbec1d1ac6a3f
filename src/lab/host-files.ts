/** The files that a host of the lab begins with, as text. */
import type { LabProfile, LabStorage } from "./state.ts";
import {
  addressOf,
  dataHosts,
  type LabHost,
  labHosts,
  pingAddress,
  switchHost,
  writeAddress,
} from "./topology.ts";

/** Accounts that exist in the hosts only; the numbers are outside of what Debian hands out by itself. */
export const accounts = {
  mysql: { uid: 30_157, gid: 30_157, group: "mysql", home: "/var/lib/mysql" },
  hacluster: { uid: 30_158, gid: 30_158, group: "haclient", home: "/var/lib/heartbeat" },
} as const;

/** Where the resources of the group find things, inside a data host. */
export const paths = {
  databaseDevice: "/dev/san/database",
  claimDevice: "/dev/san/claim",
  /** The replicated disk, what lies below it on each host, and its secret. */
  disk: "r0",
  diskDevice: "/dev/baton/r0",
  backingDevice: "/dev/local/mysql",
  diskSecret: "/etc/baton/disk.secret",
  database: "/database",
  mysqlConfig: "/etc/mysql/my.cnf",
  mysqlSocket: "/run/mysqld/mysqld.sock",
  mysqlPid: "/run/mysqld/mysqld.pid",
  monitorPassword: "/etc/baton/mysql.password",
  clusterConfig: "/etc/baton/cluster.yaml",
  clusterKey: "/etc/baton/cluster.key",
} as const;

/** The account that the mysqld resource probes with, over the socket. */
export const monitorUser = "baton";
/** The account of `lab sql` and of the workload. */
export const clientUser = "lab";

/** What of a lab its cluster.yaml depends on. */
export interface ClusterOptions {
  readonly profile: LabProfile;
  readonly storage: LabStorage;
  readonly clusterId: string;
}

/** cluster.yaml, the same on each data host. */
export function clusterYaml({ profile, storage, clusterId }: ClusterOptions): string {
  const links = (["eth0", "eth1"] as const).map(
    (link) => `  - medium: ucast
    device: ${link}
    addresses: {${dataHosts.map((host) => `${host.name}: ${addressOf(host, link)}`).join(", ")}}`,
  );
  return `# The master pair of the lab; the same file on both hosts.
cluster:
  name: lab
  id: ${clusterId}
profile: ${profile}
hosts:
${dataHosts.map(({ name }) => `  ${name}: {roles: [data]}`).join("\n")}
auth:
  mode: sha256
  keys:
    - {id: 1, file: ${paths.clusterKey}}
links:
${links.join("\n")}
ping:
  - address: ${pingAddress}
failover:
  auto_failback: off
  arbiter: none
${storage === "disk" ? replicatedDisk() : ""}groups:
  - name: mysql
    prefers: ${dataHosts[0]?.name}
    resources:
${storage === "disk" ? `      - disk: ${paths.disk}\n` : sharedDisk}      - filesystem:
          device: ${storage === "disk" ? paths.diskDevice : paths.databaseDevice}
          directory: ${paths.database}
          type: ext4
          options: [noatime]
      - mysqld:
          data_directory: ${paths.database}
          defaults_file: ${paths.mysqlConfig}
          socket: ${paths.mysqlSocket}
          pid_file: ${paths.mysqlPid}
          user: mysql
          monitor_user: ${monitorUser}
          monitor_password_file: ${paths.monitorPassword}
          required_mount: ${paths.database}
      - address: ${writeAddress}/24
        device: eth0
`;
}

const sharedDisk = `      - shared_disk:
          device: ${paths.databaseDevice}
          claim_device: ${paths.claimDevice}
`;

/** The chapter's r0: protocol C over the private network. */
function replicatedDisk(): string {
  const sides = dataHosts.map(
    (host) =>
      `      ${host.name}: {backing: ${paths.backingDevice}, address: ${addressOf(host, "eth1")}}`,
  );
  return `disks:
  ${paths.disk}:
    protocol: C
    authentication: {algorithm: sha256, secret_file: ${paths.diskSecret}}
    hosts:
${sides.join("\n")}
`;
}

/** my.cnf of the master pair (mysql.md 10), small enough for a laptop. */
export function myCnf(dataDirectory: string = paths.database): string {
  return `[mysqld]
datadir=${dataDirectory}
ignore_db_dirs=lost+found
socket=${paths.mysqlSocket}
pid-file=${paths.mysqlPid}
user=mysql
port=3306
bind-address=0.0.0.0
server-id=1
log-bin=mysql-bin
relay-log=mysql-relay-bin
log_slave_updates=1
binlog_format=ROW
gtid_strict_mode=1
innodb_flush_log_at_trx_commit=1
sync_binlog=1
innodb_doublewrite=1
innodb_buffer_pool_size=64M
innodb_log_file_size=64M
innodb_max_dirty_pages_pct=5
innodb_fast_shutdown=1
innodb_buffer_pool_dump_at_shutdown=1
skip_name_resolve=1
max_connections=500
max_connect_errors=1000000
performance_schema=0
log_error=/var/log/mysql/error.log

[client]
socket=${paths.mysqlSocket}
`;
}

/** There from the start, and what `lab sql` uses unless a statement names another. */
export const defaultDatabase = "test";

/**
 * What the data begins with. The client has every right except those that see past read_only: a host
 * that starts read-only is then read-only for it as well.
 */
export function accountsSql(clientPassword: string, monitorPassword: string): string {
  return `FLUSH PRIVILEGES;
CREATE DATABASE IF NOT EXISTS ${defaultDatabase};
CREATE USER '${clientUser}'@'192.168.0.%' IDENTIFIED BY '${clientPassword}';
GRANT ALL PRIVILEGES ON *.* TO '${clientUser}'@'192.168.0.%' WITH GRANT OPTION;
REVOKE SUPER, READ_ONLY ADMIN ON *.* FROM '${clientUser}'@'192.168.0.%';
CREATE USER '${monitorUser}'@'localhost' IDENTIFIED BY '${monitorPassword}';
GRANT SUPER, READ_ONLY ADMIN, PROCESS, REPLICATION CLIENT, CONNECTION ADMIN, SHUTDOWN ON *.* TO '${monitorUser}'@'localhost';
`;
}

/** /etc/hosts: every host by its address on the first network. */
export function etcHosts(self: LabHost): string {
  const rows = [switchHost, ...labHosts].map((host) => `${addressOf(host, "eth0")}\t${host.name}`);
  return `127.0.0.1\tlocalhost\n::1\tlocalhost\n${rows.join("\n")}\n# this host: ${self.name}\n`;
}

/** The machine's /etc/passwd with the lab's accounts instead of any of the same name. */
export function passwdWithAccounts(machine: string): string {
  const added = Object.entries(accounts).map(
    ([name, { uid, gid, home }]) => `${name}:x:${uid}:${gid}::${home}:/usr/sbin/nologin`,
  );
  return `${withoutNames(machine, Object.keys(accounts))}${added.join("\n")}\n`;
}

/** The same for /etc/group. */
export function groupWithAccounts(machine: string): string {
  const groups = Object.values(accounts);
  const added = groups.map(({ group, gid }) => `${group}:x:${gid}:`);
  return `${withoutNames(
    machine,
    groups.map(({ group }) => group),
  )}${added.join("\n")}\n`;
}

function withoutNames(text: string, names: readonly string[]): string {
  const kept = text
    .split("\n")
    .filter((line) => line !== "" && !names.includes(line.slice(0, line.indexOf(":"))));
  return kept.map((line) => `${line}\n`).join("");
}
