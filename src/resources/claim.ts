/**
 * The claim on a shared disk, as bytes: two copies of 4 KiB at the start of the claim device, of which
 * each write replaces the older one, so that a write that is cut short leaves the other (DESIGN 7.10).
 * Of valid copies the one with the higher (epoch, counter) counts, so that a host that was replaced
 * does not win by writing late.
 *
 *   offset  bytes  little endian
 *   0       8      "BTNCLAIM"
 *   8       2      version, 1
 *   10      1      1 held, 0 released
 *   11      1      length of the host name
 *   12      4      deadtime of the writer, milliseconds
 *   16      8      epoch
 *   24      8      counter: rises with each write
 *   32      16     incarnation: which start of the host wrote it
 *   48      ..     host name, UTF-8
 *   508     4      CRC-32C of bytes 0 to 507; the rest of the copy is zero
 */
import { crc32c } from "../base/index.ts";

export interface Claim {
  /** The host that wrote it. */
  readonly host: string;
  /** False: that host gave it up. */
  readonly held: boolean;
  readonly epoch: number;
  readonly counter: number;
  /** How long it must stand still before another host may replace it. */
  readonly deadtimeMs: number;
  /** 32 hexadecimal digits, other ones after each boot of the host. */
  readonly incarnation: string;
}

/** Both copies as they were read. `writeTo` is the copy that the next write replaces. */
export type ClaimReading =
  | { readonly kind: "none"; readonly writeTo: 0 | 1 }
  | { readonly kind: "claim"; readonly claim: Claim; readonly writeTo: 0 | 1 }
  /** Copies of a claim, none of which is whole. */
  | { readonly kind: "damaged"; readonly writeTo: 0 | 1 }
  /** Something that is not ours to overwrite, or too small a device. */
  | { readonly kind: "not-a-claim"; readonly detail: string };

export const CLAIM_COPY_BYTES = 4_096;
export const CLAIM_BYTES = 2 * CLAIM_COPY_BYTES;
/** A name as in `uname -n`; 64 on Linux. */
export const CLAIM_HOST_MAX_BYTES = 255;

const MAGIC = new TextEncoder().encode("BTNCLAIM");
const VERSION = 1;
const HOST_OFFSET = 48;
const CHECKSUM_OFFSET = 508;

/** One copy. @throws {RangeError} if the host name does not fit */
export function encodeClaim(claim: Claim): Uint8Array {
  const host = new TextEncoder().encode(claim.host);
  if (host.length === 0 || host.length > CLAIM_HOST_MAX_BYTES) {
    throw new RangeError(
      `Cannot claim for host "${claim.host}": its name has ${host.length} bytes`,
    );
  }
  const copy = new Uint8Array(CLAIM_COPY_BYTES);
  const view = new DataView(copy.buffer);
  copy.set(MAGIC);
  view.setUint16(8, VERSION, true);
  copy[10] = claim.held ? 1 : 0;
  copy[11] = host.length;
  view.setUint32(12, claim.deadtimeMs, true);
  view.setBigUint64(16, BigInt(claim.epoch), true);
  view.setBigUint64(24, BigInt(claim.counter), true);
  for (let index = 0; index < 16; index++) {
    copy[32 + index] = Number.parseInt(claim.incarnation.slice(index * 2, index * 2 + 2), 16);
  }
  copy.set(host, HOST_OFFSET);
  view.setUint32(CHECKSUM_OFFSET, crc32c(copy.subarray(0, CHECKSUM_OFFSET)), true);
  return copy;
}

/** Reads both copies. Total: any bytes give one of the four answers. */
export function decodeClaims(bytes: Uint8Array): ClaimReading {
  if (bytes.length < CLAIM_BYTES) {
    return { kind: "not-a-claim", detail: `it has ${bytes.length} of ${CLAIM_BYTES} bytes` };
  }
  const first = decodeCopy(bytes.subarray(0, CLAIM_COPY_BYTES));
  const second = decodeCopy(bytes.subarray(CLAIM_COPY_BYTES, CLAIM_BYTES));
  if (first.kind === "claim" || second.kind === "claim") {
    const secondWins =
      second.kind === "claim" &&
      (first.kind !== "claim" || compareClaims(second.claim, first.claim) > 0);
    if (secondWins) return { kind: "claim", claim: second.claim, writeTo: 0 };
    if (first.kind === "claim") return { kind: "claim", claim: first.claim, writeTo: 1 };
  }
  for (const copy of [first, second]) if (copy.kind === "foreign") return notAClaim(copy.detail);
  // One damaged copy beside an empty one: the very first write was cut short, so nobody holds it.
  if (first.kind === "damaged" && second.kind === "damaged") return { kind: "damaged", writeTo: 0 };
  return { kind: "none", writeTo: 0 };
}

/** Order of claims: positive if `left` counts and `right` does not. */
export function compareClaims(left: Claim, right: Claim): number {
  if (left.epoch !== right.epoch) return left.epoch - right.epoch;
  if (left.counter !== right.counter) return left.counter - right.counter;
  if (left.host === right.host) return 0;
  return left.host > right.host ? 1 : -1;
}

type Copy =
  | { readonly kind: "empty" | "damaged" }
  | { readonly kind: "foreign"; readonly detail: string }
  | { readonly kind: "claim"; readonly claim: Claim };

function decodeCopy(copy: Uint8Array): Copy {
  if (copy.every((byte) => byte === 0)) return { kind: "empty" };
  if (MAGIC.some((byte, index) => copy[index] !== byte)) {
    return { kind: "foreign", detail: "it holds other data" };
  }
  const view = new DataView(copy.buffer, copy.byteOffset, copy.length);
  const checksum = view.getUint32(CHECKSUM_OFFSET, true);
  if (crc32c(copy.subarray(0, CHECKSUM_OFFSET)) !== checksum) return { kind: "damaged" };
  const version = view.getUint16(8, true);
  if (version !== VERSION) {
    return { kind: "foreign", detail: `its claim has version ${version}, unknown here` };
  }
  const hostBytes = copy[11] ?? 0;
  const epoch = view.getBigUint64(16, true);
  const counter = view.getBigUint64(24, true);
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  if (hostBytes === 0 || epoch > limit || counter > limit) return { kind: "damaged" };
  const incarnation = copy.subarray(32, 48);
  const claim: Claim = {
    host: new TextDecoder().decode(copy.subarray(HOST_OFFSET, HOST_OFFSET + hostBytes)),
    held: copy[10] === 1,
    epoch: Number(epoch),
    counter: Number(counter),
    deadtimeMs: view.getUint32(12, true),
    incarnation: [...incarnation].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
  };
  return { kind: "claim", claim };
}

function notAClaim(detail: string): ClaimReading {
  return { kind: "not-a-claim", detail };
}
