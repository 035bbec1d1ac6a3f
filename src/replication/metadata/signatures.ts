/** What is on a device already, judged by its first bytes: so that nobody's data is overwritten unasked. */

/** Enough of the beginning of a device for `identifyContents`. */
export const SIGNATURE_BYTES = 69_632;

/** Something that is recognised. */
export interface KnownContents {
  /** Such as `ext2/3/4 file system`. */
  readonly name: string;
  /** Where it ends, in bytes, as far as its header says; undefined: it may fill the device. */
  readonly endsAt: number | undefined;
}

interface Signature {
  readonly name: string;
  readonly offset: number;
  readonly magic: string;
}

const signatures: readonly Signature[] = [
  { name: "LUKS volume", offset: 0, magic: "LUKS\xba\xbe" },
  { name: "LVM physical volume", offset: 512, magic: "LABELONE" },
  { name: "btrfs file system", offset: 65_600, magic: "_BHRfS_M" },
  { name: "swap space", offset: 4086, magic: "SWAPSPACE2" },
  { name: "Linux RAID member", offset: 4096, magic: "\xfc\x4e\x2b\xa9" },
  { name: "ReiserFS file system", offset: 65_588, magic: "ReIsEr" },
  { name: "JFS file system", offset: 32_768, magic: "JFS1" },
  { name: "GPT partition table", offset: 512, magic: "EFI PART" },
];

/** Recognises file systems and other owners of a device from its first bytes; undefined: nothing known. Never throws. */
export function identifyContents(head: Uint8Array): KnownContents | undefined {
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  const extended = ext(view);
  if (extended !== undefined) return extended;
  if (matches(head, { name: "XFS", offset: 0, magic: "XFSB" }) && head.length >= 16) {
    return {
      name: "XFS file system",
      endsAt: view.getUint32(4) * Number(view.getBigUint64(8)),
    };
  }
  const found = signatures.find((signature) => matches(head, signature));
  if (found !== undefined) return { name: found.name, endsAt: undefined };
  if (head.length >= 512 && view.getUint16(510) === 0x55aa) {
    return { name: "partition table or boot sector", endsAt: undefined };
  }
  return undefined;
}

function ext(view: DataView): KnownContents | undefined {
  if (view.byteLength < 2048 || view.getUint16(1024 + 56, true) !== 0xef53) return undefined;
  const blockBytes = 1024 * 2 ** Math.min(6, view.getUint32(1024 + 24, true));
  // The upper half counts only with the feature 64bit.
  const wide = (view.getUint32(1024 + 96, true) & 0x80) !== 0;
  const upper = wide ? view.getUint32(1024 + 0x150, true) : 0;
  const blocks = upper * 2 ** 32 + view.getUint32(1024 + 4, true);
  return { name: "ext2/3/4 file system", endsAt: blocks * blockBytes };
}

function matches(head: Uint8Array, { offset, magic }: Signature): boolean {
  if (head.length < offset + magic.length) return false;
  for (let index = 0; index < magic.length; index++) {
    if (head[offset + index] !== magic.charCodeAt(index)) return false;
  }
  return true;
}
