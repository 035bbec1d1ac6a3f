/** How large the device is: by both disks, the configured size and what was agreed before (drbd.md 2.6, I8). */
import { diskRank } from "../contract.ts";
import { feature, type SizesPacket } from "../wire/packets.ts";
import { loseConnection, turnAway } from "./connection.ts";
import type { Core } from "./core.ts";
import { isConnected } from "./transitions.ts";

const MAX_BIO_BYTES = 1 << 20;
const MAX_SECTORS = 2 ** 51;

/** The size by rule 3 of drbd.md 2.6; 0: not known yet. */
export function agreedSectors(sizes: {
  readonly own: number;
  readonly peer: number;
  readonly lastAgreed: number;
  readonly configured: number;
}): number {
  const { own, peer, lastAgreed, configured } = sizes;
  const known = [own, peer].filter((sectors) => sectors > 0);
  const most = known.length === 0 ? 0 : Math.min(...known);
  const both = known.length === 2;
  const size =
    both || lastAgreed === 0 ? most : most === 0 ? lastAgreed : Math.min(lastAgreed, most);
  return configured > 0 && configured <= size ? configured : size;
}

const smallestSet = (a: number, b: number): number => (a === 0 || b === 0 ? a + b : Math.min(a, b));

/** P_SIZES; its form depends on the features. */
export function sendSizes(core: Core, features: number): void {
  const { memory, options } = core;
  const { disk } = memory;
  core.send("data", {
    command: "P_SIZES",
    volume: options.spec.volume,
    diskSectors: disk?.layout.usableSectors ?? 0,
    userSectors: disk === null ? 0 : options.spec.disk.sizeSectors,
    currentSectors: memory.sectors,
    maxBioBytes: MAX_BIO_BYTES,
    queueOrderType: 0,
    flags: 0,
    limits:
      (features & feature.writeSame) === 0
        ? undefined
        : {
            physicalBlockBytes: 512,
            logicalBlockBytes: 512,
            alignmentOffset: 0,
            ioMinimum: 512,
            ioOptimum: 0,
            discard: disk?.discards ?? true,
            discardZeroes: false,
            writeSame: false,
          },
  });
}

/** P_SIZES: agrees on a size, never on less than usable data has (I8). */
export function receiveSizes(core: Core, packet: SizesPacket): void {
  const { memory } = core;
  const sizes = [packet.diskSectors, packet.userSectors, packet.currentSectors];
  if (
    sizes.some((sectors) => !Number.isSafeInteger(sectors) || sectors < 0 || sectors > MAX_SECTORS)
  ) {
    const detail = `a disk of ${packet.diskSectors} sectors, a device of ${packet.currentSectors}`;
    loseConnection(core, "ProtocolError", "BTN-DISK-SIZE-ABSURD", detail);
    return;
  }
  memory.peer.diskSectors = packet.diskSectors;
  memory.peer.userSectors = packet.userSectors;
  memory.peer.currentSectors = packet.currentSectors;
  const accepted = memory.disk === null ? adoptSize(core, packet) : agreeOnSize(core, packet);
  if (!accepted) return;
  const { link } = memory;
  if (link.phase === "parameters") {
    memory.link = { ...link, got: { ...link.got, sizes: true } };
  }
}

/** Without a disk the peer's size is ours; a Primary never sees it shrink. */
function adoptSize(core: Core, packet: SizesPacket): boolean {
  const { memory } = core;
  const size = packet.currentSectors || packet.userSectors || packet.diskSectors;
  if (size === 0) return true;
  if (core.isPrimary && size < memory.sectors) {
    const detail = `the peer has ${size} sectors, applications use ${memory.sectors}`;
    turnAway(core, "BTN-DISK-WOULD-SHRINK", detail);
    return false;
  }
  core.resize(size);
  return true;
}

function agreeOnSize(core: Core, packet: SizesPacket): boolean {
  const { memory, options } = core;
  const { disk, state, sectors } = memory;
  if (disk === null) return true;
  const configured = smallestSet(options.spec.disk.sizeSectors, packet.userSectors);
  const size = agreedSectors({
    own: disk.layout.usableSectors,
    peer: packet.diskSectors,
    lastAgreed: disk.superblock.lastAgreedSectors,
    configured,
  });
  const connected = isConnected(state);
  const inUse = diskRank(state.disk) >= diskRank("Outdated") || core.isPrimary;
  const mayShrink = connected && packet.diskSectors > 0;
  if (size < sectors && inUse && !mayShrink) {
    const detail = `${size} sectors are what both can hold, ${sectors} are in use`;
    turnAway(core, "BTN-DISK-WOULD-SHRINK", detail);
    return false;
  }
  if (size < sectors && core.isPrimary) return true;
  core.resize(size);
  core.updateSuperblock({
    lastAgreedSectors: size,
    peerMaxBioBytes: packet.maxBioBytes,
  });
  const answers = packet.currentSectors !== size && connected;
  if (answers && core.session !== undefined) sendSizes(core, core.session.features);
  return true;
}
