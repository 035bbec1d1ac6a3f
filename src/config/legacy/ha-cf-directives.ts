/**
 * The directives of ha.cf (heartbeat.md 2.2), each with its argument style and what becomes of it.
 * The order matters to "did you mean" only: likelier ones first.
 */
import { parseClassicTime } from "../durations.ts";
import { quote } from "../findings.ts";
import {
  classicBoolean,
  readApiauth,
  readClient,
  readCrm,
  readStonith,
  readStonithHost,
  readWatchdog,
} from "./ha-cf-clients.ts";
import type { HaCfDraft, TimeName } from "./ha-cf-draft.ts";
import {
  decimal,
  readBcast,
  readMcast,
  readPing,
  readPingGroup,
  readSerial,
  readUcast,
  words,
} from "./ha-cf-media.ts";
import { advice, changed, illegal, kept, refused, replaced, type Verdict } from "./rows.ts";

/** `list`: each word is one more value; `line`: the rest of the line is one value. */
export interface Directive {
  readonly style: "list" | "line";
  readonly read: (draft: HaCfDraft, value: string, line: number) => Verdict;
  /** How the row shows the value, where it may hold a secret. */
  readonly mask?: (rest: string) => string;
}

const list = (read: Directive["read"]): Directive => ({ style: "list", read });
const line = (read: Directive["read"]): Directive => ({ style: "line", read });
const fixed = (verdict: Verdict): Directive => list(() => verdict);

export const haCfDirectives: Readonly<Record<string, Directive>> = {
  node: list(readNode),
  keepalive: time("keepalive"),
  deadtime: time("deadtime"),
  warntime: time("warntime"),
  initdead: time("initdead"),
  deadping: time("deadping"),
  ucast: line((draft, value) => readUcast(draft, value, "ucast")),
  ucast6: line((draft, value) => readUcast(draft, value, "ucast6")),
  bcast: list(readBcast),
  mcast: line((draft, value) => readMcast(draft, value, "mcast")),
  mcast6: line((draft, value) => readMcast(draft, value, "mcast6")),
  udp: list((draft, value) => {
    const verdict = readBcast(draft, value);
    return verdict.error === true ? verdict : advice("udp is an old name of bcast", "write bcast");
  }),
  udpport: list(readPort),
  serial: list(readSerial),
  baud: list(once("baud", checkBaud)),
  ping: list((draft, value) => readPing(draft, value, 4)),
  ping6: list((draft, value) => readPing(draft, value, 6)),
  ping_group: line(readPingGroup),
  hbaping: line(() =>
    refused(
      "Baton has no ping over fibre channel",
      "use ping with an address that both hosts reach",
    ),
  ),
  auto_failback: list(readFailback),
  nice_failback: list(readNiceFailback),
  respawn: line((draft, value) => readClient(draft, value, "respawn")),
  failfast: line((draft, value) => readClient(draft, value, "failfast")),
  apiauth: line(readApiauth),
  stonith: { ...line(readStonith), mask: (rest) => words(rest).slice(0, 2).join(" ") },
  stonith_host: { ...line(readStonithHost), mask: (rest) => maskAfter(rest, 2) },
  watchdog: list(once("watchdog", readWatchdog)),
  logfile: list(
    exported("HA_LOGFILE", "scripts still log there; Baton's own journal is in /var/log/baton"),
  ),
  debugfile: list(
    exported("HA_DEBUGLOG", "scripts still log there; Baton's own journal is in /var/log/baton"),
  ),
  logfacility: list(readFacility),
  use_logd: list(
    boolean((draft, value) => {
      draft.environment.set("HA_LOGD", value ? "yes" : "no");
      return replaced("the journal needs no logging daemon; scripts still see HA_LOGD");
    }),
  ),
  conn_logd_time: list((_, value) =>
    parseClassicTime(value) === undefined
      ? badTime(value)
      : replaced("the journal needs no logging daemon"),
  ),
  syslogmsgfmt: list(boolean(() => replaced("the form of the log is that of Baton's journal"))),
  log_badpack: list(
    boolean(() => replaced("refused packets are always counted and journalled, at a bounded rate")),
  ),
  debug: list(readDebug),
  msgfmt: list(readMessageFormat),
  compression: list((_, value) =>
    ["zlib", "bz2"].includes(value)
      ? changed("Baton never compresses what it sends: its messages are far below the threshold")
      : illegal(`compression can not be ${quote(value)}`, "write zlib or bz2"),
  ),
  compression_threshold: list(
    number(1, 1_000_000, () => changed("Baton never compresses what it sends")),
  ),
  traditional_compression: list(boolean(() => changed("Baton never compresses what it sends"))),
  max_rexmit_delay: list(
    number(1, 3_600_000, () =>
      changed("retransmission keeps the original's default pace of 250 ms"),
    ),
  ),
  hopfudge: list(
    number(0, 255, (draft, value) => {
      draft.hopfudge = value;
      return kept("part of the ttl of each message");
    }),
  ),
  hbgenmethod: list((_, value) =>
    value === "file"
      ? kept("hb_generation in /var/lib/heartbeat")
      : value === "time"
        ? changed(
            "the generation is always kept in hb_generation: it must be durable before the first send",
          )
        : illegal(`hbgenmethod can not be ${quote(value)}`, "write file or time"),
  ),
  uuidfrom: list((_, value) =>
    value === "file"
      ? kept("hb_uuid in /var/lib/heartbeat")
      : value === "nodename"
        ? changed("the uuid is always that of hb_uuid in /var/lib/heartbeat")
        : illegal(`uuidfrom can not be ${quote(value)}`, "write file or nodename"),
  ),
  realtime: list(
    boolean(() =>
      replaced("the beat process is small and gets its priority from its systemd unit"),
    ),
  ),
  rtprio: list((_, value) =>
    /^[0-9]{1,3}$/u.test(value)
      ? replaced("the priority of the beat process is set in its systemd unit")
      : illegal(`rtprio can not be ${quote(value)}`, "write a number"),
  ),
  memreserve: list((_, value) =>
    /^[0-9]{1,9}$/u.test(value)
      ? replaced("memory is limited and protected by the systemd unit")
      : illegal(`memreserve can not be ${quote(value)}`, "write a number of KB"),
  ),
  coredumps: list(boolean(() => replaced("core dumps are set in the systemd unit"))),
  coreroot: fixed(replaced("core dumps are set in the systemd unit")),
  env: { ...list(readEnvironment), mask: (rest) => rest.replaceAll(/=[^\s,]*/gu, "=...") },
  cluster: list((draft, value) => {
    draft.clusterName = value;
    return kept("the name of the cluster");
  }),
  crm: list(once("pacemaker", readCrm)),
  pacemaker: list(once("pacemaker", readCrm)),
  autojoin: list((_, value) =>
    value === "none"
      ? kept("only the nodes listed are members")
      : ["any", "other"].includes(value)
        ? illegal(`autojoin ${value} is a start error together with haresources`, "remove the line")
        : illegal(`autojoin can not be ${quote(value)}`, "write none"),
  ),
  quorum_server: fixed(
    refused(
      "no quorum server is asked: nobody decides when the hosts lose each other",
      "remove the line; see failover.split_brain_policy",
    ),
  ),
  crm_daemon_dir: fixed(replaced("there is no CRM in this mode")),
  crmd_spawns_pengine: fixed(replaced("there is no CRM in this mode")),
  record_config_changes: fixed(
    replaced("the journal records every change of the configuration digest"),
  ),
  record_pengine_inputs: fixed(replaced("there is no CRM in this mode")),
  enable_config_writes: fixed(replaced("Baton never writes to configuration files")),
  use_apphbd: list(
    boolean(() => replaced("the beat process watches for signs of life from the agent itself")),
  ),
  normalpoll: fixed(replaced("Baton wakes when something is due")),
};

function boolean(read: (draft: HaCfDraft, value: boolean) => Verdict): Directive["read"] {
  return (draft, word) => {
    const value = classicBoolean(word);
    return value === undefined
      ? illegal(`${quote(word)} is neither true nor false`, "write on or off")
      : read(draft, value);
  };
}

function number(
  min: number,
  max: number,
  read: (draft: HaCfDraft, value: number) => Verdict,
): Directive["read"] {
  return (draft, word) => {
    const value = decimal(word, min, max);
    return value === undefined
      ? illegal(
          `${quote(word)} is not a number from ${min} to ${max}`,
          `write a number from ${min} to ${max}`,
        )
      : read(draft, value);
  };
}

function once(name: string, read: Directive["read"]): Directive["read"] {
  return (draft, value, at) => {
    const earlier = draft.once.get(name);
    if (earlier !== undefined)
      return illegal(
        `${name} is multiply specified, first in line ${earlier}`,
        "keep one of the lines",
      );
    draft.once.set(name, at);
    return read(draft, value, at);
  };
}

function time(name: TimeName): Directive {
  return list((draft, value, at) => {
    const ms = parseClassicTime(value);
    if (ms === undefined) return badTime(value);
    if (ms === 0) return illegal(`${name} can not be 0`, "write a time above 0");
    const earlier = draft.times.get(name);
    draft.times.set(name, { ms, line: at });
    return kept(`${ms} ms${earlier === undefined ? "" : `; overrides line ${earlier.line}`}`);
  });
}

function badTime(value: string): Verdict {
  const hint = /^[0-9.]+\s*(?:s|sec|seconds?)$/iu.test(value)
    ? "seconds have no unit here: write the number alone"
    : "write seconds without a unit, or 200ms";
  return illegal(`${quote(value)} is not a time`, hint);
}

function readNode(draft: HaCfDraft, value: string): Verdict {
  const name = value.toLowerCase();
  if (!/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/u.test(name))
    return illegal(`${quote(value)} is not a host name`, "write it as `uname -n` prints it");
  if (draft.nodes.includes(name))
    return advice(`node ${name} is there twice; one is used`, "remove the second one");
  if (draft.nodes.length >= 100) return illegal("more than 100 nodes", "remove some");
  draft.nodes.push(name);
  return name === value
    ? kept("a host of the cluster")
    : changed(`a host of the cluster, as ${name}`);
}

function readPort(draft: HaCfDraft, value: string): Verdict {
  const port = decimal(value, 1, 65_535);
  if (port === undefined)
    return illegal(`${quote(value)} is not a port`, "write a number from 1 to 65535");
  draft.port = port;
  if (draft.links.length > 0)
    return advice(
      `port ${port} applies to the media below this line only, as in the original`,
      "put udpport above the media",
    );
  return kept("the port of the media below");
}

function checkBaud(_: HaCfDraft, value: string): Verdict {
  const known = ["9600", "19200", "38400", "57600", "115200", "230400", "460800"];
  return known.includes(value)
    ? refused("Baton has no serial medium", "remove the line")
    : illegal(`baud can not be ${quote(value)}`, `write one of ${known.join(", ")}`);
}

function readFailback(draft: HaCfDraft, value: string, at: number): Verdict {
  const flag = classicBoolean(value);
  const meant = /^legacy$/iu.test(value)
    ? "legacy"
    : flag === undefined
      ? undefined
      : flag
        ? "on"
        : "off";
  if (meant === undefined)
    return illegal(`auto_failback can not be ${quote(value)}`, "write on, off or legacy");
  draft.autoFailback = { value: meant, line: at };
  if (meant === "legacy")
    return advice("legacy is kept, and deprecated by the original too", "write on or off");
  return kept(
    meant === "on" ? "groups return to their preferred host" : "groups stay where they are",
  );
}

function readNiceFailback(draft: HaCfDraft, value: string, at: number): Verdict {
  const flag = classicBoolean(value);
  if (flag === undefined)
    return illegal(
      `nice_failback can not be ${quote(value)}`,
      "write auto_failback on or off instead",
    );
  draft.autoFailback = { value: flag ? "off" : "legacy", line: at };
  return {
    outcome: "changed",
    reason: `obsolete; taken as auto_failback ${flag ? "off" : "legacy"}, as the original converts it`,
    fix: `write auto_failback ${flag ? "off" : "legacy"}`,
  };
}

function exported(variable: string, reason: string): Directive["read"] {
  return (draft, value) => {
    draft.environment.set(variable, value);
    return changed(reason);
  };
}

function readFacility(draft: HaCfDraft, value: string): Verdict {
  if (
    !/^(?:none|auth|authpriv|cron|daemon|kern|lpr|mail|news|syslog|user|uucp|local[0-7])$/u.test(
      value,
    )
  )
    return illegal(
      `logfacility can not be ${quote(value)}`,
      "write a syslog facility such as local0, or none",
    );
  if (value !== "none") draft.environment.set("HA_LOGFACILITY", value);
  return changed("scripts still see HA_LOGFACILITY; Baton's own journal is in /var/log/baton");
}

function readDebug(draft: HaCfDraft, value: string): Verdict {
  const level = decimal(value, 0, 255);
  if (level === undefined)
    return illegal(`debug can not be ${quote(value)}`, "write a number from 0 to 255");
  if (level > 0) draft.environment.set("HA_debug", String(level));
  return changed("scripts still see HA_debug; the journal always holds everything");
}

function readMessageFormat(draft: HaCfDraft, value: string): Verdict {
  if (value !== "classic" && value !== "netstring")
    return illegal(`msgfmt can not be ${quote(value)}`, "write classic or netstring");
  draft.messageFormat = value;
  return kept("the form of messages on the wire");
}

function readEnvironment(draft: HaCfDraft, value: string): Verdict {
  const match = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/u.exec(value);
  if (match === null)
    return illegal(
      `${quote(value.split("=")[0] ?? "")} is not of the form NAME=value`,
      "write `env NAME=value`",
    );
  draft.environment.set(`HA_${match[1]}`, match[2] ?? "");
  return kept(`scripts see it as HA_${match[1]}`);
}

function maskAfter(rest: string, count: number): string {
  const all = words(rest);
  return all.length <= count ? all.join(" ") : `${all.slice(0, count).join(" ")} ...`;
}
