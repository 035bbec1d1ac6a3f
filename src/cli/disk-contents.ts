/** What is on a device now, as far as its first bytes tell. */
import { fail, ok, type Result } from "../base/index.ts";
import { identifyContents, SIGNATURE_BYTES } from "../replication/index.ts";
import { openDevice, readAt } from "../replication/metadata/device.shell.ts";

/** What is recognised on a device: `ext2/3/4 file system`, or that nothing is. */
export function contentsOf(path: string): string {
  const head = readHead(path);
  if (!head.ok) return `can not be read (${head.error.message})`;
  const found = identifyContents(head.value);
  if (found !== undefined) return found.name;
  return head.value.every((byte) => byte === 0)
    ? "empty, as far as it was read"
    : "nothing that is recognised";
}

function readHead(path: string): Result<Uint8Array> {
  const device = openDevice(path, { kind: "look" });
  if (!device.ok) return fail(device.error);
  using open = device.value;
  const bytes = new Uint8Array(Math.min(SIGNATURE_BYTES, open.sectors * 512));
  const read = readAt(open, 0, bytes);
  return read.ok ? ok(bytes) : read;
}
