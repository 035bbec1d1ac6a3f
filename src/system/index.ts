/** The kernel's door. Loading it binds native functions: only shells import it. */
export {
  type BlockDeviceShape,
  blockDeviceShape,
  discardBlocks,
  forgetBlockCache,
  punchHole,
  reserveSpace,
  zeroBlocks,
  zeroRange,
} from "./block-space.ts";
export { delay, monotonicClock } from "./clock.ts";
export {
  closeDescriptor,
  duplicate,
  EAGAIN,
  ECONNRESET,
  EINPROGRESS,
  EINTR,
  EIO,
  IO_BYTES_MAX,
  IoVector,
  type NativeMemory,
  nativeMemory,
  readNow,
  receiveNow,
  sendNow,
  setNonBlocking,
  VECTOR_MAX,
  writeNow,
  writeVectorNow,
} from "./descriptors.ts";
export { DIRECT_ALIGNMENT_BYTES, DirectFile } from "./direct-file.ts";
export { createEventDescriptor, drainEvent, signalEvent } from "./eventfd.ts";
export { addressOf, errnoName, SystemCallError } from "./ffi.ts";
export { shutDownFileSystem } from "./file-system-shutdown.ts";
export { type FuseMountRequest, forceUnmount, mountFuse } from "./fuse-mount.ts";
export {
  attachLoopDevice,
  backingFileOf,
  type DeviceNumber,
  detachLoopDevice,
  ensureDeviceNode,
  freeLoopDevice,
  isDeviceNode,
  type LoopOptions,
  loopDevices,
  refreshLoopSize,
  removeLoopDevice,
  usesDirectIo,
} from "./loop-devices.ts";
export {
  becomeIoFlusher,
  isIoFlusher,
  lockProgram,
  lockRange,
  setOomScore,
} from "./memory-lock.ts";
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
export {
  POLL_WAIT_MAX_MS,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  POLLRDHUP,
  PollSet,
} from "./poll.ts";
export { preadAt, preadNoWait, pwriteAt } from "./positioned-io.ts";
export { cleanEnvironment, killGroup, type RunOptions, type RunResult, run } from "./process.ts";
export { systemReasons } from "./reasons.ts";
export {
  acceptTcp,
  connectTcp,
  type Endpoint,
  listenTcp,
  localOf,
  peerOf,
  setTcpOptions,
  shutDownTcp,
  socketError,
  type TcpOptions,
  unacknowledgedBytes,
} from "./tcp.ts";
