/** A disk shown to the kernel. What other rooms may import; shells are imported by their names. */
export { drbdName, isDiskName, stableName } from "./device-names.ts";
export {
  type FuseAgreement,
  REQUEST_BYTES_MAX,
  TRANSFER_BYTES_MAX,
  WRITE_DATA_OFFSET,
} from "./fuse-codec.ts";
export { type DeviceRequest, type FuseFile, fuseErrno } from "./fuse-file.ts";
export { blockdevReasons } from "./reasons.ts";
