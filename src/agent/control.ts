/**
 * The control protocol of the agent: what verbs may ask over `/run/baton/ctl.sock` and what comes
 * back (DESIGN 7.4). Shapes and one total parser; `system/lines.ts` frames them, carries the ids
 * and turns a thrown `BatonError` into the error of an answer.
 */
import { BatonError, fail, ok, type Result } from "../base/index.ts";
import type { Timing } from "../config/index.ts";
import type { GroupView, MoveScope } from "../failover/index.ts";
import type { PeerKind, Verdict } from "../membership/index.ts";
import type { ConnectionStateName, DiskRole, DiskStateName } from "../replication/index.ts";
import { controlReasons } from "./control-reasons.ts";

/** In the run directory: all verbs, and those that observe (reliability 9.2). */
export const controlSocketName = "ctl.sock";
export const statusSocketName = "status.sock";

/** Longest name (group, host, link, parameter) that is accepted, in characters. */
export const nameLengthMax = 256;

/** One question or command, validated. Absent optional arguments are null, never undefined. */
export type ControlCall =
  | { readonly verb: "ping"; readonly args: Nothing }
  | { readonly verb: "version"; readonly args: Nothing }
  | { readonly verb: "status"; readonly args: Nothing }
  /** Progress carries a `StatusReport` at once and after each change, until the client hangs up. */
  | { readonly verb: "watch"; readonly args: Nothing }
  | {
      readonly verb: "switch";
      readonly args: { readonly group: string | null; readonly to: string | null };
    }
  | { readonly verb: "standby"; readonly args: { readonly scope: MoveScope } }
  | {
      readonly verb: "takeover";
      readonly args: { readonly scope: MoveScope; readonly peerIsDead: boolean };
    }
  | { readonly verb: "clear"; readonly args: { readonly group: string | null } }
  | { readonly verb: "stop"; readonly args: Nothing }
  /** Where the journal is; the client reads it, so that a long journal never stalls the agent. */
  | { readonly verb: "timeline"; readonly args: Nothing }
  | ClassicQuery;

/** The questions of `cl_status` (heartbeat.md 10.1); `answerQuery` in `queries.ts` answers them. */
export type ClassicQuery =
  | { readonly verb: "rscstatus"; readonly args: Nothing }
  | { readonly verb: "listnodes"; readonly args: { readonly only: "all" | "normal" | "ping" } }
  | { readonly verb: "nodestatus"; readonly args: { readonly host: string } }
  | { readonly verb: "nodetype"; readonly args: { readonly host: string } }
  | { readonly verb: "listhblinks"; readonly args: { readonly host: string } }
  | {
      readonly verb: "hblinkstatus";
      readonly args: { readonly host: string; readonly link: string };
    }
  | { readonly verb: "hbparameter"; readonly args: { readonly name: string } };

export type ControlVerb = ControlCall["verb"];
type Nothing = Readonly<Record<string, never>>;

/**
 * Who may ask (reliability 9.2): `observe` changes nothing and is answered on both sockets,
 * `operate` moves the service and is answered on `ctl.sock` only.
 */
export type Authority = "observe" | "operate";

/** What a command tells while it works. */
export interface CommandProgress {
  /** Since the agent accepted the command. */
  readonly elapsedMs: number;
  readonly line: string;
  readonly reason: string | null;
}

/** Result of switch, standby, takeover, clear, stop. Exit codes of DESIGN 4: 0, 1, 4, 5. */
export interface CommandResult {
  readonly outcome: "done" | "negative" | "refused" | "failed";
  readonly reason: string;
  readonly detail: string;
  readonly elapsedMs: number;
}

/** Result of `timeline`. */
export interface TimelinePlace {
  readonly journalDirectory: string;
  readonly host: string;
}

/** Result of `version`. */
export interface VersionReport {
  readonly protocol: number;
  readonly software: string;
}

/** Result of a `ClassicQuery`. */
export type QueryAnswer =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "list"; readonly items: readonly string[] }
  /** No such node, link or parameter. */
  | { readonly kind: "unknown"; readonly what: string };

/** What each verb answers. */
export interface ControlResults {
  readonly ping: Nothing;
  readonly version: VersionReport;
  readonly status: StatusReport;
  readonly watch: Nothing;
  readonly switch: CommandResult;
  readonly standby: CommandResult;
  readonly takeover: CommandResult;
  readonly clear: CommandResult;
  readonly stop: CommandResult;
  readonly timeline: TimelinePlace;
  readonly rscstatus: QueryAnswer;
  readonly listnodes: QueryAnswer;
  readonly nodestatus: QueryAnswer;
  readonly nodetype: QueryAnswer;
  readonly listhblinks: QueryAnswer;
  readonly hblinkstatus: QueryAnswer;
  readonly hbparameter: QueryAnswer;
}

/** A sentence for people with its code for programs. */
export interface CodedText {
  readonly code: string;
  readonly text: string;
}

/** The whole cluster as one host sees it. `baton status --json` prints it; `schema` names the form. */
export interface StatusReport {
  readonly schema: 1;
  /** Counts changes; the same revision of the same agent is the same state. */
  readonly revision: number;
  readonly host: string;
  readonly cluster: {
    readonly name: string;
    readonly id: string;
    /** The file or directory that the configuration came from. */
    readonly origin: string;
    readonly autoFailback: "on" | "off" | "legacy";
  };
  readonly agent: {
    readonly version: string;
    readonly pid: number;
    /** ISO 8601, UTC. */
    readonly started: string;
    readonly uptimeMs: number;
    readonly journalDirectory: string;
  };
  /** Null: no beat process is connected. */
  readonly beat: BeatReport | null;
  /** heartbeat's word for what this host holds; `transition` while anything moves. */
  readonly rscStatus: ResourceStatus;
  /** What the set-up can and can not promise, such as "split brain possible: no third party". */
  readonly modes: readonly CodedText[];
  readonly timing: Timing;
  /** In the order of the configuration, this host included. */
  readonly hosts: readonly HostReport[];
  readonly pings: readonly PingReport[];
  readonly groups: readonly GroupReport[];
  /** Replicated disks with a side on this host. */
  readonly disks: readonly DiskReport[];
  readonly moves: readonly MoveReport[];
  readonly warnings: readonly CodedText[];
  readonly counters: Readonly<Record<string, number>>;
  readonly keys: readonly KeyReport[];
}

/** One replicated disk, from this host's side. */
export interface DiskReport {
  readonly name: string;
  readonly process: "running" | "absent" | "unreachable";
  /** What applications open; null: nothing now. */
  readonly device: string | null;
  readonly role: DiskRole;
  readonly peerRole: DiskRole;
  readonly connection: ConnectionStateName;
  readonly disk: DiskStateName;
  readonly peerDisk: DiskStateName;
  /** Reads and writes wait: for the peer to be excluded, for data, or for an administrator. */
  readonly frozen: boolean;
  readonly outOfSyncKib: number;
  readonly resync: {
    readonly kind: "resync" | "verify";
    readonly donePercent: number;
    readonly kibPerSecond: number;
    readonly stalled: boolean;
  } | null;
  readonly reason: string;
  readonly detail: string;
}

export type ResourceStatus = "none" | "local" | "foreign" | "all" | "transition";

export interface BeatReport {
  readonly pid: number | null;
  readonly generation: number;
  readonly sequence: number;
  /** What our statuses say in `st=`. */
  readonly status: string;
  readonly silenced: boolean;
}

export interface HostReport {
  readonly name: string;
  readonly self: boolean;
  readonly verdict: Verdict;
  readonly reason: string;
  readonly kind: PeerKind;
  readonly softwareVersion: string | null;
  /** heartbeat's word: `init`, `up`, `active`, `dead`; null: never heard. */
  readonly status: string | null;
  readonly generation: number | null;
  /** Since its newest beat on any link; null: never heard, or this host. */
  readonly silentMs: number | null;
  readonly links: readonly LinkReport[];
}

export interface LinkReport {
  readonly name: string;
  readonly up: boolean;
  /** Milliseconds ago; null: never, or this host. */
  readonly lastHeardMs: number | null;
}

export interface PingReport {
  readonly name: string;
  readonly up: boolean;
  /** Milliseconds ago; null: never. */
  readonly lastReplyMs: number | null;
}

export interface GroupReport extends GroupView {
  /** In start order, as they stand on this host. */
  readonly resources: readonly ResourceReport[];
}

export interface ResourceReport {
  readonly name: string;
  readonly kind: string;
  /** `running`, `stopped`, `starting`, `stopping`, `failed`, `unknown`. */
  readonly state: string;
  readonly detail: string;
}

/** A move under way. */
export interface MoveReport {
  /** Id of the command, or of the automatic move. */
  readonly id: string;
  /** The command's verb, or `failover`. */
  readonly verb: string;
  readonly group: string | null;
  readonly from: string | null;
  readonly to: string | null;
  readonly elapsedMs: number;
  /** The newest progress line. */
  readonly line: string;
}

export interface KeyReport {
  readonly index: number;
  readonly method: string;
  /** First 8 hex digits of SHA-256 of the key with a label; never the key (reliability 9.2). */
  readonly fingerprint: string;
  /** This key signs what we send. */
  readonly sends: boolean;
}

type ArgumentParser = (args: Arguments) => ControlCall;
const scopes = ["all", "local", "foreign", "failback"] as const;

/** One row per verb: who may ask, and how its arguments are read. */
const verbs: Readonly<Record<ControlVerb, { authority: Authority; parse: ArgumentParser }>> = {
  ping: { authority: "observe", parse: () => ({ verb: "ping", args: {} }) },
  version: { authority: "observe", parse: () => ({ verb: "version", args: {} }) },
  status: { authority: "observe", parse: () => ({ verb: "status", args: {} }) },
  watch: { authority: "observe", parse: () => ({ verb: "watch", args: {} }) },
  timeline: { authority: "observe", parse: () => ({ verb: "timeline", args: {} }) },
  rscstatus: { authority: "observe", parse: () => ({ verb: "rscstatus", args: {} }) },
  listnodes: {
    authority: "observe",
    parse: (args) => ({
      verb: "listnodes",
      args: { only: args.word("only", ["all", "normal", "ping"] as const, "all") },
    }),
  },
  nodestatus: {
    authority: "observe",
    parse: (args) => ({ verb: "nodestatus", args: { host: args.name("host") } }),
  },
  nodetype: {
    authority: "observe",
    parse: (args) => ({ verb: "nodetype", args: { host: args.name("host") } }),
  },
  listhblinks: {
    authority: "observe",
    parse: (args) => ({ verb: "listhblinks", args: { host: args.name("host") } }),
  },
  hblinkstatus: {
    authority: "observe",
    parse: (args) => ({
      verb: "hblinkstatus",
      args: { host: args.name("host"), link: args.name("link") },
    }),
  },
  hbparameter: {
    authority: "observe",
    parse: (args) => ({ verb: "hbparameter", args: { name: args.name("name") } }),
  },
  switch: {
    authority: "operate",
    parse: (args) => ({
      verb: "switch",
      args: { group: args.optionalName("group"), to: args.optionalName("to") },
    }),
  },
  standby: {
    authority: "operate",
    parse: (args) => ({ verb: "standby", args: { scope: args.word("scope", scopes, "all") } }),
  },
  takeover: {
    authority: "operate",
    parse: (args) => ({
      verb: "takeover",
      args: { scope: args.word("scope", scopes, "all"), peerIsDead: args.flag("peerIsDead") },
    }),
  },
  clear: {
    authority: "operate",
    parse: (args) => ({ verb: "clear", args: { group: args.optionalName("group") } }),
  },
  stop: { authority: "operate", parse: () => ({ verb: "stop", args: {} }) },
};

/** Every verb of the protocol. */
export const controlVerbs = Object.keys(verbs) as readonly ControlVerb[];

/** The authority that a verb needs. */
export function authorityOf(verb: ControlVerb): Authority {
  return verbs[verb].authority;
}

/**
 * Reads the verb and arguments of one request. Total: any value gives a call or an error, nothing
 * throws.
 */
export function parseControlCall(verb: unknown, args: unknown): Result<ControlCall> {
  const values = args ?? {};
  if (typeof verb !== "string" || !isObject(values)) {
    return refuse("BTN-CONTROL-MALFORMED", "Cannot read a request: it is not {id, verb, args}");
  }
  if (!isControlVerb(verb)) {
    const shown = JSON.stringify(verb.slice(0, nameLengthMax));
    return refuse("BTN-CONTROL-UNKNOWN-VERB", `Cannot serve verb ${shown}: it is not known`);
  }
  const reader = new Arguments(values);
  const call = verbs[verb].parse(reader);
  const complaint = reader.complaint();
  if (complaint !== undefined) {
    return refuse("BTN-CONTROL-BAD-ARGUMENT", `Cannot ${verb}: ${complaint}`);
  }
  return ok(call);
}

/** Reads named arguments, remembers the first complaint and which names were asked for. */
class Arguments {
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #known = new Set<string>();
  #complaint: string | undefined;

  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
  }

  /** What is wrong: the first bad argument, else one that no verb asked for. */
  complaint(): string | undefined {
    if (this.#complaint !== undefined) return this.#complaint;
    const stranger = Object.keys(this.#values).find((key) => !this.#known.has(key));
    if (stranger === undefined) return undefined;
    return `argument ${JSON.stringify(stranger.slice(0, nameLengthMax))} is not known`;
  }

  name(key: string): string {
    return this.optionalName(key) ?? this.#complain(`argument "${key}" is missing`, "");
  }

  optionalName(key: string): string | null {
    const value = this.#take(key);
    if (value === undefined || value === null) return null;
    if (isName(value)) return value;
    return this.#complain(
      `argument "${key}" is not a name of 1 to ${nameLengthMax} characters`,
      null,
    );
  }

  flag(key: string): boolean {
    const value = this.#take(key);
    if (value === undefined || typeof value === "boolean") return value ?? false;
    return this.#complain(`argument "${key}" is not true or false`, false);
  }

  word<Word extends string>(key: string, words: readonly Word[], absent: Word): Word {
    const value = this.#take(key);
    if (value === undefined) return absent;
    const found = words.find((word) => word === value);
    return found ?? this.#complain(`argument "${key}" is not one of ${words.join(", ")}`, absent);
  }

  #take(key: string): unknown {
    this.#known.add(key);
    return Object.hasOwn(this.#values, key) ? this.#values[key] : undefined;
  }

  #complain<Value>(complaint: string, value: Value): Value {
    this.#complaint ??= complaint;
    return value;
  }
}

/** What the status socket answers to a verb that would change the cluster. */
export function observeOnlyError(verb: ControlVerb): BatonError {
  return new BatonError({
    code: "BTN-CONTROL-OBSERVE-ONLY",
    message: `Cannot ${verb}: this socket answers questions only`,
    fix: controlReasons["BTN-CONTROL-OBSERVE-ONLY"].action,
  });
}

function isControlVerb(verb: string): verb is ControlVerb {
  return Object.hasOwn(verbs, verb);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** 1 to `nameLengthMax` characters, none of them a control character. */
function isName(value: unknown): value is string {
  return (
    typeof value === "string" &&
    value.length > 0 &&
    value.length <= nameLengthMax &&
    !/\p{Cc}/u.test(value)
  );
}

function refuse(code: keyof typeof controlReasons, message: string): Result<never> {
  return fail(new BatonError({ code, message, fix: controlReasons[code].action }));
}
