/** Runs the handlers of a disk as the kernel's drbdadm does: by /bin/sh, with DRBD's environment (drbd.md 8.4). */
import type { DiskSpec, FenceResult, HandlerName } from "../../replication/index.ts";
import { cleanEnvironment, run } from "../../system/process.ts";

/** DRBD waits for ever; a handler that hangs must not keep a host from ever being asked again. */
const HANDLER_MAX_MS = 300_000;
const OUTPUT_SHOWN = 500;

export interface HandlerResult {
  /** Exit code; 128 + signal is not made up: -1 if it did not end by itself. */
  readonly status: number;
  readonly detail: string;
}

/** Handlers for the resource get all minors, those for a volume one; a disk has one volume. */
const volumeHandlers: ReadonlySet<HandlerName> = new Set<HandlerName>([
  "pri-on-incon-degr",
  "pri-lost-after-sb",
  "pri-lost",
  "local-io-error",
  "initial-split-brain",
  "split-brain",
  "before-resync-target",
  "before-resync-source",
  "after-resync-target",
  "out-of-sync",
]);

/** The environment of a handler. @param configuration the file that DRBD_CONF names */
export function handlerEnvironment(
  spec: DiskSpec,
  host: string,
  handler: HandlerName,
  configuration: string,
): Readonly<Record<string, string>> {
  const own = spec.hosts.find((side) => side.host === host) ?? spec.hosts[0];
  const peer = spec.hosts.find((side) => side.host !== host) ?? spec.hosts[1];
  return {
    ...cleanEnvironment,
    HOME: "/",
    TERM: "linux",
    DRBD_RESOURCE: spec.name,
    DRBD_CONF: configuration,
    DRBD_MINOR: String(own.minor),
    DRBD_PEER: peer.host,
    DRBD_PEERS: peer.host,
    DRBD_PEER_AF: peer.address.includes(":") ? "ipv6" : "ipv4",
    DRBD_PEER_ADDRESS: peer.address,
    ...(volumeHandlers.has(handler)
      ? { DRBD_VOLUME: String(spec.volume), DRBD_LL_DISK: own.backing }
      : {}),
  };
}

/** Runs a handler to its end. Never throws: one that can not be started has status -1. */
export async function runHandler(
  line: string,
  environment: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<HandlerResult> {
  try {
    const result = await run("/bin/sh", ["-c", line], {
      timeoutMs: HANDLER_MAX_MS,
      env: environment,
      cwd: "/",
      signal,
    });
    const said = `${result.stderr}${result.stdout}`.trim().slice(-OUTPUT_SHOWN);
    const how = result.timedOut
      ? `no end within ${HANDLER_MAX_MS / 1_000} s`
      : `status ${result.code ?? result.signal}`;
    return { status: result.code ?? -1, detail: said === "" ? how : `${how}: ${said}` };
  } catch (error) {
    return { status: -1, detail: error instanceof Error ? error.message : String(error) };
  }
}

/** What the exit code of fence-peer means (drbd.md 8.2). */
export function fenceResultOf(status: number): FenceResult {
  return ([3, 4, 5, 6, 7] as const).find((code) => code === status) ?? "broken";
}
