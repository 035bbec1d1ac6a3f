/** A disk for people: one block of lines each. Pure. */
import type { DiskProcessState, DiskView } from "../replication/index.ts";
import type { DiskSeen } from "./disk-sockets.ts";
import { isEstablished } from "./disk-states.ts";
import { duration, harmless, type Paint } from "./output.ts";

/** `12.5 MiB`, `1.0 GiB`. */
export function sizeText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** A generation as DRBD writes it; the process sends hexadecimal digits, because JSON has no such numbers. */
export function generationText(value: unknown): string {
  const digits =
    typeof value === "bigint" ? value.toString(16) : String(value).replace(/^0x/iu, "");
  return digits.toUpperCase().padStart(16, "0");
}

/** Progress, rate and time left of a resync or verify; undefined: none runs. */
export function progressText(view: DiskView): string | undefined {
  const { resync, state } = view;
  if (resync === null) return undefined;
  const done = resync.totalBlocks === 0 ? 1 : 1 - resync.leftBlocks / resync.totalBlocks;
  // Never 100.0% while something is left.
  const permil = Math.floor(Math.min(1, Math.max(0, done)) * 1_000);
  const left = resync.leftBlocks * 4_096;
  const what = resync.kind === "verify" ? "verified" : "synced";
  const rate = `${sizeText(resync.recentKibPerSecond * 1_024)}/s`;
  const paused = state.conn.startsWith("Paused");
  const time =
    paused || resync.recentKibPerSecond === 0
      ? paused
        ? "paused"
        : "no time can be told"
      : `${duration(((left / 1_024) * 1_000) / resync.recentKibPerSecond)} left`;
  const failed = resync.failedBlocks > 0 ? `, ${resync.failedBlocks} blocks failed` : "";
  return `${Math.floor(permil / 10)}.${permil % 10}% ${what}, ${sizeText(left)} to go, ${rate}, ${resync.stalled ? "stalled" : time}${failed}`;
}

/** Everything that `baton disk status` says of one disk. */
export function diskLines(seen: DiskSeen, paint: Paint): readonly string[] {
  if (seen.kind === "absent")
    return [`${seen.name}: ${paint("bad", "not running")} (baton disk up ${seen.name})`];
  if (seen.kind === "silent")
    return [`${seen.name}: ${paint("bad", "no answer")}: ${harmless(seen.error.message)}`];
  return stateLines(seen.state, paint);
}

function stateLines(process: DiskProcessState, paint: Paint): readonly string[] {
  const { view } = process;
  const { state } = view;
  const good = state.disk === "UpToDate" ? "good" : "bad";
  const connected = isEstablished(state.conn);
  const frozen = frozenText(process);
  const progress = progressText(view);
  const openers = process.openers === 0 ? "not open" : `open ${process.openers} times`;
  return [
    `${paint("strong", view.name)}: ${state.role}, ${paint(good, state.disk)}; peer ${state.peer}, ${paint(state.pdsk === "UpToDate" ? "good" : "warning", state.pdsk)}; ${paint(connected ? "good" : "warning", state.conn)}, protocol ${view.protocol}`,
    ...(frozen === undefined ? [] : [`  ${paint("bad", `frozen: ${frozen}`)}`]),
    ...(progress === undefined ? [] : [`  ${progress}`]),
    `  ${process.device ?? "no device"}, ${sizeText(view.sectors * 512)}, ${openers}; out of sync ${sizeText(view.outOfSyncBlocks * 4_096)}`,
    ...(view.reason === "" ? [] : [`  ${harmless(view.detail)} [${harmless(view.reason)}]`]),
  ];
}

/** Why reads and writes wait; undefined: they do not. */
export function frozenText({ view, asking }: DiskProcessState): string | undefined {
  const { state } = view;
  if (state.suspFencing)
    return asking === null
      ? "until the peer is excluded"
      : `until the peer is excluded (attempt ${asking.attempt})`;
  if (state.suspNoData) return "for want of data";
  return state.suspUser ? "by an administrator (baton disk resume-io)" : undefined;
}
