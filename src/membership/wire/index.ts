/** The wire codecs of heartbeat: what the rest of the room may use. */
export { byteStringOfHex, bytesOf, hexOf, isByteString, printable, textOf } from "./bytes.ts";
export { heartbeatCrc } from "./crc.ts";
export {
  checkInner,
  openDatagram,
  type Signing,
  sealClassic,
  sealNetstring,
  stringField,
} from "./frame.ts";
export { isFieldName, sentBytesMax } from "./limits.ts";
export type {
  Field,
  Framing,
  Hmac,
  Keyring,
  Message,
  OpenedMessage,
  WireFailure,
  WireKey,
} from "./model.ts";
export { decodeNetstring, encodeNetstring } from "./netstring.ts";
export { type WireReason, wireReasons } from "./reasons.ts";
