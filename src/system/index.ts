/** The kernel's door. Loading it binds native functions: only shells import it. */
export { delay, monotonicClock } from "./clock.ts";
export { DIRECT_ALIGNMENT_BYTES, DirectFile } from "./direct-file.ts";
export { SystemCallError } from "./ffi.ts";
export { shutDownFileSystem } from "./file-system-shutdown.ts";
export { type Mount, type MountTable, mountAt, parseMountInfo } from "./mountinfo.ts";
export {
  findHolders,
  type Holder,
  isDeviceHeld,
  mountFileSystem,
  readMountTable,
  unmount,
} from "./mounts.ts";
export { RouteNetlink } from "./netlink.ts";
export {
  addressFlag,
  type InterfaceAddress,
  type Link,
  linkFlag,
  NetlinkFormatError,
} from "./netlink-codec.ts";
export { announceAddress, askForAddress } from "./packet.ts";
export { formatMac } from "./packet-frames.ts";
export { cleanEnvironment, killGroup, type RunOptions, type RunResult, run } from "./process.ts";
export { systemReasons } from "./reasons.ts";
