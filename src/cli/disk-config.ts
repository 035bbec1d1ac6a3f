/** Which disks are configured on this host; for the verbs that need more than a socket. */
import { existsSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, resolve } from "node:path";
import type { Command } from "commander";
import type { DiskHost, DiskSpec } from "../replication/index.ts";
import type { MetadataTarget } from "../replication/metadata/metadata.shell.ts";
import { CliError, exits } from "./exit.ts";

/** Where the configuration is. */
export interface DiskConfigOptions {
  readonly config?: string | undefined;
  readonly haDir?: string | undefined;
  readonly drbdConf?: string | undefined;
  readonly name?: string | undefined;
}

const nativeFile = "/etc/baton/cluster.yaml";
const classicDirectory = "/etc/ha.d";
/** Where drbdadm looks, in its order (drbd.md 9.1). */
const drbdConfPaths = [
  "/etc/drbd-84.conf",
  "/etc/drbd-83.conf",
  "/etc/drbd-08.conf",
  "/etc/drbd.conf",
];

/** Options of every verb that reads the configuration. */
export function withConfigOptions(command: Command): Command {
  return command
    .option(
      "--config <file>",
      `cluster.yaml (default ${nativeFile}, else the classic files, else drbd.conf)`,
    )
    .option("--ha-dir <directory>", "read the classic files of this directory instead")
    .option("--drbd-conf <file>", "disks are described there; alone: without a cluster")
    .option("--name <host>", "this host's name in the configuration (default: uname -n)");
}

/** A disk with this host's side of it. */
export interface OwnDisk {
  readonly spec: DiskSpec;
  readonly side: DiskHost;
}

/** The configured disks of this host. @throws {CliError} exit 2 if the configuration is refused */
export async function ownDisks(options: DiskConfigOptions): Promise<readonly OwnDisk[]> {
  const own = (options.name ?? hostname()).toLowerCase();
  return (await configuredDisks(options)).flatMap((spec) => {
    const side = spec.hosts.find((host) => host.host === own);
    return side === undefined ? [] : [{ spec, side }];
  });
}

/** The configured disks, whosever. @throws {CliError} exit 2 if the configuration is refused */
export async function configuredDisks(options: DiskConfigOptions): Promise<readonly DiskSpec[]> {
  const place = placeOf(options);
  const { loadClassic, loadDrbdConf, loadNative } = await import("../config/config.shell.ts");
  const outcome =
    place.kind === "native"
      ? await loadNative(place.path)
      : place.kind === "classic"
        ? await loadClassic(place.path, { checkSelf: false, drbdConf: options.drbdConf })
        : await loadDrbdConf(place.path);
  if (outcome.ok) return "config" in outcome ? outcome.config.disks : outcome.disks;
  const { formatFinding } = await import("../config/index.ts");
  const errors = outcome.findings.filter((finding) => finding.severity === "error");
  const first = errors[0];
  throw new CliError(exits.usage, {
    code: first?.code ?? "BTN-CONFIG-UNREADABLE",
    message: errors.slice(0, 5).map(formatFinding).join("\n"),
    consequence: "Which disks this host has is not known; nothing was done",
    fix: `See them all with \`baton check ${place.path}\``,
  });
}

/** Where the configuration is, for a process that is to read the same, from wherever it is started. */
export function configArguments(options: DiskConfigOptions): readonly string[] {
  const place = placeOf(options);
  return [
    ...(place.kind === "native" ? ["--config", resolve(place.path)] : []),
    ...(place.kind === "classic" ? ["--ha-dir", resolve(place.path)] : []),
    ...(place.kind === "drbd" ? ["--drbd-conf", resolve(place.path)] : []),
    ...(place.kind === "classic" && options.drbdConf !== undefined
      ? ["--drbd-conf", resolve(options.drbdConf)]
      : []),
    ...(options.name === undefined ? [] : ["--name", options.name]),
  ];
}

interface Place {
  readonly kind: "native" | "classic" | "drbd";
  readonly path: string;
}

function placeOf(options: DiskConfigOptions): Place {
  if (options.config !== undefined) return { kind: "native", path: options.config };
  if (options.haDir !== undefined) return { kind: "classic", path: options.haDir };
  if (options.drbdConf !== undefined) return { kind: "drbd", path: options.drbdConf };
  if (existsSync(nativeFile)) return { kind: "native", path: nativeFile };
  if (existsSync(`${classicDirectory}/ha.cf`)) return { kind: "classic", path: classicDirectory };
  const alone = drbdConfPaths.find((path) => existsSync(path));
  return alone === undefined ? { kind: "native", path: nativeFile } : { kind: "drbd", path: alone };
}

/** The one disk of that name. @throws {CliError} exit 2 if there is none here */
export async function ownDisk(name: string, options: DiskConfigOptions): Promise<OwnDisk> {
  const disks = await ownDisks(options);
  const found = disks.find(({ spec }) => spec.name === name);
  if (found !== undefined) return found;
  const names = disks.map(({ spec }) => spec.name);
  throw new CliError(exits.usage, {
    code: "BTN-CLI-DISK-UNKNOWN",
    message: `There is no disk ${JSON.stringify(name)} on this host`,
    consequence: "Nothing was done",
    fix:
      names.length === 0
        ? `Describe it under disks in ${dirname(nativeFile)}/cluster.yaml, or name the file with --config or --drbd-conf`
        : `Use one of ${names.join(", ")}`,
  });
}

/** Where this host's metadata of a disk is. */
export function metadataTarget({ side }: OwnDisk): MetadataTarget {
  const { metadata, backing } = side;
  switch (metadata.kind) {
    case "internal":
      return { backing, form: { kind: "internal" }, metadata: backing };
    case "external":
      return { backing, form: { kind: "external" }, metadata: metadata.device };
    default:
      return {
        backing,
        form: { kind: "indexed", index: metadata.index },
        metadata: metadata.device,
      };
  }
}
