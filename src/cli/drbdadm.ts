/**
 * `drbdadm` of DRBD 8.4: commands of drbd.md 9.5, exit codes and texts of 9.6. The configuration is the one of Baton,
 * or a drbd.conf by `-c`.
 */
import { BatonError } from "../base/index.ts";
import type { DiskCommand, DiskOutcome } from "../replication/index.ts";
import { type DiskConfigOptions, type OwnDisk, ownDisks } from "./disk-config.ts";
import { waitForConnection, wordOf } from "./disk-live.ts";
import { DiskConnection, disksWithSocket, isAbsent, seeDisk } from "./disk-sockets.ts";
import { connectOrStart } from "./disk-up.ts";
import { CliError } from "./exit.ts";
import { harmless, print } from "./output.ts";
import { formatDrbdStatus } from "./proc-drbd.ts";

/** drbd.md 9.6. */
const codes = {
  done: 0,
  lowerOrTimeout: 5,
  usage: 10,
  refused: 11,
  noDisk: 16,
  notUpToDate: 17,
  noDriver: 20,
} as const;

interface Call {
  readonly command: string;
  readonly names: readonly string[];
  /** Long options, of either side of `--`, with their values. */
  readonly options: ReadonlyMap<string, string>;
  readonly dryRun: boolean;
  readonly config: DiskConfigOptions;
}

const usage = `USAGE: drbdadm COMMAND [OPTION...] {all|RESOURCE[/VOLUME]...}

OPTIONS: -c FILE, --config-file FILE   a drbd.conf instead of Baton's configuration
         -d, --dry-run                 print what would be done
         --                            what follows, up to the command, is passed on

COMMANDS: attach detach connect disconnect up down primary secondary invalidate
          invalidate-remote outdate verify pause-sync resume-sync suspend-io resume-io
          new-current-uuid role cstate dstate status create-md dump-md get-gi show-gi
          apply-al adjust wait-connect sh-nop sh-resources sh-dev sh-minor sh-ll-dev
          sh-md-dev sh-md-idx sh-ip
`;

/** Runs drbdadm with these words; returns its exit code. */
export async function runDrbdadm(args: readonly string[]): Promise<number> {
  const call = parse(args);
  if (typeof call === "string") {
    process.stderr.write(`${call}\n${usage}`);
    return codes.usage;
  }
  try {
    return await run(call);
  } catch (error) {
    if (!(error instanceof BatonError)) throw error;
    process.stderr.write(`${harmless(error.message)}\n`);
    return error.code.startsWith("BTN-SOCKET-") ? codes.noDriver : codes.usage;
  }
}

/** Options whose value may be a word of its own. */
const valued: ReadonlySet<string> = new Set([
  "start",
  "stop",
  "wfc-timeout",
  "degr-wfc-timeout",
  "outdated-wfc-timeout",
  "size",
]);
/** 8.3's words for the same. */
const older: Readonly<Record<string, string>> = { "overwrite-data-of-peer": "force", o: "force" };

/** The call, or what is wrong with it. */
function parse(args: readonly string[]): Call | string {
  const words: string[] = [];
  const options = new Map<string, string>();
  let config: DiskConfigOptions = {};
  let dryRun = false;
  const rest = [...args];
  for (;;) {
    const word = rest.shift();
    if (word === undefined) break;
    if (word === "--") continue;
    const long = /^--([a-z][a-z-]*)(?:=(.*))?$/u.exec(word);
    const name = long?.[1] ?? /^-([a-zA-Z])$/u.exec(word)?.[1];
    if (name === undefined) {
      if (word.startsWith("-")) return `drbdadm: unrecognized option '${harmless(word)}'`;
      words.push(word);
    } else if (name === "c" || name === "config-file") {
      config = { drbdConf: long?.[2] ?? rest.shift() ?? "" };
    } else if (name === "d" || name === "dry-run") dryRun = true;
    else if (["v", "q", "S"].includes(name)) continue;
    else if (valued.has(name)) options.set(name, long?.[2] ?? rest.shift() ?? "");
    else options.set(older[name] ?? name, long?.[2] ?? "yes");
  }
  const [command, ...names] = words;
  if (command === undefined) return "drbdadm: a command is missing";
  return { command, names, options, dryRun, config };
}

/** Commands that are one to the process of the disk. */
const live: Readonly<Record<string, (options: Call["options"]) => DiskCommand>> = {
  attach: () => ({ verb: "attach" }),
  detach: (options) => ({ verb: "detach", force: options.has("force") }),
  connect: (options) => ({
    verb: "connect",
    discardMyData: options.has("discard-my-data"),
    ...(options.has("tentative") ? { dryRun: true } : {}),
  }),
  disconnect: (options) => ({ verb: "disconnect", force: options.has("force") }),
  primary: (options) => ({ verb: "primary", force: options.has("force") }),
  secondary: () => ({ verb: "secondary" }),
  outdate: () => ({ verb: "outdate" }),
  invalidate: () => ({ verb: "invalidate" }),
  "invalidate-remote": () => ({ verb: "invalidate-remote" }),
  "pause-sync": () => ({ verb: "pause-sync" }),
  "resume-sync": () => ({ verb: "resume-sync" }),
  "suspend-io": () => ({ verb: "suspend-io" }),
  "resume-io": () => ({ verb: "resume-io" }),
  "new-current-uuid": (options) => ({
    verb: "new-current-uuid",
    clearBitmap: options.has("clear-bitmap"),
  }),
  verify: (options) => ({
    verb: "verify",
    start: sectorsOf(options.get("start")),
    stop: sectorsOf(options.get("stop")),
  }),
  down: () => ({ verb: "down" }),
};

/** drbd.md 9.1: `s` sectors, K, M, G binary bytes; a bare number is in sectors here. */
function sectorsOf(text: string | undefined): number | undefined {
  const match = /^([0-9]{1,15})([sSkKmMgG]?)$/u.exec(text ?? "");
  if (match === null) return undefined;
  const factor = { k: 2, m: 2_048, g: 2_097_152 }[(match[2] ?? "").toLowerCase()] ?? 1;
  return Number(match[1]) * factor;
}

async function run(call: Call): Promise<number> {
  if (call.command === "help" || call.options.has("help")) {
    process.stdout.write(usage);
    return codes.done;
  }
  if (call.command === "sh-nop") return codes.done;
  if (call.command === "status") return await status(call);
  const known =
    call.command === "sh-resources" ||
    Object.hasOwn(live, call.command) ||
    Object.hasOwn(others, call.command);
  if (!known) {
    process.stderr.write(`drbdadm: Unknown command '${harmless(call.command)}'\n`);
    return codes.usage;
  }
  const disks = await named(call);
  if (typeof disks === "string") {
    process.stderr.write(`${disks}\n`);
    return codes.usage;
  }
  if (call.command === "sh-resources") {
    print(disks.map(({ spec }) => spec.name).join(" "));
    return codes.done;
  }
  let worst = 0;
  for (const disk of disks) {
    if (call.dryRun) {
      print(`baton disk ${call.command} ${disk.spec.name}`);
      continue;
    }
    const other = others[call.command];
    const code =
      other === undefined ? await one(disk, call, liveCommand(call)) : await other(disk, call);
    worst = Math.max(worst, code);
  }
  return worst;
}

function liveCommand(call: Call): DiskCommand {
  const make = live[call.command];
  if (make === undefined) throw new RangeError(`no command ${call.command}`);
  return make(call.options);
}

/** The disks that were named, or what is wrong. */
async function named(call: Call): Promise<readonly OwnDisk[] | string> {
  const disks = await ownDisks(call.config);
  if (call.names.includes("all") || (call.names.length === 0 && call.command === "sh-resources"))
    return disks;
  if (call.names.length === 0) return `drbdadm: missing argument '{all|RESOURCE...}'`;
  const found: OwnDisk[] = [];
  for (const written of call.names) {
    const [name = "", volume] = written.split("/");
    const minor = /^minor-([0-9]{1,7})$/u.exec(name)?.[1];
    const disk = disks.find(
      ({ spec, side }) =>
        spec.name === name || (minor !== undefined && side.minor === Number(minor)),
    );
    if (disk === undefined)
      return `'${harmless(written)}' not defined in your config (for this host).`;
    if (volume !== undefined && Number(volume) !== disk.spec.volume)
      return `'${harmless(written)}': there is no such volume`;
    found.push(disk);
  }
  return found;
}

type Other = (disk: OwnDisk, call: Call) => Promise<number>;

/** A line of text about a disk, from the configuration alone. */
const shown =
  (text: (disk: OwnDisk) => string): Other =>
  async (disk) => {
    print(text(disk));
    return codes.done;
  };

const others: Readonly<Record<string, Other>> = {
  up,
  adjust: up,
  role: word("role"),
  state: word("role"),
  cstate: word("cstate"),
  dstate: word("dstate"),
  "wait-connect": waitConnect,
  "wait-con-int": waitConnect,
  "create-md": async ({ spec }, call) =>
    await quietly(async () => {
      const { createMd } = await import("./disk-metadata.ts");
      await createMd(spec.name, { ...call.config, force: call.options.has("force") });
    }),
  "dump-md": metadata("dump-md"),
  "get-gi": metadata("get-gi"),
  "show-gi": metadata("show-gi"),
  "apply-al": async ({ spec }, call) =>
    await quietly(async () => {
      const { applyAl } = await import("./disk-metadata.ts");
      await applyAl(spec.name, call.config);
    }),
  "sh-resource": shown(({ spec }) => spec.name),
  "sh-dev": shown(({ side }) => `/dev/drbd${side.minor}`),
  "sh-minor": shown(({ side }) => String(side.minor)),
  "sh-ll-dev": shown(({ side }) => side.backing),
  "sh-md-dev": shown(({ side }) =>
    side.metadata.kind === "internal" ? side.backing : side.metadata.device,
  ),
  "sh-md-idx": shown(({ side: { metadata: place } }) =>
    place.kind === "internal"
      ? "internal"
      : place.kind === "external"
        ? "flex-external"
        : String(place.index),
  ),
  "sh-ip": shown(({ side }) => side.address),
};

/** Errors of ours as drbdmeta would end. */
async function quietly(work: () => Promise<void>): Promise<number> {
  try {
    await work();
    return codes.done;
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    process.stderr.write(`${harmless(error.message)}\n`);
    return 1;
  }
}

function metadata(what: "dump-md" | "get-gi" | "show-gi"): Other {
  return async ({ spec }, call) =>
    await quietly(async () => {
      const { showMetadata } = await import("./disk-metadata.ts");
      await showMetadata(what, spec.name, call.config);
    });
}

function word(verb: "role" | "cstate" | "dstate"): Other {
  return async ({ spec }, call) => {
    print((await wordOf(verb, spec.name, call.config)) ?? "Unconfigured");
    return codes.done;
  };
}

/** One command to one disk. */
async function one(disk: OwnDisk, call: Call, command: DiskCommand): Promise<number> {
  const { name } = disk.spec;
  let connection: DiskConnection;
  try {
    connection = await DiskConnection.open(name);
  } catch (error) {
    if (!isAbsent(error)) throw error;
    return await whileDown(disk, call, command);
  }
  try {
    const outcome = await connection.command(command);
    return tell(disk, call.command, outcome);
  } catch (error) {
    // The process of a disk that went down may end before it has answered.
    if (command.verb === "down" && connection.gone) return codes.done;
    throw error;
  } finally {
    connection.close();
  }
}

/** drbd.md 8.3, 9.5: `outdate` and `invalidate` then change the metadata; what is down already is down. */
async function whileDown(disk: OwnDisk, call: Call, command: DiskCommand): Promise<number> {
  const { name } = disk.spec;
  if (command.verb === "down") return codes.done;
  if (command.verb === "outdate" || command.verb === "invalidate") {
    const { markOffline } = await import("./disk-metadata.ts");
    try {
      await markOffline(command.verb, name, { ...call.config, yes: true });
      return codes.done;
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      process.stderr.write(`${harmless(error.message)}\n`);
      return error.code === "BTN-DISK-METADATA-INCONSISTENT" ? codes.lowerOrTimeout : 1;
    }
  }
  const ofResource = ["connect", "disconnect"].includes(command.verb);
  process.stderr.write(
    ofResource
      ? `${name}: Failure: (158) Unknown resource\n`
      : `${disk.side.minor}: Failure: (127) Device minor not allocated\n`,
  );
  ended(disk, call.command, codes.usage);
  return codes.usage;
}

/** drbd.md 4.2. */
const failures: Readonly<Record<number, string>> = {
  [-1]: "Multiple primaries not allowed by config",
  [-2]: "Need access to UpToDate data",
  [-4]: "Can not resync without local disk",
  [-5]: "Can not resync without remote disk",
  [-6]: "Refusing to be Outdated while Connected",
  [-7]: "Refusing to be Primary while peer is not outdated",
  [-8]: "Can not start OV/resync since it is already active",
  [-9]: "Can not disconnect a StandAlone device",
  [-10]: "State change was refused by peer node",
  [-11]: "Device is diskless, the requested operation requires a disk",
  [-12]: "Device is held open by someone",
  [-13]: "Have no net/connection configuration",
  [-14]: "Need a verify algorithm to start online verify",
  [-15]: "Need a connection to start verify or resync",
  [-16]: "Disk state is lower than outdated",
  [-17]: "Peer does not support protocol",
  [-18]: "In transient state, retry after next state change",
  [-19]: "Concurrent state changes detected and aborted",
  [-20]: "Other vol primary on peer not allowed by config",
  [-21]: "Need a connection for a graceful disconnect/outdate peer",
};

/** Prints what went wrong and gives the exit code. */
function tell(disk: OwnDisk, command: string, outcome: DiskOutcome): number {
  const { code, detail, reason } = outcome;
  if (outcome.outcome === "done") return codes.done;
  const exit = exitOfState(code);
  const text = harmless(detail === "" ? reason : detail);
  process.stderr.write(
    code < 0
      ? `${disk.side.minor}: State change failed: (${code}) ${failures[code] ?? text}\n`
      : `${disk.side.minor}: Failure: (${code > 101 ? code : 162}) ${text}\n`,
  );
  ended(disk, command, exit);
  return exit;
}

function exitOfState(code: number): number {
  if (code === -16) return codes.lowerOrTimeout;
  if (code === -4) return codes.noDisk;
  if (code === -2) return codes.notUpToDate;
  return code < 0 ? codes.refused : codes.usage;
}

function ended(disk: OwnDisk, command: string, exit: number): void {
  process.stderr.write(
    `Command 'drbdsetup-84 ${command} ${disk.side.minor}' terminated with exit code ${exit}\n`,
  );
}

async function up(disk: OwnDisk, call: Call): Promise<number> {
  const connection = await connectOrStart(disk.spec.name, call.config);
  try {
    const { state } = (await connection.state()).view;
    if (state.disk === "Diskless") {
      const attached = tell(disk, "attach", await connection.command({ verb: "attach" }));
      if (attached !== codes.done) return attached;
    }
    return state.conn === "StandAlone"
      ? tell(disk, "connect", await connection.command({ verb: "connect", discardMyData: false }))
      : codes.done;
  } finally {
    connection.close();
  }
}

/** Blocks until connected (0), or StandAlone or too late (5); 0 seconds wait for ever. */
async function waitConnect({ spec }: OwnDisk, call: Call): Promise<number> {
  const written = call.options.get("wfc-timeout");
  const limitMs =
    written === undefined ? spec.startup.waitForConnectionMs : Number(written) * 1_000;
  const found = await waitForConnection(spec.name, limitMs > 0 ? limitMs : undefined);
  return found === "connected" ? codes.done : codes.lowerOrTimeout;
}

/** drbd.md 9.7; without a name, all that run. */
async function status(call: Call): Promise<number> {
  const every = call.names.length === 0 || call.names.includes("all");
  const names = every ? disksWithSocket() : call.names.map((name) => name.split("/", 1)[0] ?? "");
  const seen = await Promise.all(names.map((name) => seeDisk(name)));
  const views = seen.flatMap((each) => (each.kind === "here" ? [each.state.view] : []));
  const options = {
    statistics: call.options.has("statistics"),
    verbose: call.options.has("verbose"),
  };
  if (views.length > 0) print(`${formatDrbdStatus(views, options)}\n`);
  else if (every) print("# No currently configured DRBD found.");
  const missing = seen.filter(({ kind }) => kind !== "here");
  for (const { name } of missing) process.stderr.write(`${harmless(name)}: No such resource\n`);
  return missing.length > 0 ? codes.usage : codes.done;
}
