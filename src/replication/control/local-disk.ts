/** The backing disk: attach, detach, and what an I/O error makes of it (drbd.md 4.10, 4.11; reliability R10). */
import type { BatonError } from "../../base/index.ts";
import { type AttachedMetadata, type DiskStateName, diskRank } from "../contract.ts";
import {
  locate,
  type MetadataFlags,
  type MetadataForm,
  parseSuperblock,
  type Superblock,
} from "../metadata/index.ts";
import type { MetadataPlace } from "../options.ts";
import type { DataNotice } from "../shared.ts";
import type { Core } from "./core.ts";
import { sameGeneration, withRole } from "./generations.ts";
import { codes } from "./result-codes.ts";
import { markAllOutOfSync } from "./resync.ts";
import { agreedSectors, sendSizes } from "./sizes.ts";
import { isConnected } from "./transitions.ts";

/** Why an attach is refused. */
export interface AttachRefusal {
  readonly code: number;
  readonly reason: string;
  readonly detail: string;
}

const formOf = (place: MetadataPlace): MetadataForm =>
  place.kind === "indexed" ? { kind: "indexed", index: place.index } : { kind: place.kind };

/** Takes what the shell read; undefined if the disk is attached. */
export function takeMetadata(core: Core, found: AttachedMetadata): AttachRefusal | undefined {
  const { memory, options } = core;
  const refuse = (code: number, error: BatonError): AttachRefusal => ({
    code,
    reason: error.code,
    detail: error.message,
  });
  const host = options.spec.hosts.find(({ host }) => host === options.host);
  if (host === undefined) {
    const detail = `the disk has no side on ${options.host}`;
    return { code: codes.noDisk, reason: "BTN-DISK-NO-DISK", detail };
  }
  const parsed = parseSuperblock(found.superblock);
  if (!parsed.ok) return refuse(codes.invalidMetadata, parsed.error);
  const superblock = parsed.value;
  const layout = locate(superblock, formOf(host.metadata), found);
  if (!layout.ok) return refuse(codes.implicitShrink, layout.error);
  const configured = options.spec.disk.sizeSectors;
  const sectors = agreedSectors({
    own: layout.value.usableSectors,
    peer: 0,
    lastAgreed: superblock.lastAgreedSectors,
    configured,
  });
  if (found.bitmap.length < Math.ceil(sectors / 64)) {
    const detail = `a bitmap of ${found.bitmap.length} bytes for ${sectors} sectors`;
    return { code: codes.invalidMetadata, reason: "BTN-DISK-METADATA-INVALID", detail };
  }
  const refusal = wrongData(core, superblock.generations.current, superblock.flags, sectors);
  if (refusal !== undefined) return refusal;
  memory.disk = {
    layout: layout.value,
    superblock: { ...superblock, generations: withRole(superblock.generations, core.isPrimary) },
    discards: found.discards,
  };
  core.foundSuperblock(superblock);
  core.data.attached(found, core.now);
  settle(core, superblock, sectors);
  return undefined;
}

function wrongData(
  core: Core,
  current: bigint,
  flags: MetadataFlags,
  sectors: number,
): AttachRefusal | undefined {
  const { memory } = core;
  const { exposed } = memory;
  const other = exposed !== 0n && !sameGeneration(exposed, current);
  if (core.isPrimary && !isConnected(memory.state) && other) {
    const detail = "applications here use other data than this disk has";
    return { code: codes.dataNotCurrent, reason: "BTN-DISK-DATA-NOT-CURRENT", detail };
  }
  if (core.isPrimary && flags.consistent && sectors < memory.sectors) {
    const detail = `the disk has ${sectors} sectors, applications use ${memory.sectors}`;
    return { code: codes.implicitShrink, reason: "BTN-DISK-WOULD-SHRINK", detail };
  }
  return undefined;
}

/** The state by the flags (drbd.md 4.11), or Negotiating and what is to be said to the peer. */
function settle(core: Core, superblock: Superblock, sectors: number): void {
  const { memory, options } = core;
  const { flags, lastAgreedSectors } = superblock;
  const frozenPrimary = core.isPrimary && memory.state.suspNoData;
  memory.crashedPrimary = (flags.crashedPrimary || flags.primary) && !frozenPrimary;
  core.resize(sectors);
  // Never used: whatever the bitmap holds, nothing is in common with anybody.
  if (lastAgreedSectors === 0) core.data.setAllBits(core.now);
  if (flags.fullSync || (memory.crashedPrimary && flags.logDisabled)) markAllOutOfSync(core);
  const fenced = flags.peerOutdated || options.spec.disk.fencing === "dont-care";
  const known: DiskStateName = flags.consistent
    ? flags.wasUpToDate
      ? "Consistent"
      : "Outdated"
    : "Inconsistent";
  memory.postponed = known === "Consistent" && fenced ? "UpToDate" : known;
  core.force({ disk: "Attaching" });
  if (!isConnected(memory.state)) {
    core.force({
      disk: memory.postponed,
      ...(flags.peerOutdated && memory.state.pdsk === "DUnknown" ? { pdsk: "Outdated" } : {}),
    });
    if (memory.disk !== null) memory.exposed = memory.disk.superblock.generations.current;
    core.decide("BTN-DISK-ATTACHED", `this disk is ${memory.state.disk}`);
    return;
  }
  core.force({ disk: "Negotiating" });
  if (core.session !== undefined) sendSizes(core, core.session.features);
  core.sendGenerations(0);
  core.sendState();
  core.decide("BTN-DISK-ATTACHED", "the peer is asked how its data compares");
}

/** An error of local I/O. A flush that failed proves that the page cache is not to be believed: the disk is gone (R10). */
export function localIoError(
  core: Core,
  error: Extract<DataNotice, { kind: "localIoError" }>,
): void {
  if (diskRank(core.state.disk) <= diskRank("Failed")) return;
  const policy = core.options.spec.disk.onIoError;
  const detail = `${error.operation} at sector ${error.sector}: ${error.error}`;
  const soft = error.operation === "read" || error.operation === "write";
  if (soft && policy === "pass_on") {
    core.decide("BTN-DISK-IO-ERROR-PASSED", detail);
    if (diskRank(core.state.disk) > diskRank("Inconsistent")) core.force({ disk: "Inconsistent" });
    return;
  }
  if (policy === "call-local-io-error") core.runHandler("local-io-error");
  core.decide("BTN-DISK-IO-ERROR", detail);
  core.force({ disk: "Failed" });
  if (error.operation === "metadata") abandonMetadata(core);
}

/** Nothing can be written to the metadata any more: whoever waits for it is told. */
export function abandonMetadata(core: Core): void {
  const { tokens, abandonedIo } = core.output.abandonMetadata();
  core.memory.fullSyncToken = 0;
  for (const token of tokens) core.data.metadataDone(token, false, core.now);
  for (const io of abandonedIo) core.data.ioDone(io, false, undefined, core.now);
}

/** Failed becomes Diskless once nothing is under way on the disk. `force`: without waiting. */
export function diskProgress(core: Core, force = false): boolean {
  const { memory } = core;
  if (memory.state.disk !== "Failed") return false;
  if (!force && core.output.busy()) return false;
  abandonMetadata(core);
  memory.disk = null;
  // From here on applications use the peer's data.
  const theirs = memory.peer.generations;
  if (core.isPrimary && isConnected(memory.state) && theirs !== null) {
    memory.exposed = theirs.current;
  }
  core.foundSuperblock(undefined);
  core.force({ disk: "Diskless" });
  core.emit({ kind: "closeBacking" });
  return true;
}
