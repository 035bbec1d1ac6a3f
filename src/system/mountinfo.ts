/**
 * /proc/self/mountinfo as data (proc(5)). A total parser: a line that does not have the form is left
 * out, because one odd line must not hide all other mounts; what is left out is counted.
 */

export interface Mount {
  readonly id: number;
  readonly parentId: number;
  /** `major:minor` of the device, as in `st_dev` of what lies on it. */
  readonly device: string;
  /** What part of the file system is mounted; `/` unless it is a bind mount. */
  readonly root: string;
  readonly mountPoint: string;
  /** Of this mount: `rw`, `noatime`, ... */
  readonly options: readonly string[];
  readonly type: string;
  /** Usually the path that was given to mount(2), such as `/dev/loop0`. */
  readonly source: string;
  /** Of the file system, whatever the mount: `ro` here is what the kernel does after an error. */
  readonly superOptions: readonly string[];
}

export interface MountTable {
  readonly mounts: readonly Mount[];
  /** Lines that could not be read. */
  readonly skipped: number;
}

/** Reads a whole table. Later mounts of the same directory come later and hide earlier ones. */
export function parseMountInfo(text: string): MountTable {
  const mounts: Mount[] = [];
  let skipped = 0;
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const mount = parseLine(line);
    if (mount === undefined) skipped++;
    else mounts.push(mount);
  }
  return { mounts, skipped };
}

/** The mount that is seen at a directory: the last one there. */
export function mountAt(table: MountTable, mountPoint: string): Mount | undefined {
  return table.mounts.findLast((mount) => mount.mountPoint === mountPoint);
}

/** `36 35 98:0 / /mnt rw,noatime master:1 - ext4 /dev/sda1 rw,errors=remount-ro` */
function parseLine(line: string): Mount | undefined {
  const words = line.split(" ");
  // Between the options and the dash stands any number of optional fields.
  const dash = words.indexOf("-", 6);
  const [id, parentId, device, root, mountPoint, options] = words;
  const [type, source, superOptions] = words.slice(dash + 1);
  if (dash < 0 || words.length !== dash + 4) return undefined;
  if (root === undefined || mountPoint === undefined || options === undefined) return undefined;
  if (type === undefined || source === undefined || superOptions === undefined) return undefined;
  if (device === undefined || !/^\d{1,7}:\d{1,7}$/.test(device)) return undefined;
  const numbers = [id, parentId].map((word) => (/^\d{1,10}$/.test(word ?? "") ? Number(word) : -1));
  const [idNumber = -1, parentNumber = -1] = numbers;
  if (idNumber < 0 || parentNumber < 0) return undefined;
  return {
    id: idNumber,
    parentId: parentNumber,
    device,
    root: unescapeOctal(root),
    mountPoint: unescapeOctal(mountPoint),
    options: options.split(","),
    type: unescapeOctal(type),
    source: unescapeOctal(source),
    superOptions: unescapeOctal(superOptions).split(","),
  };
}

/** The kernel writes space, tab, newline, backslash and # as `\040` and so on: bytes, not characters. */
export function unescapeOctal(word: string): string {
  if (!word.includes("\\")) return word;
  const bytes: number[] = [];
  const raw = new TextEncoder().encode(word);
  for (let index = 0; index < raw.length; index++) {
    const escaped = raw[index] === 0x5c ? octalAt(raw, index + 1) : undefined;
    bytes.push(escaped ?? raw[index] ?? 0);
    if (escaped !== undefined) index += 3;
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

function octalAt(bytes: Uint8Array, start: number): number | undefined {
  if (start + 3 > bytes.length) return undefined;
  let value = 0;
  for (let index = start; index < start + 3; index++) {
    const digit = (bytes[index] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) return undefined;
    value = value * 8 + digit;
  }
  return value > 255 ? undefined : value;
}
