/** What `drbdmeta` does: metadata of a disk that is not in use, read and written directly. */
import { randomBytes } from "node:crypto";
import type { BatonError } from "../base/index.ts";
import {
  diskStateOf,
  formatDump,
  formatGenerations,
  formatGenerationsExplained,
} from "../replication/index.ts";
import {
  applyActivityLog,
  createMetadata,
  inspectMetadata,
  invalidateMetadata,
  outdateMetadata,
} from "../replication/metadata/metadata.shell.ts";
import { type DiskConfigOptions, metadataTarget, type OwnDisk, ownDisk } from "./disk-config.ts";
import { contentsOf } from "./disk-contents.ts";
import { confirm } from "./disk-danger.ts";
import { disksWithSocket } from "./disk-sockets.ts";
import { sizeText } from "./disk-text.ts";
import { CliError, type Exit, exits } from "./exit.ts";
import { print, printJson } from "./output.ts";

interface CommonOptions extends DiskConfigOptions {
  readonly json?: boolean;
}

/** `create-md`: asks before anything that is there is given up. */
export async function createMd(
  name: string,
  options: CommonOptions & { readonly yes?: boolean; readonly force?: boolean },
): Promise<void> {
  const disk = await ownDisk(name, options);
  refuseIfRunning(name, "create new metadata");
  const target = metadataTarget(disk);
  const there = describe(disk);
  // `--force` is drbdadm's word for the same consent.
  if (there.length > 0) {
    await confirm(
      { name, deed: `create new metadata for disk ${name}`, lines: there },
      options.yes === true || options.force === true,
    );
  }
  const deviceId = randomBytes(8).readBigUInt64BE();
  const made = createMetadata(target, { force: there.length > 0, deviceId });
  if (!made.ok) throw asCliError(made.error);
  const layout = made.value;
  if (options.json === true) {
    printJson({
      schema: "baton.disk.create-md.1",
      disk: name,
      device: target.metadata,
      superblockOffset: layout.superblockOffset,
      usableSectors: layout.usableSectors,
    });
    return;
  }
  print(
    `${name}: new metadata on ${target.metadata}, room for ${sizeText(layout.usableSectors * 512)} of data on ${target.backing}`,
  );
}

/** What would be forgotten or overwritten; empty: nothing is there. */
function describe(disk: OwnDisk): readonly string[] {
  const target = metadataTarget(disk);
  const found = inspectMetadata(target);
  const contents = contentsOf(target.backing);
  const isFree = contents === "empty, as far as it was read";
  const what = `on ${target.backing} there is now: ${contents}`;
  if (found.ok) {
    const { superblock, layout } = found.value;
    return [
      `${target.metadata} holds metadata of a disk of ${sizeText(layout.usableSectors * 512)} (${diskStateOf(superblock.flags)})`,
      `its data generations, which say which copy is current, are forgotten: ${formatGenerations(superblock)}`,
      what,
    ];
  }
  if (found.error.code !== "BTN-DISK-METADATA-NONE") {
    return [`${target.metadata} holds metadata that can not be used: ${found.error.message}`, what];
  }
  return isFree || contents === "nothing that is recognised"
    ? []
    : [
        what,
        target.form.kind === "internal"
          ? "its last part is overwritten by the metadata, and the disk counts as inconsistent"
          : "the disk counts as inconsistent until it is made primary by force",
      ];
}

/** `dump-md`, `get-gi`, `show-gi`: read only, also while the disk runs. */
export async function showMetadata(
  what: "dump-md" | "get-gi" | "show-gi",
  name: string,
  options: CommonOptions,
): Promise<void> {
  const disk = await ownDisk(name, options);
  const target = metadataTarget(disk);
  const found = inspectMetadata(target);
  if (!found.ok) throw asCliError(found.error);
  const { superblock, layout, bitmap } = found.value;
  const text =
    what === "dump-md"
      ? formatDump({
          superblock,
          layout,
          bitmap,
          heading: [`${disk.side.host}> baton disk dump-md ${name}`],
          flags: "disk",
        })
      : what === "get-gi"
        ? `${formatGenerations(superblock)}\n`
        : formatGenerationsExplained(superblock);
  if (options.json === true)
    printJson({ schema: `baton.disk.${what}.1`, disk: name, device: target.metadata, text });
  else process.stdout.write(text);
}

/** `apply-al`: an attach does it by itself. */
export async function applyAl(name: string, options: CommonOptions): Promise<void> {
  const disk = await ownDisk(name, options);
  refuseIfRunning(name, "apply the activity log");
  const applied = applyActivityLog(metadataTarget(disk));
  if (!applied.ok) throw asCliError(applied.error);
  const { needed, extents, bitsSet } = applied.value;
  if (options.json === true) {
    printJson({ schema: "baton.disk.apply-al.1", disk: name, needed, bitsSet });
    return;
  }
  const count = typeof extents === "number" ? extents : extents.length;
  print(
    needed
      ? `${name}: ${count} extents of the activity log marked out of sync, ${bitsSet} bits set`
      : `${name}: the activity log is clean`,
  );
}

/** `outdate` and `invalidate` of a disk that does not run: marks its metadata. */
export async function markOffline(
  what: "outdate" | "invalidate",
  name: string,
  options: CommonOptions & { readonly yes?: boolean },
): Promise<Exit> {
  const disk = await ownDisk(name, options);
  const target = metadataTarget(disk);
  if (what === "invalidate") {
    await confirm(
      {
        name,
        deed: `declare the data of disk ${name} on this host worthless`,
        lines: offlineLoss(disk),
      },
      options.yes === true,
    );
  }
  const marked = what === "outdate" ? outdateMetadata(target) : invalidateMetadata(target);
  if (!marked.ok) throw asCliError(marked.error);
  const state = diskStateOf(marked.value.flags);
  if (options.json === true) printJson({ schema: `baton.disk.${what}.1`, disk: name, state });
  else print(`${name}: ${what}d on the device, since it does not run: ${state}`);
  return exits.done;
}

function offlineLoss(disk: OwnDisk): readonly string[] {
  const target = metadataTarget(disk);
  const found = inspectMetadata(target);
  return [
    `${target.backing}: ${contentsOf(target.backing)}`,
    ...(found.ok
      ? [
          `${sizeText(found.value.layout.usableSectors * 512)} are copied anew from the peer`,
          `its generations: ${formatGenerations(found.value.superblock)}`,
        ]
      : [`its metadata: ${found.error.message}`]),
  ];
}

function refuseIfRunning(name: string, what: string): void {
  if (!disksWithSocket().includes(name)) return;
  throw new CliError(exits.refused, {
    code: "BTN-CLI-DISK-RUNNING",
    message: `Cannot ${what} of disk ${name}: its process runs`,
    consequence: "Nothing was changed",
    fix: `Stop it first: baton disk down ${name}`,
  });
}

/** What is wrong with a device ends with 5, what only lacks consent with 4. */
function asCliError(error: BatonError): CliError {
  const refused = ["BTN-DISK-METADATA-EXISTS", "BTN-DISK-METADATA-BUSY"].includes(error.code);
  return new CliError(refused ? exits.refused : exits.failed, {
    code: error.code,
    message: error.message,
    consequence: error.consequence,
    fix: error.fix,
    cause: error,
  });
}
