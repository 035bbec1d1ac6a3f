/**
 * The disks of the lab: sparse images, and a loop device of its own on each for each host that sees it,
 * so that their mounts and page caches are apart, as on a SAN.
 */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { SECTOR_BYTES } from "../replication/index.ts";
import { delay } from "../system/clock.ts";
import { libc } from "../system/ffi.ts";
import { run } from "./commands.ts";
import {
  accounts,
  accountsSql,
  clusterYaml,
  etcHosts,
  groupWithAccounts,
  myCnf,
  passwdWithAccounts,
  paths,
} from "./host-files.ts";
import { clientPasswordPath, type ImageName, imagePath, type LabNames, treePath } from "./names.ts";
import { imageLayout, writeSyncedMetadata } from "./replicated-image.ts";
import type { LabProfile, LabStorage } from "./state.ts";
import { dataHosts, type LabHost } from "./topology.ts";

const mebibyte = 1_048_576;
/** Of every file system here. */
const blockBytes = 4_096;
/** Sparse: what is not written takes no space. */
const imageBytes = { database: 1_024 * mebibyte, claim: mebibyte, disk: 512 * mebibyte } as const;
/** uapi/linux/loop.h */
const LOOP_CTL_REMOVE = 0x4c81n;

/** What of the machine's /etc a host needs to run programs; the rest, its services and secrets, stays out. */
const takenFromEtc = [
  "alternatives",
  "bash.bashrc",
  "debian_version",
  "default/locale",
  "ethertypes",
  "gai.conf",
  "host.conf",
  "iproute2",
  "ld.so.cache",
  "ld.so.conf",
  "ld.so.conf.d",
  "localtime",
  "login.defs",
  "lsb-release",
  "magic",
  "mime.types",
  "mke2fs.conf",
  "netconfig",
  "networks",
  "nsswitch.conf",
  "os-release",
  "profile",
  "protocols",
  "rpc",
  "services",
  "terminfo",
  "timezone",
  "vim",
];

/** Secrets of one lab, random, never shown. */
export interface LabSecrets {
  readonly clusterKey: string;
  readonly diskSecret: string;
  readonly clientPassword: string;
  readonly monitorPassword: string;
  readonly clusterId: string;
}

/** New secrets; letters and digits only, so that they need no quoting anywhere. */
export function makeSecrets(): LabSecrets {
  const secret = (): string => randomBytes(24).toString("hex");
  return {
    clusterKey: secret(),
    diskSecret: secret(),
    clientPassword: secret(),
    monitorPassword: secret(),
    clusterId: `lab-${randomBytes(8).toString("hex")}`,
  };
}

/** Lays out /etc and /var of a host below its tree; the client's password is kept beside. */
export function makeTree(
  names: LabNames,
  host: LabHost,
  options: {
    readonly profile: LabProfile;
    readonly storage: LabStorage;
    readonly secrets: LabSecrets;
  },
): void {
  const { profile, storage, secrets } = options;
  const tree = treePath(names, host.name);
  const file = (path: string, text: string, mode = 0o644): void => {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), text, { mode });
  };
  for (const name of takenFromEtc) {
    const source = join("/etc", name);
    if (!existsSync(source)) continue;
    cpSync(source, join(tree, "etc", name), { recursive: true, verbatimSymlinks: true });
  }
  file("etc/passwd", passwdWithAccounts(readFileSync("/etc/passwd", "utf8")));
  file("etc/group", groupWithAccounts(readFileSync("/etc/group", "utf8")));
  file("etc/hostname", `${host.name}\n`);
  file("etc/hosts", etcHosts(host));
  file("etc/resolv.conf", "");
  file("etc/fstab", "");
  for (const name of ["lib", "log", "cache", "spool", "tmp", "opt"]) {
    mkdirSync(join(tree, "var", name), { recursive: true });
  }
  chmodSync(join(tree, "var/tmp"), 0o1777);
  symlinkSync("/run", join(tree, "var/run"));
  symlinkSync("/run/lock", join(tree, "var/lock"));
  mkdirSync(join(tree, "var/lib/baton"), { recursive: true, mode: 0o700 });
  if (host.role !== "data") return;
  file(paths.clusterConfig, clusterYaml({ profile, storage, clusterId: secrets.clusterId }));
  file(paths.clusterKey, `${secrets.clusterKey}\n`, 0o600);
  file(paths.monitorPassword, `${secrets.monitorPassword}\n`, 0o600);
  file(paths.diskSecret, `${secrets.diskSecret}\n`, 0o600);
  file(paths.mysqlConfig, myCnf());
  for (const directory of ["var/log/mysql", "var/lib/mysql"]) {
    mkdirSync(join(tree, directory), { recursive: true, mode: 0o750 });
    chownSync(join(tree, directory), accounts.mysql.uid, accounts.mysql.gid);
  }
}

/** A host's own disk: what is written there outlives a power loss only if it was synced. */
export async function makeHostDisk(
  names: LabNames,
  host: LabHost,
  signal?: AbortSignal,
): Promise<void> {
  await makeImage(names, `disk-${host.name}`, {
    bytes: imageBytes.disk,
    from: treePath(names, host.name),
    signal,
  });
}

/**
 * What the database lies on, with MariaDB's data in it, made once and by no running server: one image that both hosts
 * see and the claim's image, or an image for each host with the metadata of a replicated disk that is in sync.
 */
export async function makeDatabase(
  names: LabNames,
  storage: LabStorage,
  secrets: LabSecrets,
  signal?: AbortSignal,
): Promise<void> {
  const build = join(names.directory, "build");
  mkdirSync(build, { recursive: true, mode: 0o700 });
  const data = join(build, "database");
  const config = join(build, "my.cnf");
  const sql = join(build, "accounts.sql");
  writeFileSync(clientPasswordPath(names), `${secrets.clientPassword}\n`, { mode: 0o600 });
  writeFileSync(config, myCnf(data).replace(/^(log_error|user|socket|pid-file)=.*\n/gm, ""));
  writeFileSync(sql, accountsSql(secrets.clientPassword, secrets.monitorPassword), { mode: 0o600 });
  const install = [
    `--defaults-file=${config}`,
    "--user=root",
    "--skip-test-db",
    "--auth-root-authentication-method=socket",
    `--extra-file=${sql}`,
    // Its temporary tables are named by process id, which repeats in another PID namespace.
    `--tmpdir=${build}`,
  ];
  await run("mariadb-install-db", install, { names, signal, timeoutMs: 60_000 });
  const owner = `${accounts.mysql.uid}:${accounts.mysql.gid}`;
  await run("chown", ["-R", owner, data], { names, signal });
  if (storage === "disk") {
    await makeReplicatedDisk(names, { from: data, owner }, signal);
  } else {
    await makeImage(names, "database", { bytes: imageBytes.database, from: data, owner, signal });
    await makeImage(names, "claim", { bytes: imageBytes.claim, signal });
  }
  rmSync(build, { recursive: true, force: true });
}

async function makeReplicatedDisk(
  names: LabNames,
  { from, owner }: { readonly from: string; readonly owner: string },
  signal: AbortSignal | undefined,
): Promise<void> {
  const layout = imageLayout(imageBytes.database);
  const images = dataHosts.map((host) => imagePath(names, `data-${host.name}`));
  const [first = "", second = ""] = images;
  // The metadata lies behind the file system, which must not reach into it.
  const blocks = Math.floor((layout.usableSectors * SECTOR_BYTES) / blockBytes);
  const [name] = dataHosts;
  await makeImage(names, `data-${name?.name}`, {
    bytes: imageBytes.database,
    blocks,
    from,
    owner,
    signal,
  });
  await run("cp", ["--sparse=always", "--reflink=auto", first, second], { names, signal });
  chmodSync(second, 0o600);
  writeSyncedMetadata(images, layout);
}

interface ImageOptions {
  readonly bytes: number;
  /** Blocks of 4 KiB that the file system has. @default all */
  readonly blocks?: number;
  /** Of the top directory. @default root */
  readonly owner?: string;
  /** Makes an ext4 with a copy of this directory in it, without mounting anything. */
  readonly from?: string;
  readonly signal?: AbortSignal | undefined;
}

async function makeImage(
  names: LabNames,
  image: ImageName,
  { bytes, blocks, from, owner = "0:0", signal }: ImageOptions,
): Promise<void> {
  const path = imagePath(names, image);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(path, "", { mode: 0o600 });
  truncateSync(path, bytes);
  if (from === undefined) return;
  // The label names the lab's own; uninitialised tables are written by the kernel when it needs them.
  const options = [
    "-q",
    "-F",
    "-L",
    image.slice(0, 16),
    "-m",
    "0",
    "-E",
    `root_owner=${owner}`,
    "-d",
    from,
    "-b",
    String(blockBytes),
    path,
    ...(blocks === undefined ? [] : [String(blocks)]),
  ];
  await run("mkfs.ext4", options, { names, signal });
}

/** Attaches an image to a loop device that nothing else uses; returns its path, such as /dev/loop4. */
export async function attachLoop(names: LabNames, image: ImageName): Promise<string> {
  const path = imagePath(names, image);
  // The claim is read and written past every cache; file systems without direct I/O do it buffered.
  const direct = image === "claim" ? ["--direct-io=on"] : [];
  for (let attempt = 1; ; attempt++) {
    try {
      return (await run("losetup", ["--find", "--show", ...direct, path], { names })).trim();
    } catch (error) {
      // Another lab may have taken, or removed, the device that was free a moment ago.
      if (attempt === 5) throw error;
      if (attempt === 3) direct.length = 0;
      await delay(20);
    }
  }
}

/** Loop devices that stand on a file of this lab, whatever the state file says. */
export function loopsOfLab(names: LabNames): string[] {
  return loopDevices().filter((device) =>
    backingFile(device).startsWith(`${names.directory}/images/`),
  );
}

/** All loop devices that the machine has, in use or not. */
export function loopDevices(): string[] {
  return readdirSync("/sys/block")
    .filter((name) => /^loop\d+$/.test(name))
    .map((name) => `/dev/${name}`);
}

function backingFile(device: string): string {
  try {
    return readFileSync(`/sys/block/${basename(device)}/loop/backing_file`, "utf8").trim();
  } catch {
    return ""; // free, or gone meanwhile: stands on nothing
  }
}

/** Detaches devices of this lab and waits until the kernel has let go of them. @returns those that stay */
export async function detachLoops(names: LabNames, devices: readonly string[]): Promise<string[]> {
  const ours = new Set(loopsOfLab(names));
  const mine = devices.filter((device) => ours.has(device));
  await Promise.all(
    mine.map((device) =>
      run("losetup", ["--detach", device], { names }).catch(() => undefined /* judged below */),
    ),
  );
  for (let leftMs = 5_000; leftMs > 0; leftMs -= 10) {
    const left = loopsOfLab(names).filter((device) => mine.includes(device));
    if (left.length === 0) return [];
    await delay(10);
  }
  return loopsOfLab(names).filter((device) => mine.includes(device));
}

/** Removes the device nodes that the kernel made for the lab. One that somebody uses stays. */
export function removeLoopNodes(before: readonly string[]): void {
  const added = loopDevices().filter((device) => !before.includes(device));
  if (added.length === 0) return;
  const control = openSync("/dev/loop-control", "r+");
  try {
    for (const device of added) {
      if (backingFile(device) !== "") continue;
      // In use by somebody since: the kernel refuses, and rightly.
      libc.ioctl(control, LOOP_CTL_REMOVE, BigInt(device.slice("/dev/loop".length)));
    }
  } finally {
    closeSync(control);
  }
}

/** `path:major:minor` for the boot script, so that the host's /dev has its devices and no others. */
export function deviceNodes(loops: Readonly<Record<string, string>>): string {
  const shown: Record<string, string> = {
    database: "san/database",
    claim: "san/claim",
    data: "local/mysql",
  };
  const specs = Object.entries(loops).flatMap(([image, device]) => {
    const numbers = readFileSync(`/sys/block/${basename(device)}/dev`, "utf8").trim();
    const alias = shown[image];
    return [
      `${basename(device)}:${numbers}`,
      ...(alias === undefined ? [] : [`${alias}:${numbers}`]),
    ];
  });
  return specs.join(" ");
}

/** Whether the image is there, and how much of it is in use, in bytes. */
export function imageUse(names: LabNames, image: ImageName): number | undefined {
  const path = imagePath(names, image);
  return existsSync(path) ? statSync(path).blocks * 512 : undefined;
}
