/**
 * What is to be sent on one socket. Heads and small payloads are collected in one buffer, large payloads are sent from
 * where they are; everything of a round goes out with one writev. What the socket does not take is copied into the
 * backlog, so that the memory of payloads is free again; while there is a backlog the engine takes no new work.
 */
import {
  EAGAIN,
  EINTR,
  type NativeMemory,
  nativeMemory,
  writeVectorNow,
} from "../../system/descriptors.ts";
import { addressOf } from "../../system/ffi.ts";

/** Payloads up to this size are copied: cheaper than an entry of their own. */
const COPY_MAX_BYTES = 16_384;
const STAGING_BYTES = 524_288;
const PIECES_MAX = 256;
/** A socket with so much in the backlog gets no more of it: its connection is given up. */
export const BACKLOG_MAX_BYTES = 32 * 1_048_576;

/** One socket's queue. Never throws; an error of the socket is told by `flush`. */
export class OutQueue {
  readonly #staging: NativeMemory = nativeMemory(STAGING_BYTES);
  readonly #vector = new BigUint64Array(new ArrayBuffer(PIECES_MAX * 16));
  readonly #vectorAddress = addressOf(this.#vector);
  readonly #headBytesMax: number;
  #pieces: Uint8Array[] = [];
  #staged = 0;
  /** Where the piece of the staging buffer begins that still grows; -1: none. */
  #growing = -1;
  #batchBytes = 0;
  #references = 0;
  #backlog: Uint8Array[] = [];
  #backlogBytes = 0;
  #fd = -1;

  constructor(headBytesMax: number) {
    this.#headBytesMax = headBytesMax;
  }

  /** Begins with a new socket; -1: none, and what is added is dropped. */
  use(fd: number): void {
    this.#fd = fd;
    this.#reset();
    this.#backlog = [];
    this.#backlogBytes = 0;
  }

  /** Bytes that were added and that the system has not taken. */
  get queuedBytes(): number {
    return this.#batchBytes + this.#backlogBytes;
  }

  get backlogBytes(): number {
    return this.#backlogBytes;
  }

  /**
   * Adds a packet. `putHead` writes its head and returns its length; `payload` follows.
   * @returns 0, or the negative errno of the socket if it had to be written to
   */
  add(putHead: (into: Uint8Array, at: number) => number, payload: Uint8Array): number {
    if (this.#fd === -1) return 0;
    const copied = payload.length <= COPY_MAX_BYTES;
    const need = this.#headBytesMax + (copied ? payload.length : 0);
    if (this.#staged + need > STAGING_BYTES || this.#pieces.length + 3 > PIECES_MAX) {
      const result = this.settle();
      if (result < 0) return result;
    }
    const { bytes } = this.#staging;
    const start = this.#staged;
    let end = start + putHead(bytes, start);
    if (copied && payload.length > 0) {
      bytes.set(payload, end);
      end += payload.length;
    }
    this.#staged = end;
    this.#batchBytes += end - start;
    if (this.#growing === -1) this.#growing = start;
    if (!copied) {
      this.#closePiece();
      this.#pieces.push(payload);
      this.#references++;
      this.#batchBytes += payload.length;
    }
    return 0;
  }

  /**
   * Gives to the system what it takes now.
   * @returns 0, also if something is left; or the negative errno of the socket
   */
  flush(): number {
    if (this.#fd === -1 || this.queuedBytes === 0) return 0;
    if (this.#backlogBytes > 0) {
      const result = this.#flushBacklog();
      if (result < 0) return result;
      if (this.#backlogBytes > 0) return 0;
    }
    this.#closePiece();
    const taken = this.#write(this.#pieces);
    if (taken < 0) return taken;
    if (taken === this.#batchBytes) this.#reset();
    else if (taken > 0) this.#spill(taken);
    return 0;
  }

  /** Before memory is used anew that payloads may lie in: after this nothing refers to it. @returns as `flush` */
  settle(): number {
    const result = this.flush();
    if (this.#batchBytes > 0) this.#spill(0);
    return result;
  }

  /** The same, but only if something refers to foreign memory at all. */
  settleReferences(): number {
    return this.#references > 0 ? this.settle() : 0;
  }

  #closePiece(): void {
    if (this.#growing === -1) return;
    this.#pieces.push(this.#staging.bytes.subarray(this.#growing, this.#staged));
    this.#growing = -1;
  }

  #flushBacklog(): number {
    const taken = this.#write(this.#backlog);
    if (taken < 0) return taken;
    this.#backlogBytes -= taken;
    let left = taken;
    let whole = 0;
    for (const piece of this.#backlog) {
      if (piece.length > left) break;
      left -= piece.length;
      whole++;
    }
    this.#backlog.splice(0, whole);
    const [first] = this.#backlog;
    if (first !== undefined && left > 0) this.#backlog[0] = first.subarray(left);
    return 0;
  }

  /** @returns bytes that the system took, 0 if it takes nothing now, or a negative errno */
  #write(pieces: readonly Uint8Array[]): number {
    let total = 0;
    for (let from = 0; from < pieces.length; from += PIECES_MAX) {
      const count = Math.min(PIECES_MAX, pieces.length - from);
      let asked = 0;
      for (let index = 0; index < count; index++) {
        const piece = pieces[from + index] as Uint8Array;
        this.#vector[index * 2] = addressOf(piece);
        this.#vector[index * 2 + 1] = BigInt(piece.length);
        asked += piece.length;
      }
      const taken = writeVectorNow(this.#fd, this.#vectorAddress, count);
      if (taken === -EAGAIN || taken === -EINTR) return total;
      if (taken < 0) return taken;
      total += taken;
      if (taken < asked) return total;
    }
    return total;
  }

  /** Copies what is left of the batch, all but its first `taken` bytes, to the end of the backlog. */
  #spill(taken: number): void {
    this.#closePiece();
    let skip = taken;
    for (const piece of this.#pieces) {
      const rest = skip >= piece.length ? undefined : piece.subarray(skip);
      skip = Math.max(0, skip - piece.length);
      if (rest === undefined) continue;
      // A new block of memory: slice of a Buffer would share it.
      this.#backlog.push(new Uint8Array(rest));
      this.#backlogBytes += rest.length;
    }
    this.#reset();
  }

  #reset(): void {
    this.#pieces = [];
    this.#staged = 0;
    this.#growing = -1;
    this.#batchBytes = 0;
    this.#references = 0;
  }
}
