/** Bounds of a message, checked before anything is allocated for it (reliability 9.2, parsers). */

/** Largest datagram that is read at all: what UDP over IPv4 can carry, rounded up to 64 KiB. */
export const datagramBytesMax = 65_536;
/** Largest datagram that is sent: 65,535 bytes of IPv4 packet less its two headers. */
export const sentBytesMax = 65_507;
/** Shortest thing with a digest: `###` LF `%%%` LF `3:0 0,`. */
export const datagramBytesMin = 14;
/** heartbeat's largest R1 message has 15 fields. */
export const fieldsMax = 64;
export const nameBytesMax = 64;
export const listItemsMax = 256;
/** How deep structs may stand in structs; R1 traffic has none. */
export const structDepthMax = 4;

/** A field name: printable, without what separates it from type and value. */
export function isFieldName(name: string): boolean {
  return name.length <= nameBytesMax && /^[!-'*-<>-~]+$/.test(name);
}
