/**
 * The side of FUSE that serves: reads requests from the descriptor of a mounted /dev/fuse and writes replies. For the
 * thread that runs the disk; it needs no more than the number of the descriptor. Never waits: poll(2) does, elsewhere.
 */
import {
  addressOf,
  EAGAIN,
  EINTR,
  type NativeMemory,
  nativeMemory,
  readNow,
  writeNow,
  writeVectorNow,
} from "../system/index.ts";
import {
  encodeReplyHeader,
  encodeWritten,
  type FuseAgreement,
  OUT_HEADER_BYTES,
  parseFuseRequest,
  REQUEST_BYTES_MAX,
  WRITE_BODY_BYTES,
} from "./fuse-codec.ts";
import { type DeviceRequest, type FuseFile, judge, SMALL_REPLY_BYTES } from "./fuse-file.ts";

/** The request was withdrawn (its asker was killed) before it was read, or answered. */
const ENOENT = 2;
/** Questions about the file that are answered in a row; an endless stream of them must not starve the disk. */
const ANSWERS_IN_A_ROW_MAX = 64;

export interface FuseChannelOptions {
  readonly file: FuseFile;
  /**
   * Requests that the kernel sends without waiting for replies; the loop driver has at most 128 under way.
   * @default 128
   */
  readonly background?: number;
}

/** `none`: nothing waits, poll again. `gone`: unmounted or aborted, the channel is of no further use. */
export type ReadOutcome = DeviceRequest | "none" | "gone";

/** Reads and answers requests of one mount. */
export class FuseChannel {
  readonly fd: number;
  /** What was agreed, once the kernel has asked; undefined until then. */
  agreement: FuseAgreement | undefined;
  /** Requests that were answered here, without the disk. */
  answered = 0;
  /** Replies that nobody waited for any more. */
  withdrawn = 0;
  /** Errors of the descriptor other than those that are expected, as errno; 0: none. */
  lastError = 0;
  #file: FuseFile;
  readonly #background: number;
  readonly #small = nativeMemory(SMALL_REPLY_BYTES, false, 16);
  readonly #smallView: DataView;
  readonly #vector: BigUint64Array;
  readonly #vectorAddress: bigint;
  #memory: NativeMemory | undefined;
  #view: DataView | undefined;

  constructor(fd: number, { file, background = 128 }: FuseChannelOptions) {
    this.fd = fd;
    this.#file = file;
    this.#background = background;
    this.#smallView = viewOf(this.#small);
    this.#vector = new BigUint64Array(new ArrayBuffer(32));
    this.#vector[0] = this.#small.address;
    this.#vector[1] = BigInt(OUT_HEADER_BYTES);
    this.#vectorAddress = addressOf(this.#vector);
  }

  /** What the device is from now on: its size, and whether it can be written. */
  setFile(file: FuseFile): void {
    this.#file = file;
  }

  /**
   * Takes the next request that concerns data; answers all others on the way.
   * @param memory where it is read to, at `offset`: REQUEST_BYTES_MAX must fit. Of a write, the data lie WRITE_DATA_OFFSET
   *   behind `offset` (so an offset of 4096n - 80 puts them on a page) and are the caller's until they are overwritten
   */
  read(memory: NativeMemory, offset: number): ReadOutcome {
    const view = this.#viewOver(memory);
    const address = memory.address + BigInt(offset);
    for (let answers = 0; answers < ANSWERS_IN_A_ROW_MAX; answers++) {
      const length = readNow(this.fd, address, REQUEST_BYTES_MAX);
      if (length < 0) {
        if (length === -ENOENT || length === -EINTR) continue;
        if (length === -EAGAIN) return "none";
        this.lastError = -length; // ENODEV: unmounted. ECONNABORTED: aborted
        return "gone";
      }
      const request = parseFuseRequest(view, offset, length);
      const judgement = judge(request, this.#file, this.#smallView, this.#background);
      if (judgement.kind === "device") return judgement.request;
      if (judgement.kind === "silent") continue;
      this.answered++;
      if (judgement.agreement !== undefined) this.agreement = judgement.agreement;
      this.#sent(writeNow(this.fd, this.#small.address, judgement.length));
    }
    return "none";
  }

  /** Ends a request with an error (positive errno), or a flush or zero-out with success (0). */
  reply(unique: number, errno: number): void {
    encodeReplyHeader(this.#smallView, 0, unique, errno, 0);
    this.#sent(writeNow(this.fd, this.#small.address, OUT_HEADER_BYTES));
  }

  /** Ends a write of `length` bytes with success. */
  replyWritten(unique: number, length: number): void {
    encodeReplyHeader(this.#smallView, 0, unique, 0, WRITE_BODY_BYTES);
    this.#smallView.setUint32(OUT_HEADER_BYTES + 4, 0, true);
    encodeWritten(this.#smallView, OUT_HEADER_BYTES, length);
    this.#sent(writeNow(this.fd, this.#small.address, OUT_HEADER_BYTES + WRITE_BODY_BYTES));
  }

  /** Ends a read with its data, which are copied by the kernel before this returns. */
  replyData(unique: number, address: bigint, length: number): void {
    encodeReplyHeader(this.#smallView, 0, unique, 0, length);
    this.#vector[2] = address;
    this.#vector[3] = BigInt(length);
    this.#sent(writeVectorNow(this.fd, this.#vectorAddress, 2));
  }

  #sent(result: number): void {
    if (result >= 0) return;
    // ENOENT: the asker is gone. After an abort or unmount every reply fails; the next read says "gone".
    if (result === -ENOENT) this.withdrawn++;
    else this.lastError = -result;
  }

  #viewOver(memory: NativeMemory): DataView {
    if (this.#memory !== memory || this.#view === undefined) {
      this.#memory = memory;
      this.#view = viewOf(memory);
    }
    return this.#view;
  }
}

function viewOf({ bytes }: NativeMemory): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
