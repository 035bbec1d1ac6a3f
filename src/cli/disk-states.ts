/**
 * The two things of `replication` that a question to a disk needs. Said again here, and held to the originals by a test,
 * because loading that room takes longer than asking ten disks.
 */
import type { ConnectionStateName } from "../replication/index.ts";

const unconnected: ReadonlySet<ConnectionStateName> = new Set<ConnectionStateName>([
  "StandAlone",
  "Disconnecting",
  "Unconnected",
  "Timeout",
  "BrokenPipe",
  "NetworkFailure",
  "ProtocolError",
  "TearDown",
  "WFConnection",
  "WFReportParams",
]);

/** True from Connected on: the handshake is complete (drbd.md 4.1). */
export const isEstablished = (state: ConnectionStateName): boolean => !unconnected.has(state);

/** Path of the socket of one disk. */
export const socketOfDisk = (directory: string, name: string): string =>
  `${directory}/disk-${name}.sock`;
