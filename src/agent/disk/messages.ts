/** What the main thread and the engine thread of a disk process say to each other. */
import type { Instant } from "../../base/index.ts";
import type {
  DeviceState,
  DiskEffect,
  DiskEvent,
  DiskProcessState,
  DiskSpec,
  DiskView,
} from "../../replication/index.ts";

/** What the engine thread is started with. */
export interface EngineSetup {
  readonly spec: DiskSpec;
  /** Which of the two hosts this is. */
  readonly host: string;
  readonly secret: Uint8Array | undefined;
  /** `SharedWords`. */
  readonly shared: SharedArrayBuffer;
  readonly eventFd: number;
  readonly mailboxes: {
    readonly flush: SharedArrayBuffer;
    readonly metadata: SharedArrayBuffer;
    readonly workers: readonly SharedArrayBuffer[];
  };
  readonly failpoint: string | undefined;
  readonly diskLog: string | undefined;
  /** Where the FUSE file is, for an end that does not wait. */
  readonly mountPoint: string;
}

/** To the engine. After `postMessage` its event descriptor is signalled. */
export type EngineCommand =
  | {
      readonly kind: "event";
      readonly event: Extract<
        DiskEvent,
        {
          readonly kind:
            | "openers"
            | "handlerDone"
            | "fenceDone"
            | "epoch"
            | "resyncAfter"
            | "command";
        }
      >;
    }
  /** Both sockets of the connection that `establish` of this attempt asked for. They are the engine's from now on. */
  | {
      readonly kind: "sockets";
      readonly attempt: number;
      readonly data: number;
      readonly meta: number;
      readonly acceptedMeta: boolean;
    }
  /** A FUSE connection to serve. */
  | { readonly kind: "serve"; readonly fuse: number }
  /** To serve it no more; answered by `released`. */
  | { readonly kind: "release" }
  | { readonly kind: "stop" };

type PassedOn = Extract<
  DiskEffect,
  {
    readonly kind:
      | "device"
      | "runHandler"
      | "fencePeer"
      | "commandDone"
      | "progress"
      | "decision"
      | "readyToStop";
  }
>;

/** From the engine. Effects that concern the main thread are passed on as they are. */
export type EngineReport =
  | PassedOn
  | {
      readonly kind: "view";
      readonly view: DiskView;
      readonly batonPeer: boolean | null;
      readonly asking: DiskProcessState["asking"];
    }
  | { readonly kind: "establish"; readonly attempt: number }
  | { readonly kind: "hangUp" }
  /** A helper thread is needed from now on: `workers[index]`. */
  | { readonly kind: "worker"; readonly index: number }
  | { readonly kind: "released" }
  /** The FUSE connection ended although nobody here ended it. */
  | { readonly kind: "fuseLost"; readonly errno: number }
  | { readonly kind: "stopped" };

/** What the engine needs of the disk core. */
export interface EngineCore {
  step(now: Instant, event: DiskEvent): readonly DiskEffect[];
  wakeAt(): Instant | undefined;
  view(now: Instant): DiskView;
  /** The question to the agent that is open. */
  asking(): DiskProcessState["asking"];
  /** Bytes from the peer that are not on the disk yet: while they are many, its socket is not read. */
  inFlightBytes(): number;
  /** The peer also is Baton; null: not connected. */
  readonly batonPeer: boolean | null;
  /** Replaced as a whole when it changes. */
  readonly state: DeviceState;
}
