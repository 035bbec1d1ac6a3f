/** What is compared: the same service, as each subject is usually given it. */
import { join } from "node:path";
import {
  address,
  classicAuth,
  type Daemon,
  type HostName,
  hostNames,
  type PairOptions,
} from "../../test/support/pair.ts";
import {
  type DatabaseFiles,
  initScript,
  monitorAccount,
  mysqldPidFile,
  mysqldSocket,
} from "./database.ts";
import { type BenchTiming, haCfLines } from "./timings.ts";

/** A file below a host's tree, before its daemon starts. */
export interface HostFile {
  readonly path: string;
  readonly text: string;
  readonly mode: number;
}

export interface BenchCase {
  readonly name: string;
  /** One line for the table. */
  readonly what: string;
  readonly database: boolean;
  pairOptions(subject: Daemon, timing: BenchTiming): PairOptions;
  files(timing: BenchTiming, database: DatabaseFiles | undefined): readonly HostFile[];
}

const native = "agent --config /etc/ha.d/cluster.yaml";

function options(timing: BenchTiming, haresources: string, agentArguments?: string): PairOptions {
  return {
    timing: haCfLines(timing),
    authkeys: classicAuth,
    haresources,
    ...(agentArguments === undefined ? {} : { agentArguments }),
  };
}

const script = `IPaddr2::${address}/24/eth0`;
const addressYaml = `      - address: ${address}/24\n        device: eth0\n`;

export const benchCases: readonly BenchCase[] = [
  {
    name: "address",
    what: "group of one address, the same line of haresources: Baton's own address, heartbeat's script IPaddr",
    database: false,
    pairOptions: (_subject, timing) => options(timing, `dbm157 ${address}/24/eth0\n`),
    files: () => [],
  },
  {
    name: "address-script",
    what: "group of one address, both run the script IPaddr2",
    database: false,
    pairOptions: (_subject, timing) => options(timing, `dbm157 ${script}\n`),
    files: () => [],
  },
  {
    name: "address-native",
    what: "group of one address: Baton from cluster.yaml, heartbeat with the script IPaddr2",
    database: false,
    pairOptions: (_subject, timing) => options(timing, `dbm157 ${script}\n`, native),
    files: (timing) => nativeFiles(timing, addressYaml),
  },
  {
    name: "mysqld",
    what: "MariaDB and address: Baton's mysqld and address, heartbeat's init script and IPaddr2",
    database: true,
    pairOptions: (_subject, timing) => options(timing, `dbm157 mysqld ${script}\n`, native),
    files: (timing, database) => {
      if (database === undefined) throw new Error("This case needs a database");
      const init = { path: "init.d/mysqld", text: initScript(database), mode: 0o755 };
      return [init, ...nativeFiles(timing, `${mysqldYaml(database)}${addressYaml}`)];
    },
  },
];

function mysqldYaml({ dataDirectory, defaultsFile }: DatabaseFiles): string {
  return `      - mysqld:
          data_directory: ${dataDirectory}
          defaults_file: ${defaultsFile}
          socket: ${mysqldSocket}
          pid_file: ${mysqldPidFile}
          user: root
          monitor_user: ${monitorAccount.user}
          monitor_password_file: /etc/ha.d/monitor.password
`;
}

function nativeFiles(timing: BenchTiming, resources: string): readonly HostFile[] {
  const links = ["eth0", "eth1"].map((device, network) => {
    const addresses = hostNames.map((host) => `${host}: 192.168.${network}.${octet(host)}`);
    return `  - {medium: ucast, device: ${device}, addresses: {${addresses.join(", ")}}}\n`;
  });
  const text = `cluster: {name: bench, id: bench-failover}
timing:
  keepalive: ${timing.keepaliveMs}ms
  warntime: ${timing.warntimeMs}ms
  deadtime: ${timing.deadtimeMs}ms
  initdead: ${timing.initdeadMs}ms
hosts:
${hostNames.map((host) => `  ${host}: {roles: [data]}\n`).join("")}auth:
  mode: sha256
  keys: [{id: 1, file: /etc/ha.d/cluster.key}]
links:
${links.join("")}failover: {auto_failback: false, arbiter: none}
groups:
  - name: write
    prefers: dbm157
    resources:
${resources}`;
  return [
    { path: join("ha.d", "cluster.yaml"), text, mode: 0o644 },
    { path: join("ha.d", "cluster.key"), text: "a key for the benchmark only 0123\n", mode: 0o600 },
    {
      path: join("ha.d", "monitor.password"),
      text: `${monitorAccount.password}\n`,
      mode: 0o600,
    },
  ];
}

const octet = (host: HostName): string => host.slice(-3);
