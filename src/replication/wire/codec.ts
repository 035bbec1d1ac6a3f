/**
 * One packet to bytes and back. The engine of a disk process uses `putHead`/`payloadOf` (encode.ts), which fill a buffer
 * of its own, and `PacketReader` (frames.ts); these two functions are the same for everybody else.
 */
import { BatonError, fail, ok, type Result } from "../../base/index.ts";
import type { SocketName } from "../contract.ts";
import { decodePayload } from "./decode.ts";
import { HEAD_MAX, payloadOf, putHead } from "./encode.ts";
import { admit, type PacketHeader, type WireSession, wireError } from "./header.ts";
import type { Packet } from "./packets.ts";

/** Bytes of one packet: `head` is new, `payload` is the packet's own data. */
export interface EncodedPacket {
  readonly head: Uint8Array;
  readonly payload?: Uint8Array;
}

/** Encodes without copying bulk data. `session` undefined: before anything is agreed. */
export function encodePacket(packet: Packet, session: WireSession | undefined): EncodedPacket {
  const buffer = new Uint8Array(HEAD_MAX);
  const head = buffer.subarray(0, putHead(buffer, 0, packet, session));
  const payload = payloadOf(packet);
  return payload.length === 0 ? { head } : { head, payload };
}

/** Decodes the payload `bytes` of a header. Bytes in the packet are views of `bytes`. Never throws. */
export function decodePacket(
  socket: SocketName,
  header: PacketHeader,
  bytes: Uint8Array,
  session: WireSession | undefined,
): Result<Packet> {
  const row = admit(socket, header.command, header.length, session);
  if (row instanceof BatonError) return fail(row);
  if (bytes.length !== header.length) {
    return fail(
      wireError(
        "BTN-DISK-WIRE-LENGTH",
        `Cannot decode ${row.name}: ${bytes.length} of ${header.length} bytes are there`,
      ),
    );
  }
  const packet = decodePayload(row, header.volume, bytes, 0, header.length, session);
  return packet instanceof BatonError ? fail(packet) : ok(packet);
}
