/**
 * The checksum behind `crc` in authkeys (heartbeat.md 5.5): CRC-32 with polynomial 0x04C11DB7, most
 * significant bit first, initial value 0, final complement; POSIX cksum without its length step.
 * It finds damage, not forgery: `crc` needs `--insecure` (DESIGN 7.8).
 */
const polynomial = 0x04c1_1db7;

const table = Uint32Array.from({ length: 256 }, (_, index) => {
  let remainder = index << 24;
  for (let bit = 0; bit < 8; bit++) {
    remainder = (remainder << 1) ^ (remainder < 0 ? polynomial : 0);
  }
  return remainder >>> 0;
});

/** The checksum as heartbeat prints it: hex, lower case, without leading zeros. */
export function heartbeatCrc(bytes: Uint8Array): string {
  let crc = 0;
  for (const byte of bytes) crc = (crc << 8) ^ (table[(crc >>> 24) ^ byte] ?? 0);
  return (~crc >>> 0).toString(16);
}
