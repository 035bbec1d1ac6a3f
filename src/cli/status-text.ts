/** A status report as at most 40 lines of at most 80 columns. Pure. */
import type {
  DiskReport,
  GroupReport,
  HostReport,
  ResourceReport,
  StatusReport,
} from "../agent/control.ts";
import { clip, columns, duration, harmless, type Look, type Paint } from "./output.ts";

/** DESIGN 4: the whole cluster on at most so many lines. */
const linesMax = 40;
const width = 80;
/** Most lines of one notice; `--json` has it whole. */
const noticeLinesMax = 2;

/** The title of a reason code. */
type TitleOf = (code: string) => string | undefined;

/** One line, and the look it gets once it has its final width. */
interface Line {
  readonly text: string;
  readonly look?: Look | undefined;
}

/**
 * The report for a person: what is wrong first, then hosts, groups and moves, then notices.
 * @param titleOf the title of a reason code, for a group that runs nowhere
 */
export function statusLines(
  report: StatusReport,
  paint: Paint,
  titleOf: TitleOf = () => undefined,
): readonly string[] {
  const fixed = [
    ...headingLines(report),
    ...section("hosts", [...hostLines(report), ...pingLines(report)]),
    ...section("disks", report.disks.flatMap(diskLines)),
    ...section("moves under way", report.moves.map(moveLine)),
  ];
  const notices = noticeLines(report);
  const roomForGroups = linesMax - fixed.length - notices.length;
  const lines = [
    ...fixed,
    ...section("groups", groupLines(report, roomForGroups - 2, titleOf)),
    ...notices,
  ];
  const shown = lines.length <= linesMax ? lines : lines.slice(0, linesMax - 1);
  const omitted = lines.length - shown.length;
  const rest: Line[] =
    omitted === 0 ? [] : [{ text: `... ${omitted} more lines: see \`baton status --json\`` }];
  return [...shown, ...rest].map(({ text, look }) => {
    const line = clip(harmless(text), width).trimEnd();
    return look === undefined || line === "" ? line : paint(look, line);
  });
}

function headingLines(report: StatusReport): readonly Line[] {
  const { agent, cluster, timing, beat } = report;
  const { keepaliveMs, warntimeMs, deadtimeMs, profile } = timing;
  const beats =
    `beats every ${duration(keepaliveMs)}, late after ${duration(warntimeMs)}, ` +
    `dead after ${duration(deadtimeMs)} (${profile})`;
  return [
    { text: `${cluster.name}, seen from ${report.host}: ${verdictOf(report)}`, look: "strong" },
    {
      text: `baton ${agent.version}, up ${duration(agent.uptimeMs)} (pid ${agent.pid}), ${cluster.origin}`,
      look: "faint",
    },
    { text: beats, look: "faint" },
    ...(beat === null ? [{ text: "no beat process is connected", look: "bad" as const }] : []),
    ...(beat?.silenced === true
      ? [{ text: "beats are held back: the agent gave no sign of life", look: "bad" as const }]
      : []),
  ];
}

/** One clause on how the groups stand, and one on who could not help if they fell. */
function verdictOf(report: StatusReport): string {
  const gone = report.hosts.filter(({ verdict }) => verdict === "dead" || verdict === "left");
  const missing = gone.map(
    ({ name, verdict }) => `${name} ${verdict === "dead" ? "is dead" : "left"}`,
  );
  const alone = missing.length === 0 ? "" : `; no standby: ${missing.join(", ")}`;
  return `${groupsVerdict(report)}${alone}`;
}

function groupsVerdict({ groups, moves }: StatusReport): string {
  if (moves.length > 0) return "a move is under way";
  if (groups.length === 0) return "no groups";
  const running = groups.filter((group) => group.holder !== null).length;
  if (running === groups.length) return groups.length === 1 ? "the group runs" : "all groups run";
  return `${running} of ${groups.length} groups run`;
}

function section(title: string, lines: readonly Line[]): readonly Line[] {
  return lines.length === 0 ? [] : [{ text: "" }, { text: title, look: "strong" }, ...lines];
}

function hostLines({ hosts, beat }: StatusReport): readonly Line[] {
  const rows = hosts.map((host) => {
    const generation = host.generation === null ? "" : `gen ${host.generation}`;
    const heard = host.self ? `beat ${beat?.sequence ?? "-"}` : heardText(host);
    // What matters least stands last: a long line is cut there.
    return [`  ${host.name}`, hostState(host), linksText(host), heard, program(host), generation];
  });
  return columns(rows).map((text, index) => ({ text, look: hostLook(hosts[index]) }));
}

function hostState(host: HostReport): string {
  if (host.self) return `self, ${host.status ?? "starting"}`;
  // What a host last said of itself is of interest only while it can say it.
  const silent = host.verdict === "dead" || host.verdict === "left";
  return host.status === null || silent ? host.verdict : `${host.verdict}, ${host.status}`;
}

function program(host: HostReport): string {
  if (host.kind === "baton") return `baton ${host.softwareVersion ?? ""}`.trim();
  return host.kind === "classic" ? "heartbeat" : "";
}

function heardText({ silentMs }: HostReport): string {
  return silentMs === null ? "never heard" : `${duration(silentMs)} ago`;
}

function linksText({ links }: HostReport): string {
  return links.map((link) => `${link.name} ${link.up ? "up" : "DOWN"}`).join(", ");
}

function hostLook(host: HostReport | undefined): Look | undefined {
  if (host === undefined || host.self) return undefined;
  if (host.verdict === "dead") return "bad";
  return host.verdict === "alive" && host.links.every((link) => link.up) ? undefined : "warning";
}

function pingLines({ pings }: StatusReport): readonly Line[] {
  const rows = pings.map((ping) => {
    const ago = ping.lastReplyMs === null ? "" : `answered ${duration(ping.lastReplyMs)} ago`;
    return [`  ping ${ping.name}`, ping.up ? "up" : "DOWN", ago];
  });
  return columns(rows).map((text, index) => ({
    text,
    look: pings[index]?.up === false ? "warning" : undefined,
  }));
}

/** Resources are listed as long as there is room; what is not well is listed in any case. */
function groupLines(
  { groups, host }: StatusReport,
  room: number,
  titleOf: TitleOf,
): readonly Line[] {
  const head = (group: GroupReport): readonly Line[] => groupHead(group, host, titleOf);
  const full = groups.flatMap((group) => [...head(group), ...resourceLines(group)]);
  if (full.length <= room) return full;
  return groups.flatMap((group) => [
    ...head(group),
    ...resourceLines({
      ...group,
      resources: group.resources.filter((resource) => isTroubled(resource)),
    }),
  ]);
}

function groupHead(group: GroupReport, self: string, titleOf: TitleOf): readonly Line[] {
  const { holder, here, ownership, prefers, reason, detail } = group;
  const where = holder === null ? placeless(group) : `runs on ${holder}`;
  const local = holder === self || here === "stopped" ? "" : `, ${here} here`;
  const proof = group.unproven ? "taken over without proof, " : "";
  const look = holder === null ? "bad" : "good";
  const facts = `${proof}prefers ${prefers}, epoch ${ownership.epoch}`;
  // Where nothing runs a person wants words, not a code to look up.
  const words = detail === "" && holder === null ? (titleOf(reason) ?? "") : detail;
  const why = [reason === "" ? "" : `[${reason}]`, words].filter((part) => part !== "").join(" ");
  return [
    { text: `  ${group.group}  ${where}${local}  (${facts})`, look },
    ...(why === "" ? [] : [{ text: `      ${why}`, look: "faint" as const }]),
  ];
}

function placeless({ here, there }: GroupReport): string {
  const blocked = Object.entries(there).find(([, state]) => state === "blocked");
  if (here === "blocked" || blocked !== undefined) return "runs NOWHERE, blocked";
  return here === "starting" ? "is starting" : "runs NOWHERE";
}

function resourceLines({ resources }: Pick<GroupReport, "resources">): readonly Line[] {
  const rows = resources.map((resource) => [
    `      ${resource.name}`,
    resource.kind,
    resource.state,
    resource.detail,
  ]);
  return columns(rows).map((text, index) => ({
    text,
    look: isTroubled(resources[index]) ? "bad" : undefined,
  }));
}

function isTroubled(resource: ResourceReport | undefined): boolean {
  return resource?.state === "failed" || resource?.state === "unknown";
}

/** `r0  Primary/Secondary  UpToDate/UpToDate  Connected`, and why if it is not that. */
function diskLines(disk: DiskReport): readonly Line[] {
  const roles = `${disk.role}/${disk.peerRole}`;
  const states = `${disk.disk}/${disk.peerDisk}`;
  const well = disk.process === "running" && disk.disk === "UpToDate" && !disk.frozen;
  const whole = well && disk.peerDisk === "UpToDate" && disk.resync === null;
  const frozen = disk.frozen ? "  FROZEN" : "";
  const left = disk.outOfSyncKib === 0 ? "" : `  ${disk.outOfSyncKib} KiB out of sync`;
  const text = `  ${disk.name}  ${roles}  ${states}  ${disk.connection}${frozen}${left}`;
  const lines: Line[] = [{ text, look: whole ? "good" : well ? "warning" : "bad" }];
  const { resync } = disk;
  if (resync !== null) {
    const speed = resync.stalled ? "stalled" : `${resync.kibPerSecond} KiB/s`;
    lines.push({
      text: `      ${resync.kind} ${resync.donePercent.toFixed(1)} %, ${speed}`,
      look: "warning",
    });
  }
  if (!whole && disk.reason !== "") {
    lines.push({ text: `      [${disk.reason}] ${disk.detail}`, look: "faint" });
  }
  return lines;
}

function moveLine(move: StatusReport["moves"][number]): Line {
  const what = [move.verb, move.group, move.from && `from ${move.from}`, move.to && `to ${move.to}`]
    .filter((word) => word !== null && word !== "")
    .join(" ");
  return { text: `  ${what}, for ${duration(move.elapsedMs)}: ${move.line}`, look: "warning" };
}

/** Warnings, then what the set-up can not promise; each with its code for `baton explain`. */
function noticeLines({ warnings, modes }: StatusReport): readonly Line[] {
  const lines = [
    ...warnings.flatMap((warning) => noticeText(warning, "warning")),
    ...modes.flatMap((mode) => noticeText(mode, "faint")),
  ];
  return section("notices", lines);
}

function noticeText({ code, text }: StatusReport["warnings"][number], look: Look): readonly Line[] {
  const words = `${text} [${code}]`.split(" ");
  const lines: string[] = [];
  let line = "  ";
  for (const word of words) {
    if (line.length + 1 + word.length > width && line.trim() !== "") {
      lines.push(line);
      line = "     ";
    }
    line += line.trim() === "" ? word : ` ${word}`;
  }
  return [...lines, line].slice(0, noticeLinesMax).map((text) => ({ text, look }));
}
