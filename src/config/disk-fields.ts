/** Values of a disk in cluster.yaml: each knows how it is read and how it is written, so that both stay one. */
import type {
  DigestAlgorithm,
  LocalDiskOptions,
  NetOptions,
  ResyncOptions,
  StartupOptions,
} from "../replication/index.ts";
import { formatDuration } from "./durations.ts";
import { quote } from "./findings.ts";
import type { MapReader } from "./reader.ts";
import { formatRate, formatSize, parseRate, parseSize, type SizeReading } from "./sizes.ts";

/** One key of a section. */
export interface Field<Value> {
  readonly key: string;
  /** Undefined: the key is absent, or was refused. */
  read(reader: MapReader): { readonly value: Value } | undefined;
  write(value: Value): string;
}

/** Keys of cluster.yaml for members of `Options`. */
export type Fields<Options> = { readonly [Name in keyof Options]?: Field<Options[Name]> };

export const digestNames: readonly DigestAlgorithm[] = [
  "crc32c",
  "md5",
  "sha1",
  "sha256",
  "sha512",
];

const box = <Value>(value: Value | undefined): { readonly value: Value } | undefined =>
  value === undefined ? undefined : { value };

/** Milliseconds; `stepMs`: of which it must be a multiple; `per`: what one unit of the value is. */
function time(key: string, minMs: number, maxMs: number, stepMs = 1): Field<number> {
  return {
    key,
    read: (reader) => {
      const zero = minMs === 0 && reader.has(key) && reader.tree(key)?.kind === "scalar";
      if (zero && reader.text(key) === "0") return { value: 0 };
      const ms = reader.duration(key, minMs);
      if (ms === undefined) return undefined;
      if (ms <= maxMs && ms % stepMs === 0) return { value: ms / stepMs };
      const why = ms > maxMs ? `at most ${formatDuration(maxMs)}` : `a multiple of ${stepMs}ms`;
      reader.wrong(key, `can not be ${formatDuration(ms)}`, `write ${why}`);
      return undefined;
    },
    write: (value) => formatDuration(value * stepMs),
  };
}

function sized(
  key: string,
  limits: { readonly min: number; readonly max: number; readonly unit: number },
  parse: (source: string) => SizeReading,
  format: (value: number) => string,
): Field<number> {
  const { min, max, unit } = limits;
  return {
    key,
    read: (reader) => {
      const written = reader.text(key);
      if (written === undefined) return undefined;
      const reading = parse(written);
      if (!reading.ok) {
        reader.wrong(key, `can not be ${quote(written)}: ${reading.problem}`, reading.fix);
        return undefined;
      }
      const value = reading.bytes / unit;
      if (Number.isInteger(value) && value >= min && value <= max) return { value };
      const range = `write ${format(min * unit)} to ${format(max * unit)}`;
      const whole = `write a multiple of ${format(unit)}`;
      reader.wrong(key, `can not be ${quote(written)}`, Number.isInteger(value) ? range : whole);
      return undefined;
    },
    write: (value) => format(value * unit),
  };
}

const size = (key: string, min: number, max: number, unit = 1): Field<number> =>
  sized(key, { min, max, unit }, parseSize, formatSize);
const rate = (key: string, min: number, max: number): Field<number> =>
  sized(key, { min, max, unit: 1 }, parseRate, formatRate);

const count = (key: string, min: number, max: number): Field<number> => ({
  key,
  read: (reader) => box(reader.integer(key, min, max)),
  write: String,
});
const flag = (key: string): Field<boolean> => ({
  key,
  read: (reader) => box(reader.flag(key)),
  write: String,
});
const choice = <Choice extends string>(key: string, choices: readonly Choice[]): Field<Choice> => ({
  key,
  read: (reader) => box(reader.choice(key, choices)),
  write: (value) => value,
});
const digest = (key: string): Field<DigestAlgorithm | undefined> => ({
  key,
  read: (reader) => {
    const written = reader.choice(key, [...digestNames, "none"]);
    return written === undefined ? undefined : { value: written === "none" ? undefined : written };
  },
  write: (value) => value ?? "none",
});

const mebibytes10 = 10 * 2 ** 20;
/** 1 TiB in MiB: what drbd.conf allows for a rate is 4 GiB/s. */
const rateMax = 4_194_304;

/** Directly under the disk. */
export const netTopFields: Fields<NetOptions> = {
  protocol: choice("protocol", ["A", "B", "C"]),
  dataIntegrity: digest("integrity"),
  verify: digest("verify"),
  flushWaitsForPeer: flag("flush_waits_for_peer"),
};

/** Directly under the disk. */
export const diskTopFields: Fields<LocalDiskOptions> = {
  fencing: choice("fencing", ["native", "dont-care", "resource-only", "resource-and-stonith"]),
  onIoError: choice("on_io_error", ["detach", "pass_on", "call-local-io-error"]),
  sizeSectors: size("size", 0, 2 ** 41, 512),
  diskTimeoutMs: time("disk_timeout", 0, 600_000),
  flushes: flag("flushes"),
  metadataFlushes: flag("metadata_flushes"),
  readBalancing: choice("read_balancing", ["prefer-local", "prefer-remote", "round-robin"]),
  discardZeroesIfAligned: flag("discard_zeroes_if_aligned"),
};

/** Section `network`. */
export const networkFields: Fields<NetOptions> = {
  timeoutMs: time("timeout", 10, 60_000),
  connectIntervalMs: time("connect_interval", 100, 120_000),
  pingIntervalMs: time("ping_interval", 10, 120_000),
  pingTimeoutMs: time("ping_timeout", 10, 30_000),
  socketCheckTimeoutMs: time("socket_check_timeout", 0, 30_000),
  koCount: count("ko_count", 0, 200),
  maxBuffers: count("max_buffers", 32, 131_072),
  maxEpochSize: count("max_epoch_size", 1, 20_000),
  sendBufferBytes: size("send_buffer", 0, mebibytes10),
  receiveBufferBytes: size("receive_buffer", 0, mebibytes10),
  allowTwoPrimaries: flag("allow_two_primaries"),
  cork: flag("cork"),
  compressBitmap: flag("compress_bitmap"),
  onCongestion: choice("on_congestion", ["block", "pull-ahead", "disconnect"]),
  congestionFillBytes: size("congestion_fill", 0, 20_971_520 * 512),
  congestionExtents: count("congestion_extents", 67, 65_534),
};

/** Section `resync`, what concerns its speed and order. */
export const resyncFields: Fields<ResyncOptions> = {
  rateKibPerSecond: rate("rate", 1, rateMax),
  planAheadSteps: time("plan_ahead", 0, 30_000, 100),
  delayTargetSteps: time("delay_target", 100, 10_000, 100),
  fillTargetSectors: size("fill_target", 0, 1_048_576, 512),
  maxRateKibPerSecond: rate("max_rate", 250, rateMax),
  minRateKibPerSecond: rate("min_rate", 0, rateMax),
};

/** Section `resync`, what is compared. */
export const resyncNetFields: Fields<NetOptions> = {
  checksumResync: digest("checksum"),
  checksumResyncAfterCrashOnly: flag("checksum_after_crash_only"),
};

/** Section `resync`, thin. */
export const resyncDiskFields: Fields<LocalDiskOptions> = {
  resyncDiscardGranularityBytes: size("discard_granularity", 0, 2 ** 20),
};

/** Section `activity_log`. */
export const activityLogFields: Fields<LocalDiskOptions> = {
  activityLogExtents: count("extents", 67, 65_534),
  activityLogUpdates: flag("updates"),
};

/** Section `split_brain`; `no_primary` is read apart, because it may name a host. */
export const splitBrainFields: Fields<NetOptions> = {
  afterSplitBrain1Primary: choice("one_primary", [
    "disconnect",
    "consensus",
    "discard-secondary",
    "violently-as0p",
    "call-pri-lost-after-sb",
  ]),
  afterSplitBrain2Primaries: choice("two_primaries", [
    "disconnect",
    "violently-as0p",
    "call-pri-lost-after-sb",
  ]),
  alwaysAfterSplitBrain: flag("always"),
  roleConflict: choice("role_conflict", ["disconnect", "call-pri-lost", "violently"]),
};

/** Section `startup`; 0: for ever. */
export const startupFields: Fields<StartupOptions> = {
  waitForConnectionMs: time("wait_for_connection", 0, 300_000_000),
  degradedWaitForConnectionMs: time("degraded_wait_for_connection", 0, 300_000_000),
  outdatedWaitForConnectionMs: time("outdated_wait_for_connection", 0, 300_000_000),
};

/** `defaults` with what the map says. */
export function readFields<Options extends object>(
  reader: MapReader,
  fields: Fields<Options>,
  defaults: Options,
): Options {
  const read: Partial<Record<keyof Options, unknown>> = {};
  for (const name of Object.keys(fields) as (keyof Options)[]) {
    const found = fields[name]?.read(reader);
    if (found !== undefined) read[name] = found.value;
  }
  return { ...defaults, ...read };
}

/** What differs from `defaults`, as keys and texts. */
export function writeFields<Options extends object>(
  fields: Fields<Options>,
  options: Options,
  defaults: Options,
): readonly (readonly [key: string, text: string])[] {
  return (Object.keys(fields) as (keyof Options)[]).flatMap((name) => {
    const field = fields[name];
    if (field === undefined || options[name] === defaults[name]) return [];
    return [[field.key, field.write(options[name])] as const];
  });
}
