/** The disk core as the engine uses it. */
import type { Instant } from "../../base/index.ts";
import { Disk, type DiskCoreOptions } from "../../replication/index.ts";
import type { EngineCore } from "./messages.ts";

/** A new core; it does nothing before its first event. */
export function makeCore(options: DiskCoreOptions, now: Instant): EngineCore {
  const disk = new Disk(options, now);
  return {
    step: (at, event) => disk.step(at, event),
    wakeAt: () => disk.wakeAt(),
    view: () => disk.view(),
    inFlightBytes: () => disk.inFlightBytes(),
    asking: () => disk.asking(),
    get batonPeer() {
      return disk.batonPeer();
    },
    get state() {
      return disk.view().state;
    },
  };
}
