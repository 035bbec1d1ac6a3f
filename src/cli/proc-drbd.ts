/** /proc/drbd of DRBD 8.4, byte for byte (drbd.md 9.4). Scripts and monitoring read it. Pure. */
import type { DiskView, ResyncView } from "../replication/index.ts";
import { isEstablished } from "./disk-states.ts";

/** What the view does not say. */
export interface ProcDetails {
  /** `f` flush, `d` drain, `n` none. */
  readonly writeOrder: "f" | "d" | "n";
  /** A disk that logs no extents (al-updates no). */
  readonly logSuspended: boolean;
}

const usual: ProcDetails = { writeOrder: "f", logSuspended: false };

/** The release whose format this is; scripts compare it. */
const heading = "version: 8.4.11 (api:1/proto:86-101)";

/** The whole file. @param build what stands in the second line, after `srcversion: ` */
export function formatProcDrbd(
  views: readonly DiskView[],
  build: string,
  detailsOf: (view: DiskView) => ProcDetails = () => usual,
): string {
  const lines = [heading, `srcversion: ${build} `];
  let expected: number | undefined;
  for (const view of views.toSorted((left, right) => left.minor - right.minor)) {
    // A gap in the numbers is one blank line; none stands before the first.
    if (expected !== undefined && view.minor !== expected) lines.push("");
    expected = view.minor + 1;
    lines.push(...deviceLines(view, detailsOf(view)));
  }
  return `${lines.join("\n")}\n`;
}

/** The lines of one minor. */
export function deviceLines(view: DiskView, details: ProcDetails = usual): readonly string[] {
  const { state } = view;
  const minor = String(view.minor).padStart(2);
  if (state.conn === "StandAlone" && state.disk === "Diskless" && state.role === "Secondary")
    return [`${minor}: cs:Unconfigured`];
  // Without a net configuration there is no protocol.
  const protocol = state.conn === "StandAlone" ? " " : view.protocol;
  const flags = [
    state.suspUser || state.suspNoData || state.suspFencing ? "s" : "r",
    state.afterPaused ? "a" : "-",
    state.peerPaused ? "p" : "-",
    state.userPaused ? "u" : "-",
    "-",
    details.logSuspended ? "s" : "-",
  ].join("");
  return [
    `${minor}: cs:${state.conn} ro:${state.role}/${state.peer} ds:${state.disk}/${state.pdsk} ${protocol} ${flags}`,
    counterLine(view, details),
    ...progressLines(view),
  ];
}

function counterLine({ counters, outOfSyncBlocks }: DiskView, details: ProcDetails): string {
  const kib = (sectors: number): number => Math.floor(sectors / 2);
  const fields = [
    ["ns", kib(counters.networkSent)],
    ["nr", kib(counters.networkReceived)],
    ["dw", kib(counters.diskWritten)],
    ["dr", kib(counters.diskRead)],
    ["al", counters.activityLogWrites],
    ["bm", counters.bitmapWrites],
    ["lo", counters.localPending],
    ["pe", counters.peerPending],
    ["ua", counters.unacknowledged],
    ["ap", counters.applicationPending],
    ["ep", counters.epochs],
    ["wo", details.writeOrder],
    ["oos", outOfSyncBlocks * 4],
  ] as const;
  return `    ${fields.map(([name, value]) => `${name}:${value}`).join(" ")}`;
}

const moving: ReadonlySet<string> = new Set(["SyncSource", "SyncTarget", "VerifyS", "VerifyT"]);
/** 4 GiB in blocks of 4 KiB: beyond, totals are in MiB. */
const mebibytesAbove = 2 ** 20;

function progressLines({ state, resync }: DiskView): readonly string[] {
  if (resync === null || !moving.has(state.conn)) return [];
  const { totalBlocks, leftBlocks } = resync;
  const permil = donePermil(resync);
  const filled = Math.floor(permil / 50);
  const bar = `[${"=".repeat(Math.max(0, filled - 1))}>${".".repeat(20 - filled)}]`;
  const word = state.conn.startsWith("Verify") ? "verified:" : "sync'ed:";
  const percent = `${String(Math.floor(permil / 10)).padStart(3)}.${permil % 10}%`;
  const large = totalBlocks > mebibytesAbove;
  const amount = (blocks: number): number => (large ? Math.floor(blocks / 256) : blocks * 4);
  const totals = `(${amount(leftBlocks)}/${amount(totalBlocks)})${large ? "M" : "K"}`;
  const seconds = Math.floor((leftBlocks * 4) / Math.max(1, resync.recentKibPerSecond));
  const finish = `${Math.floor(seconds / 3_600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  const wanted =
    resync.wantKibPerSecond === null ? "" : ` want: ${grouped(resync.wantKibPerSecond)}`;
  return [
    `\t${bar} ${word}${percent} ${totals}`,
    `\tfinish: ${finish} speed: ${grouped(resync.recentKibPerSecond)} (${grouped(resync.overallKibPerSecond)})${wanted} K/sec${resync.stalled ? " (stalled)" : ""}`,
  ];
}

/** How much is done, in thousandths, with the kernel's rounding. */
function donePermil({ totalBlocks, leftBlocks }: ResyncView): number {
  const left = Math.floor(leftBlocks / 1_024);
  const total = 1 + Math.floor(totalBlocks / 1_024);
  return Math.min(1_000, Math.max(0, 1_000 - Math.floor((left * 1_000) / total)));
}

const two = (value: number): string => String(value).padStart(2, "0");

function grouped(value: number): string {
  return String(Math.max(0, Math.round(value))).replaceAll(/\B(?=(?:\d{3})+$)/gu, ",");
}

/** `drbdadm status` of 8.4.6 and later (drbd.md 9.7); blank lines between resources. */
export function formatDrbdStatus(
  views: readonly DiskView[],
  options: { readonly statistics: boolean; readonly verbose?: boolean },
): string {
  return views.map((view) => statusOf(view, options).join("\n")).join("\n\n");
}

function statusOf(
  view: DiskView,
  options: { readonly statistics: boolean; readonly verbose?: boolean },
): readonly string[] {
  const { state, counters } = view;
  const kib = (sectors: number): number => Math.floor(sectors / 2);
  const verbose = options.verbose === true;
  const suspended = [
    ...(state.suspUser ? ["user"] : []),
    ...(state.suspNoData ? ["no-data"] : []),
    ...(state.suspFencing ? ["fencing"] : []),
  ];
  const established = isEstablished(state.conn);
  const resource = [
    `role:${state.role}`,
    ...(suspended.length > 0 || verbose ? [`suspended:${suspended.join(",") || "no"}`] : []),
    ...(options.statistics ? ["write-ordering:flush"] : []),
  ];
  const device = [
    ...(verbose ? [`volume:0 minor:${view.minor}`] : []),
    `disk:${state.disk}`,
    ...(options.statistics
      ? [
          `size:${kib(view.sectors)} read:${kib(counters.diskRead)} written:${kib(counters.diskWritten)} al-writes:${counters.activityLogWrites} bm-writes:${counters.bitmapWrites} upper-pending:${counters.applicationPending} lower-pending:${counters.localPending}`,
        ]
      : []),
  ];
  return [
    `${view.name} ${resource.join(" ")}`,
    `  ${device.join(" ")}`,
    ...(established ? peerLines(view, options) : [`  peer ${connectionWords(view)}`]),
  ];
}

function connectionWords({ state }: DiskView): string {
  return `connection:${state.conn === "WFConnection" ? "Connecting" : state.conn}`;
}

function peerLines(
  view: DiskView,
  options: { readonly statistics: boolean; readonly verbose?: boolean },
): readonly string[] {
  const { state, counters, resync } = view;
  const kib = (sectors: number): number => Math.floor(sectors / 2);
  const paused = [
    ...(state.userPaused ? ["user"] : []),
    ...(state.peerPaused ? ["peer"] : []),
    ...(state.afterPaused ? ["dependency"] : []),
  ];
  const replication = state.conn === "Connected" ? "Established" : state.conn;
  const done =
    resync === null || resync.totalBlocks === 0
      ? []
      : [`done:${((1 - resync.leftBlocks / resync.totalBlocks) * 100).toFixed(2)}`];
  const fields = [
    `replication:${replication}`,
    `peer-disk:${state.pdsk}`,
    ...done,
    ...(paused.length > 0 ? [`resync-suspended:${paused.join(",")}`] : []),
    ...(options.statistics
      ? [
          `received:${kib(counters.networkReceived)} sent:${kib(counters.networkSent)} out-of-sync:${view.outOfSyncBlocks * 4} pending:${counters.peerPending} unacked:${counters.unacknowledged}`,
        ]
      : []),
  ];
  return [
    `  peer ${options.verbose === true ? "connection:Connected " : ""}role:${state.peer}`,
    `    ${fields.join(" ")}`,
  ];
}
