/**
 * Every option of drbd.conf (drbd.md 9.3): where it stands, what values it takes, what it sets, and what became of it.
 * Both dialects: 8.4's own places, and 8.3's `syncer`. The last of several equal options counts, as with drbdsetup.
 */
import {
  type AfterSplitBrainPolicy,
  type DigestAlgorithm,
  type DiskSpec,
  type HandlerName,
  handlerNames,
  type LocalDiskOptions,
  type NetOptions,
  type ResyncOptions,
  type StartupOptions,
} from "../../replication/index.ts";
import { pingIntervalMsFor } from "../disk-defaults.ts";
import { digestNames } from "../disk-fields.ts";
import { formatDuration } from "../durations.ts";
import { changed, illegal, kept, refused, replaced, type Verdict } from "./rows.ts";

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

/** A disk while its sections are read: common first, then its own. */
export interface DrbdDraft {
  readonly deadtimeMs: number;
  readonly net: Mutable<NetOptions>;
  readonly disk: Mutable<Omit<LocalDiskOptions, "resync">>;
  readonly resync: Mutable<ResyncOptions>;
  readonly startup: Mutable<StartupOptions>;
  readonly handlers: Mutable<DiskSpec["handlers"]>;
  onNoDataAccessible: DiskSpec["onNoDataAccessible"];
  authenticationAlgorithm: string | undefined;
  hasSecret: boolean;
  /** `discard-node-X`, until the hosts are known. */
  victim: string | undefined;
  bothPrimary: boolean;
}

export type Section = "global" | "net" | "disk" | "startup" | "options" | "handlers" | "syncer";

/** What one option came to. */
export interface OptionReading {
  readonly verdict: Verdict;
  readonly apply: ((draft: DrbdDraft) => void) | undefined;
}

interface Option {
  /** `undefined` value: a bare flag. Returns text of the value as it failed, or the reading. */
  read(name: string, values: readonly string[]): OptionReading;
}

const ok = (apply: (draft: DrbdDraft) => void, verdict: Verdict = kept("")): OptionReading => ({
  verdict,
  apply,
});
const bad = (reason: string, fix: string, code: Verdict["code"]): OptionReading => ({
  verdict: { ...illegal(reason, fix), ...(code === undefined ? {} : { code }) },
  apply: undefined,
});

const unitBytes: Readonly<Record<string, number>> = {
  "": 1,
  s: 512,
  k: 1_024,
  K: 1_024,
  m: 1_048_576,
  M: 1_048_576,
  g: 1_073_741_824,
  G: 1_073_741_824,
};

/** `10M` in the option's base unit (drbd.md 9.1): a bare number is in it already. Undefined: no number. */
export function parseDrbdNumber(text: string, base: "" | "k" | "s"): number | undefined {
  const match = /^([0-9]{1,15})([KkMmGgs]?)$/u.exec(text);
  if (match === null) return undefined;
  const [, digits = "", suffix = ""] = match;
  if (suffix === "") return Number(digits);
  return Math.floor((Number(digits) * (unitBytes[suffix] ?? 1)) / (unitBytes[base] ?? 1));
}

/** The words of drbdadm: `OPT VALUE => VALUE out of range [MIN..MAX].`; undefined: it is within. */
export function rangeProblem(
  name: string,
  written: string,
  limits: { readonly min: number; readonly max: number; readonly base?: "" | "k" | "s" },
): string | undefined {
  const { min, max, base = "" } = limits;
  const value = parseDrbdNumber(written, base);
  if (value === undefined) return `${written} is not a valid number`;
  if (value >= min && value <= max) return undefined;
  return `${name} ${written} => ${value}${base} out of range [${min}..${max}]${base}.`;
}

/** A number in the option's base unit. */
function number(
  limits: { readonly min: number; readonly max: number; readonly base?: "" | "k" | "s" },
  set: (draft: DrbdDraft, value: number) => void,
  verdict: (value: number) => Verdict = () => kept(""),
): Option {
  return {
    read: (name, [written = "", ...more]) => {
      const problem =
        more.length > 0
          ? `Parse error: ';' expected, but got '${more[0]}'`
          : rangeProblem(name, written, limits);
      if (problem !== undefined)
        return bad(
          problem,
          `write a value from ${limits.min} to ${limits.max}${limits.base ?? ""}`,
          "BTN-IMPORT-DRBD-RANGE",
        );
      const value = parseDrbdNumber(written, limits.base ?? "") ?? 0;
      return ok((draft) => set(draft, value), verdict(value));
    },
  };
}

/** `NAME;`, `NAME yes;`, `NAME no;`. */
function flag(
  set: (draft: DrbdDraft, value: boolean) => void,
  verdict: (value: boolean) => Verdict = () => kept(""),
): Option {
  return {
    read: (_name, values) => {
      const [written = "yes", ...more] = values;
      if (more.length > 0 || !["yes", "no"].includes(written)) {
        return bad(
          `Parse error: 'yes | no | ;' expected, but got '${more[0] ?? written}'`,
          "write yes or no",
          "BTN-IMPORT-DRBD-SYNTAX",
        );
      }
      return ok((draft) => set(draft, written === "yes"), verdict(written === "yes"));
    },
  };
}

function choice<Choice extends string>(
  choices: readonly Choice[],
  set: (draft: DrbdDraft, value: Choice) => void,
  others?: (written: string) => OptionReading | undefined,
  verdict: (value: Choice) => Verdict = () => kept(""),
): Option {
  return {
    read: (name, [written = "", ...more]) => {
      const found = more.length > 0 ? undefined : choices.find((each) => each === written);
      if (found !== undefined) return ok((draft) => set(draft, found), verdict(found));
      const other = more.length > 0 ? undefined : others?.(written);
      return (
        other ??
        bad(
          `${name} '${[written, ...more].join(" ")}' is not valid, should be one of ${choices.join(" | ")}`,
          "use one of them",
          "BTN-IMPORT-DRBD-SYNTAX",
        )
      );
    },
  };
}

/** drbd.md section 0: every such field has 64 bytes with its NUL. */
const stringBytesMax = 63;

function word(
  set: (draft: DrbdDraft, value: string) => void,
  verdict: (value: string) => Verdict = () => kept(""),
): Option {
  return {
    read: (name, [written, ...more]) => {
      if (written === undefined || more.length > 0)
        return bad(
          `Parse error: one value expected after ${name}`,
          "write one word, or quote it",
          "BTN-IMPORT-DRBD-SYNTAX",
        );
      if (written.length > stringBytesMax)
        return bad(
          `the value of ${name} is too long, max len: ${stringBytesMax}`,
          "shorten it",
          "BTN-IMPORT-DRBD-RANGE",
        );
      return ok((draft) => set(draft, written), verdict(written));
    },
  };
}

function digest(set: (draft: DrbdDraft, value: DigestAlgorithm | undefined) => void): Option {
  const unsupported = (written: string): OptionReading => ({
    apply: undefined,
    verdict: illegal(
      `the algorithm ${written.slice(0, 40)} is not one of ${digestNames.join(", ")}`,
      "use sha1, which every kernel has, on both hosts",
    ),
  });
  return choice<DigestAlgorithm | "">(
    [...digestNames, ""],
    (draft, value) => set(draft, value === "" ? undefined : value),
    unsupported,
  );
}

const inNet =
  <Key extends keyof NetOptions>(key: Key) =>
  (draft: DrbdDraft, value: NetOptions[Key]): void => {
    draft.net[key] = value;
  };
const inDisk =
  <Key extends keyof DrbdDraft["disk"]>(key: Key) =>
  (draft: DrbdDraft, value: DrbdDraft["disk"][Key]): void => {
    draft.disk[key] = value;
  };
const inResync =
  <Key extends keyof ResyncOptions>(key: Key) =>
  (draft: DrbdDraft, value: ResyncOptions[Key]): void => {
    draft.resync[key] = value;
  };
const inStartup =
  <Key extends keyof StartupOptions>(key: Key) =>
  (draft: DrbdDraft, value: StartupOptions[Key]): void => {
    draft.startup[key] = value;
  };

/** Accepted and without effect: nothing of it is left to set. */
const nothing = (reason: string): Option => ({
  read: () => ({ verdict: replaced(reason), apply: undefined }),
});
/** Not carried over; worth a line of advice, because somebody may rely on it. */
const lost = (reason: string, fix: string): Option => ({
  read: () => ({ verdict: refused(reason, fix), apply: undefined }),
});

const tenths =
  (set: (draft: DrbdDraft, ms: number) => void) =>
  (draft: DrbdDraft, value: number): void =>
    set(draft, value * 100);

const afterSplitBrain0 = choice(
  [
    "disconnect",
    "discard-younger-primary",
    "discard-older-primary",
    "discard-zero-changes",
    "discard-least-changes",
  ] as const satisfies readonly AfterSplitBrainPolicy[],
  (draft, value) => {
    draft.net.afterSplitBrain0Primaries = value;
    draft.victim = undefined;
  },
  (written) => {
    const host = /^discard-node-(.+)$/u.exec(written)?.[1];
    return host === undefined
      ? undefined
      : ok((draft) => {
          draft.victim = host.toLowerCase();
        });
  },
);

const pingInt = number({ min: 1, max: 120 }, (draft, value) => {
  draft.net.pingIntervalMs = pingIntervalMsFor(value * 1_000, draft.deadtimeMs);
});

const net: Readonly<Record<string, Option>> = {
  protocol: {
    read: (_name, [written = "", ...more]) => {
      const protocol = (["A", "B", "C"] as const).find((each) => each === written.toUpperCase());
      if (protocol === undefined || more.length > 0)
        return bad(
          `unknown protocol '${written}', should be one of A,B,C`,
          "write C unless you know better",
          "BTN-IMPORT-DRBD-SYNTAX",
        );
      return ok((draft) => inNet("protocol")(draft, protocol));
    },
  },
  timeout: number({ min: 1, max: 600 }, tenths(inNet("timeoutMs"))),
  "connect-int": number({ min: 1, max: 120 }, (draft, value) =>
    inNet("connectIntervalMs")(draft, value * 1_000),
  ),
  "ping-int": pingInt,
  "ping-timeout": number({ min: 1, max: 300 }, tenths(inNet("pingTimeoutMs"))),
  "socket-check-timeout": number({ min: 0, max: 300 }, tenths(inNet("socketCheckTimeoutMs"))),
  "max-buffers": number({ min: 32, max: 131_072 }, inNet("maxBuffers")),
  "max-epoch-size": number({ min: 1, max: 20_000 }, inNet("maxEpochSize")),
  "unplug-watermark": number(
    { min: 1, max: 131_072 },
    () => undefined,
    () => replaced("requests are written as they come: there is no queue to unplug"),
  ),
  "sndbuf-size": number({ min: 0, max: 10_485_760 }, inNet("sendBufferBytes")),
  "rcvbuf-size": number({ min: 0, max: 10_485_760 }, inNet("receiveBufferBytes")),
  "ko-count": number({ min: 0, max: 200 }, inNet("koCount")),
  "allow-two-primaries": flag(inNet("allowTwoPrimaries")),
  "always-asbp": flag(inNet("alwaysAfterSplitBrain")),
  "after-sb-0pri": afterSplitBrain0,
  "after-sb-1pri": choice(
    [
      "disconnect",
      "consensus",
      "discard-secondary",
      "violently-as0p",
      "call-pri-lost-after-sb",
    ] as const,
    inNet("afterSplitBrain1Primary"),
  ),
  "after-sb-2pri": choice(
    ["disconnect", "violently-as0p", "call-pri-lost-after-sb"] as const,
    inNet("afterSplitBrain2Primaries"),
  ),
  "rr-conflict": choice(
    ["disconnect", "call-pri-lost", "violently"] as const,
    inNet("roleConflict"),
  ),
  "cram-hmac-alg": word((draft, value) => {
    draft.authenticationAlgorithm = value;
  }),
  "shared-secret": word(
    (draft) => {
      draft.hasSecret = true;
    },
    () => kept("the secret stays in this file and is read from it"),
  ),
  "data-integrity-alg": digest(inNet("dataIntegrity")),
  "verify-alg": digest(inNet("verify")),
  "csums-alg": digest(inNet("checksumResync")),
  "csums-after-crash-only": flag(inNet("checksumResyncAfterCrashOnly")),
  "tcp-cork": flag(inNet("cork")),
  "use-rle": flag(inNet("compressBitmap")),
  "on-congestion": choice(["block", "pull-ahead", "disconnect"] as const, inNet("onCongestion")),
  "congestion-fill": number({ min: 0, max: 20_971_520, base: "s" }, (draft, value) =>
    inNet("congestionFillBytes")(draft, value * 512),
  ),
  "congestion-extents": number({ min: 67, max: 65_534 }, inNet("congestionExtents")),
};

/** Values of read-balancing that choose by load or by place; there is one other copy only. */
const byLoad =
  /^(?:least-pending|when-congested-remote|(?:32|64|128|256|512)K-striping|1M-striping)$/u;

const nearestBalance = (written: string): "prefer-local" | "round-robin" =>
  written === "when-congested-remote" ? "prefer-local" : "round-robin";

const disk: Readonly<Record<string, Option>> = {
  size: number({ min: 0, max: 2 ** 41, base: "s" }, inDisk("sizeSectors")),
  "on-io-error": choice(["pass_on", "call-local-io-error", "detach"] as const, inDisk("onIoError")),
  fencing: choice(
    ["dont-care", "resource-only", "resource-and-stonith"] as const,
    inDisk("fencing"),
    undefined,
    (value) =>
      value === "resource-only"
        ? changed("writes also freeze until the peer is outdated, for 1 s at most")
        : kept(""),
  ),
  "disk-barrier": flag(
    () => undefined,
    (value) =>
      value
        ? changed("Linux has no barriers any more: flushes order the writes")
        : kept("barriers are never used"),
  ),
  "disk-flushes": flag(inDisk("flushes")),
  "disk-drain": flag(
    () => undefined,
    (value) =>
      value ? kept("") : changed("writes of one epoch are always waited for before the next"),
  ),
  "md-flushes": flag(inDisk("metadataFlushes")),
  "max-bio-bvecs": number(
    { min: 0, max: 128 },
    () => undefined,
    () => replaced("requests are not made of bio vectors here"),
  ),
  "disk-timeout": number({ min: 0, max: 6_000 }, tenths(inDisk("diskTimeoutMs"))),
  "read-balancing": choice(
    ["prefer-local", "prefer-remote", "round-robin"] as const,
    inDisk("readBalancing"),
    (written) =>
      byLoad.test(written)
        ? ok(
            (draft) => inDisk("readBalancing")(draft, nearestBalance(written)),
            changed(`written as ${nearestBalance(written)}, which is nearest`),
          )
        : undefined,
  ),
  "resync-rate": number({ min: 1, max: 4_194_304, base: "k" }, inResync("rateKibPerSecond")),
  "resync-after": word((draft, value) => inResync("after")(draft, value.replace(/\/[0-9]+$/u, ""))),
  "al-extents": number({ min: 67, max: 65_534 }, inDisk("activityLogExtents")),
  "al-updates": flag(inDisk("activityLogUpdates")),
  "c-plan-ahead": number({ min: 0, max: 300 }, inResync("planAheadSteps")),
  "c-delay-target": number({ min: 1, max: 100 }, inResync("delayTargetSteps")),
  "c-fill-target": number({ min: 0, max: 1_048_576, base: "s" }, inResync("fillTargetSectors")),
  "c-max-rate": number({ min: 250, max: 4_194_304, base: "k" }, inResync("maxRateKibPerSecond")),
  "c-min-rate": number({ min: 0, max: 4_194_304, base: "k" }, inResync("minRateKibPerSecond")),
  "discard-zeroes-if-aligned": flag(inDisk("discardZeroesIfAligned")),
  "disable-write-same": flag(
    () => undefined,
    () => replaced("write-same requests are not made"),
  ),
  "rs-discard-granularity": number(
    { min: 0, max: 1_048_576 },
    inDisk("resyncDiscardGranularityBytes"),
  ),
};

const seconds = (set: (draft: DrbdDraft, ms: number) => void): Option =>
  number({ min: 0, max: 300_000 }, (draft, value) => set(draft, value * 1_000));

const startup: Readonly<Record<string, Option>> = {
  "wfc-timeout": seconds(inStartup("waitForConnectionMs")),
  "degr-wfc-timeout": seconds(inStartup("degradedWaitForConnectionMs")),
  "outdated-wfc-timeout": seconds(inStartup("outdatedWaitForConnectionMs")),
  "become-primary-on": {
    read: (_name, values) =>
      values.length === 0
        ? bad(
            "Parse error: a host name or both expected after become-primary-on",
            "name the host, or remove the line",
            "BTN-IMPORT-DRBD-SYNTAX",
          )
        : ok((draft) => {
            draft.bothPrimary = values[0] === "both";
            draft.startup.becomePrimaryOn = values.map((host) => host.toLowerCase());
          }),
  },
  "wait-after-sb": flag(
    () => undefined,
    (value) =>
      value ? changed("a start does not wait for a peer that it has split from") : kept(""),
  ),
  "stacked-timeouts": nothing("there are no stacked resources"),
};

const driver = "there is no driver to tell it to";
const options: Readonly<Record<string, Option>> = {
  "on-no-data-accessible": choice(["io-error", "suspend-io"] as const, (draft, value) => {
    draft.onNoDataAccessible = value;
  }),
  "cpu-mask": nothing("threads run where the system puts them; use taskset or CPUAffinity="),
};

const ignored = nothing("drbdadm accepts and ignores it too");

/** 8.3: `syncer`. Each name and where it went (drbd.md 9.2). */
const syncer: Readonly<Record<string, Option | undefined>> = {
  rate: disk["resync-rate"],
  after: disk["resync-after"],
  "al-extents": disk["al-extents"],
  "c-plan-ahead": disk["c-plan-ahead"],
  "c-delay-target": disk["c-delay-target"],
  "c-fill-target": disk["c-fill-target"],
  "c-max-rate": disk["c-max-rate"],
  "c-min-rate": disk["c-min-rate"],
  "verify-alg": net["verify-alg"],
  "csums-alg": net["csums-alg"],
  "use-rle": net["use-rle"],
  "cpu-mask": options["cpu-mask"],
  "on-no-data-accessible": options["on-no-data-accessible"],
  "delay-probe-volume": ignored,
  "delay-probe-interval": ignored,
  "throttle-threshold": ignored,
  "hold-off-threshold": ignored,
};

const globalOptions: Readonly<Record<string, Option>> = {
  "minor-count": number(
    { min: 1, max: 255 },
    () => undefined,
    () => replaced(driver),
  ),
  "dialog-refresh": number(
    { min: 0, max: 600 },
    () => undefined,
    () => replaced("there is no dialogue at the start"),
  ),
  "disable-ip-verification": nothing("addresses are checked by connecting"),
  "udev-always-use-vnr": nothing("the names under /dev/baton do not depend on it"),
  "usage-count": choice(
    ["yes", "no", "ask"] as const,
    () => undefined,
    undefined,
    () => replaced("nothing is ever counted or sent"),
  ),
  "cmd-timeout-short": number(
    { min: 0, max: 900 },
    () => undefined,
    () => replaced(driver),
  ),
  "cmd-timeout-medium": number(
    { min: 0, max: 900 },
    () => undefined,
    () => replaced(driver),
  ),
  "cmd-timeout-long": number(
    { min: 0, max: 900 },
    () => undefined,
    () => replaced(driver),
  ),
};

function handler(name: HandlerName): Option {
  return {
    read: (_name, [command, ...more]) => {
      if (command === undefined || more.length > 0)
        return bad(
          `Parse error: one command expected after ${name}`,
          "put it in double quotes",
          "BTN-IMPORT-DRBD-SYNTAX",
        );
      // The command would ask dopd; the agent speaks its messages itself.
      if (name === "fence-peer" && /(?:^|\/)drbd-peer-outdater(?:\s|$)/u.test(command))
        return ok((draft) => {
          delete draft.handlers[name];
        }, replaced("the agent outdates the peer over heartbeat's links, as dopd does"));
      return ok((draft) => {
        draft.handlers[name] = command;
      });
    },
  };
}

const handlers: Readonly<Record<string, Option>> = {
  ...Object.fromEntries(handlerNames.map((name) => [name, handler(name)])),
  "outdate-peer": handler("fence-peer"),
};

/** DRBD 9's: what they do, kernel 8.4 can not. */
const nine: ReadonlySet<string> = new Set([
  "auto-promote",
  "auto-promote-timeout",
  "quorum",
  "on-no-quorum",
  "quorum-minimum-redundancy",
  "on-suspended-primary-outdated",
  "peer-ack-window",
  "peer-ack-delay",
  "twopc-timeout",
  "twopc-retry-timeout",
  "transport",
  "allow-remote-read",
  "fencing-policy",
  "bitmap",
  "max-io-depth",
  "load-balance-paths",
  "tls",
]);
const reasonNine = "an option of DRBD 9, which the protocol of 8.4 has nothing for";

const sections: Readonly<Record<Section, Readonly<Record<string, Option | undefined>>>> = {
  global: globalOptions,
  net: { ...net, fencing: undefined },
  disk,
  startup,
  options,
  handlers,
  syncer,
};

/** 8.3's negative spelling. */
const negatives: Readonly<Partial<Record<Section, ReadonlySet<string>>>> = {
  disk: new Set(["no-disk-barrier", "no-disk-flushes", "no-disk-drain", "no-md-flushes"]),
  net: new Set(["no-tcp-cork"]),
};

/** All option names of a section, for "did you mean". */
export const optionNames = (section: Section): readonly string[] =>
  Object.keys(sections[section]).filter((name) => sections[section][name] !== undefined);

/** What an option comes to; undefined: no such option in that section. */
export function readOption(
  section: Section,
  name: string,
  values: readonly string[],
): OptionReading | undefined {
  if (negatives[section]?.has(name) === true)
    return sections[section][name.slice(3)]?.read(name.slice(3), [...values, "no"]);
  const found = Object.hasOwn(sections[section], name) ? sections[section][name] : undefined;
  if (found !== undefined) return found.read(name, values);
  if (nine.has(name) || (section === "net" && name === "fencing"))
    return lost(reasonNine, "remove it; kernel DRBD 8.4 refuses the file with it").read(name, []);
  return undefined;
}

/** The row of a ping interval that follows deadtime; undefined: as written. */
export function pingRow(writtenMs: number, deadtimeMs: number): string | undefined {
  const ms = pingIntervalMsFor(writtenMs, deadtimeMs);
  return ms === writtenMs
    ? undefined
    : `asked every ${formatDuration(ms)}, a quarter of deadtime, so that a loss is seen before the takeover`;
}
