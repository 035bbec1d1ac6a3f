/**
 * drbd.conf -> DiskSpec, with a row for every statement (drbd.md 9.2, 9.3). What DRBD 8.4 refuses is an error in its
 * words; what Baton does not carry over is refused by resource, with the reason, and the others go on.
 */
import type { DiskHost, DiskSpec, MetadataPlace, NetOptions } from "../../replication/index.ts";
import { addressFamily, isUnusable } from "../addresses.ts";
import { defaultLocalDisk, defaultNet, defaultStartup } from "../disk-defaults.ts";
import { digestNames } from "../disk-fields.ts";
import { didYouMean, printable, quote, Report } from "../findings.ts";
import type { Finding } from "../model.ts";
import { diskNameForm, drbdConfSecret } from "../native-disks.ts";
import { nearest } from "../suggest.ts";
import type { ClassicFile } from "./classic.ts";
import type { Token } from "./drbd-lexer.ts";
import {
  type DrbdDraft,
  optionNames,
  pingRow,
  rangeProblem,
  readOption,
  type Section,
} from "./drbd-options.ts";
import { type IncludeLoader, parseDrbd, refuseSyntax, type Statement } from "./drbd-parser.ts";
import { record } from "./ha-cf.ts";
import { advice, type ImportRow, illegal, kept, refused, type Verdict } from "./rows.ts";

export interface DrbdOptions {
  readonly load: IncludeLoader;
  /** The data hosts; a resource that is on others is left alone. Undefined: take what the file says. */
  readonly hosts?: readonly string[] | undefined;
  readonly deadtimeMs: number;
}

export interface DrbdOutcome {
  readonly disks: readonly DiskSpec[];
  readonly rows: readonly ImportRow[];
  readonly findings: readonly Finding[];
  /** Where a resource stands, for later findings. */
  readonly places: Readonly<Record<string, { readonly file: string; readonly line: number }>>;
  /** All names, also of those that were refused. */
  readonly resources: readonly string[];
}

/** More resources than a machine could run. */
const resourcesMax = 1_024;

/** Reads a drbd.conf with all that it includes. */
export function readDrbdConf(file: ClassicFile, options: DrbdOptions): DrbdOutcome {
  return new Reader(file, options).run();
}

type Apply = (draft: DrbdDraft) => void;

/** What `on`, `volume` and the resource itself say of one side. */
interface Side {
  device?: { readonly minor: number };
  backing?: string;
  metadata?: MetadataPlace;
  address?: { readonly address: string; readonly port: number };
}

interface ResourceDraft {
  readonly name: string;
  readonly place: Token;
  readonly own: Apply[];
  readonly volumeOwn: Apply[];
  readonly common: Side;
  readonly hosts: { readonly name: string; readonly side: Side; readonly place: Token }[];
  readonly volumes: Set<number>;
  /** Why it is not carried over. */
  readonly obstacles: string[];
}

const sectionNames = ["net", "disk", "startup", "options", "handlers", "syncer"] as const;

class Reader {
  readonly #file: ClassicFile;
  readonly #options: DrbdOptions;
  readonly #report = new Report();
  readonly #rows: ImportRow[] = [];
  readonly #common: Apply[] = [];
  readonly #resources: ResourceDraft[] = [];

  constructor(file: ClassicFile, options: DrbdOptions) {
    this.#file = file;
    this.#options = options;
  }

  run(): DrbdOutcome {
    const statements = parseDrbd(this.#file, this.#options.load, this.#report);
    for (const statement of statements) this.#top(statement);
    const disks = this.#resources.flatMap((resource) => this.#finish(resource));
    const places = Object.fromEntries(
      this.#resources.map(({ name, place: { file, line } }) => [name, { file, line }]),
    );
    return {
      disks: this.#report.refused ? [] : disks,
      rows: inOrder(this.#rows),
      findings: this.#report.list(),
      places,
      resources: this.#resources.map((resource) => resource.name),
    };
  }

  #top(statement: Statement): void {
    const [first, name] = statement.words;
    switch (first?.text) {
      case "global":
        if (this.#resources.length > 0)
          this.#row(
            statement,
            advice(
              "the global {} section should stand in front of any resource {} section",
              "move it to the front",
            ),
          );
        this.#section(statement, "global", []);
        return;
      case "common":
        for (const inner of this.#blockOf(statement)) this.#inner(inner, undefined);
        return;
      case "resource":
        if (name === undefined || statement.block === undefined || statement.words.length > 2) {
          this.#syntax(statement, "resource NAME { ... }");
          return;
        }
        this.#resource(statement, name);
        return;
      default:
        this.#syntax(statement, "global | common | resource | skip | include");
    }
  }

  #resource(statement: Statement, name: Token): void {
    const earlier = this.#resources.find((each) => each.name === name.text);
    if (earlier !== undefined) {
      refuseSyntax(
        this.#report,
        name.file,
        name.line,
        `conflicting use of resource section ${quote(name.text)}, first used in ${earlier.place.file}:${earlier.place.line}`,
        "rename or remove one of the two",
      );
      return;
    }
    if (this.#resources.length >= resourcesMax) return;
    const resource: ResourceDraft = {
      name: name.text,
      place: name,
      own: [],
      volumeOwn: [],
      common: {},
      hosts: [],
      volumes: new Set(),
      obstacles: [],
    };
    this.#resources.push(resource);
    if (!diskNameForm.test(name.text))
      resource.obstacles.push(
        `${quote(name.text)} can not be the name of a disk: use up to 63 letters, digits, dots, - and _`,
      );
    for (const inner of statement.block ?? []) this.#inner(inner, resource);
  }

  /** A statement of `common` (no resource) or of a resource. */
  #inner(statement: Statement, resource: ResourceDraft | undefined): void {
    const first = statement.words[0]?.text ?? "";
    const section = sectionNames.find((name) => name === first);
    if (section !== undefined && statement.block !== undefined) {
      this.#section(statement, section, resource === undefined ? this.#common : resource.own);
      return;
    }
    if (first === "protocol" && statement.block === undefined) {
      this.#option(statement, "net", resource === undefined ? this.#common : resource.own);
      return;
    }
    if (first === "proxy") {
      this.#row(
        statement,
        refused("drbd-proxy is not used: the hosts connect directly", "remove the proxy section"),
      );
      return;
    }
    if (resource === undefined) {
      this.#syntax(statement, "protocol | disk | net | startup | handlers | options | syncer");
      return;
    }
    this.#place(statement, resource);
  }

  /** What says where a resource is. */
  #place(statement: Statement, resource: ResourceDraft): void {
    const [first, ...names] = statement.words;
    const keyword = first?.text ?? "";
    switch (keyword) {
      case "on":
      case "_this_host":
      case "_remote_host":
        this.#host(statement, names, resource);
        return;
      case "volume":
        this.#volume(statement, resource, resource.common);
        return;
      case "floating":
        this.#obstacle(statement, resource, "floating hosts have no names to place a group by");
        return;
      case "stacked-on-top-of":
        this.#obstacle(
          statement,
          resource,
          "stacked resources are a third copy, which has no place here",
        );
        return;
      case "ignore-on":
        this.#row(statement, kept("the host takes no part"));
        return;
      case "connection":
      case "connection-mesh":
      case "path":
        this.#obstacle(statement, resource, `${keyword} is of DRBD 9, whose protocol this is not`);
        return;
      case "template-file":
      case "net-options":
      case "disk-options":
        this.#obstacle(statement, resource, `${keyword} is of DRBD 9`);
        return;
      default:
        this.#side(statement, resource, resource.common);
    }
  }

  #host(statement: Statement, names: readonly Token[], resource: ResourceDraft): void {
    const [name, ...more] = names;
    if (name === undefined || statement.block === undefined) {
      this.#syntax(statement, "on HOST { ... }");
      return;
    }
    if (more.length > 0)
      resource.obstacles.push(
        `one \`on\` section stands for several hosts (${printable(names.map((each) => each.text).join(" "), 80)})`,
      );
    const host = name.text.toLowerCase();
    const earlier = resource.hosts.find((each) => each.name === host);
    if (earlier !== undefined) {
      refuseSyntax(
        this.#report,
        name.file,
        name.line,
        `conflicting use of host section '${resource.name}: on ${printable(host, 63)}', first used in ${earlier.place.file}:${earlier.place.line}`,
        "rename or remove one of the two",
      );
      return;
    }
    const side: Side = {};
    resource.hosts.push({ name: host, side, place: name });
    for (const inner of statement.block) {
      const keyword = inner.words[0]?.text;
      if (keyword === "volume") this.#volume(inner, resource, side);
      else if (keyword === "options" && inner.block !== undefined)
        this.#section(inner, "options", resource.own);
      else if (keyword === "proxy")
        this.#row(
          inner,
          refused("drbd-proxy is not used: the hosts connect directly", "remove the proxy section"),
        );
      else if (keyword === "node-id")
        this.#obstacle(inner, resource, "node-id is of DRBD 9, whose protocol this is not");
      else this.#side(inner, resource, side);
    }
  }

  #volume(statement: Statement, resource: ResourceDraft, side: Side): void {
    const written = statement.words[1]?.text ?? "";
    const problem = rangeProblem("volume", written, { min: 0, max: 65_535 });
    if (problem !== undefined || statement.block === undefined || statement.words.length > 2) {
      this.#syntax(statement, "volume NUMBER { ... }", problem);
      return;
    }
    resource.volumes.add(Number(written));
    for (const inner of statement.block) {
      if (inner.words[0]?.text === "disk" && inner.block !== undefined)
        this.#section(inner, "disk", resource.volumeOwn);
      else this.#side(inner, resource, side);
    }
  }

  /** device, disk, meta-disk, address. */
  #side(statement: Statement, resource: ResourceDraft, side: Side): void {
    const [first, ...values] = statement.words;
    if (statement.block !== undefined) {
      this.#syntax(statement, "device | disk | meta-disk | address");
      return;
    }
    const text = values.map((value) => value.text);
    const read =
      first?.text === "device"
        ? readDevice(text, side)
        : first?.text === "disk"
          ? readBacking(text, side, resource)
          : first?.text === "meta-disk" || first?.text === "flexible-meta-disk"
            ? readMetaDisk(values, side)
            : first?.text === "address"
              ? readAddress(values, side, resource)
              : undefined;
    if (read === undefined)
      this.#syntax(
        statement,
        "protocol | on | disk | net | startup | handlers | device | meta-disk | address",
      );
    else this.#row(statement, read);
  }

  #section(statement: Statement, section: Section, into: Apply[]): void {
    for (const option of this.#blockOf(statement)) this.#option(option, section, into);
  }

  #option(statement: Statement, section: Section, into: Apply[]): void {
    const [first, ...values] = statement.words;
    const name = first?.text ?? "";
    if (statement.block !== undefined) {
      this.#syntax(statement, ";");
      return;
    }
    const read = readOption(
      section,
      name,
      values.map((value) => value.text),
    );
    if (read === undefined) {
      const reason = `Parse error: 'an option keyword' expected, but got ${quote(name)}${didYouMean(nearest(name, optionNames(section)))}`;
      this.#row(statement, {
        ...illegal(reason, `see the options of the section ${section}`),
        code: "BTN-IMPORT-DRBD-SYNTAX",
      });
      return;
    }
    const { apply } = read;
    if (apply !== undefined) into.push(apply);
    const ping =
      name === "ping-int" && read.verdict.error !== true
        ? pingRow(Number(values[0]?.text) * 1_000, this.#options.deadtimeMs)
        : undefined;
    this.#row(statement, ping === undefined ? read.verdict : { outcome: "changed", reason: ping });
  }

  #blockOf(statement: Statement): readonly Statement[] {
    if (statement.block !== undefined && statement.words.length === 1) return statement.block;
    this.#syntax(statement, "{");
    return [];
  }

  #obstacle(statement: Statement, resource: ResourceDraft, reason: string): void {
    resource.obstacles.push(reason);
    this.#row(statement, { outcome: "refused", reason });
  }

  #syntax(statement: Statement, expected: string, problem?: string): void {
    const got = statement.words[0]?.text ?? "";
    this.#row(statement, {
      ...illegal(
        problem ?? `Parse error: '${expected}' expected, but got ${quote(got)}`,
        "correct the line; `drbdadm -d dump` accepts what is right",
      ),
      code: "BTN-IMPORT-DRBD-SYNTAX",
    });
  }

  #row(statement: Statement, verdict: Verdict): void {
    const [first, ...rest] = statement.words;
    const secret = first?.text === "shared-secret";
    const text = secret
      ? "***"
      : rest
          .map((word) => word.text)
          .join(" ")
          .replaceAll(/ ?([[\]:]) ?/gu, "$1");
    record(
      this.#rows,
      this.#report,
      {
        file: statement.file,
        line: statement.line,
        directive: printable(first?.text ?? "", 40),
        text: printable(text, 120),
      },
      verdict.reason === "" ? { ...verdict, reason: "as written" } : verdict,
    );
  }

  #finish(resource: ResourceDraft): readonly DiskSpec[] {
    const { hosts } = this.#options;
    const names = resource.hosts.map((host) => host.name);
    if (resource.volumes.size > 1)
      resource.obstacles.push(
        `it has ${resource.volumes.size} volumes; one volume for each disk: make a resource of its own for each, with a port of its own`,
      );
    if (resource.obstacles.length === 0 && names.length !== 2)
      resource.obstacles.push(`it is on ${names.length} hosts, and a disk is kept on exactly two`);
    const strangers = names.filter((name) => hosts !== undefined && !hosts.includes(name));
    if (resource.obstacles.length === 0 && strangers.length > 0)
      resource.obstacles.push(
        `${strangers.map((name) => printable(name, 63)).join(" and ")} is not a data host of this cluster`,
      );
    const draft = this.#draftOf(resource);
    const [first, second] = resource.hosts;
    const sides =
      first === undefined || second === undefined || resource.obstacles.length > 0
        ? undefined
        : [this.#sideOf(resource, first), this.#sideOf(resource, second)];
    const [one, two] = sides ?? [];
    const row = {
      file: resource.place.file,
      line: resource.place.line,
      directive: "resource",
      text: printable(resource.name, 120),
    };
    if (one === undefined || two === undefined) {
      const [why] = resource.obstacles;
      if (why !== undefined) {
        record(this.#rows, this.#report, row, {
          ...refused(
            `resource ${quote(resource.name)} is not carried over: ${why}`,
            "go on using DRBD for it, or rewrite it",
          ),
          code: "BTN-IMPORT-DRBD-UNSUPPORTED",
          consequence: "Baton does not hold this disk",
        });
      }
      return [];
    }
    const net = this.#netOf(draft, resource, [one, two]);
    record(this.#rows, this.#report, row, kept(`becomes the disk ${resource.name}`));
    return [
      {
        name: resource.name,
        volume: [...resource.volumes][0] ?? 0,
        hosts: [one, two],
        net,
        disk: { ...draft.disk, resync: draft.resync },
        onNoDataAccessible: draft.onNoDataAccessible,
        startup: {
          ...draft.startup,
          becomePrimaryOn: draft.bothPrimary ? [one.host, two.host] : draft.startup.becomePrimaryOn,
        },
        handlers: draft.handlers,
      },
    ];
  }

  #draftOf(resource: ResourceDraft): DrbdDraft {
    const { resync, ...disk } = defaultLocalDisk("classic");
    const draft: DrbdDraft = {
      deadtimeMs: this.#options.deadtimeMs,
      net: { ...defaultNet("classic", this.#options.deadtimeMs) },
      disk: { ...disk },
      resync: { ...resync },
      startup: { ...defaultStartup },
      handlers: {},
      onNoDataAccessible: "io-error",
      authenticationAlgorithm: undefined,
      hasSecret: false,
      victim: undefined,
      bothPrimary: false,
    };
    for (const apply of [...this.#common, ...resource.own, ...resource.volumeOwn]) apply(draft);
    return draft;
  }

  /** What needs both hosts: the victim by name, and the secret. */
  #netOf(
    draft: DrbdDraft,
    resource: ResourceDraft,
    [one, two]: readonly [DiskHost, DiskHost],
  ): NetOptions {
    const { victim, authenticationAlgorithm: written, hasSecret } = draft;
    const { file, line } = resource.place;
    const refuse = (reason: string, fix: string): void =>
      this.#report.error(file, line, "BTN-IMPORT-ILLEGAL", {
        message: `Resource ${resource.name}: ${reason}`,
        consequence: "the connection would be refused",
        fix,
      });
    if (victim !== undefined && victim !== one.host && victim !== two.host)
      refuse(
        `discard-node-${printable(victim, 63)} names neither of its hosts`,
        `use discard-node-${one.host} or discard-node-${two.host}`,
      );
    const policy =
      victim === undefined
        ? draft.net.afterSplitBrain0Primaries
        : victim === one.host
          ? "discard-local"
          : "discard-remote";
    if (written === undefined || written === "")
      return { ...draft.net, afterSplitBrain0Primaries: policy };
    const plain = written.replace(/^hmac\((.+)\)$/u, "$1");
    const algorithm = digestNames.find((name) => name === plain);
    if (!hasSecret)
      refuse("cram-hmac-alg without shared-secret", "add shared-secret, the same on both hosts");
    if (algorithm === undefined || algorithm === "crc32c") {
      refuse(
        `cram-hmac-alg ${quote(written)} is not one of md5, sha1, sha256, sha512`,
        "use sha1, which every kernel has, on both hosts",
      );
      return draft.net;
    }
    const secretFile = `${drbdConfSecret}${this.#file.file}#${resource.name}`;
    return {
      ...draft.net,
      afterSplitBrain0Primaries: policy,
      authentication: { algorithm, secretFile },
    };
  }

  /** One host's side; host-level values override those of the resource (drbd.md 9.2). */
  #sideOf(resource: ResourceDraft, host: ResourceDraft["hosts"][number]): DiskHost | undefined {
    const { device, backing, metadata, address } = { ...resource.common, ...host.side };
    const missing = Object.entries({ device, disk: backing, "meta-disk": metadata, address })
      .filter(([, value]) => value === undefined)
      .map(([keyword]) => keyword);
    for (const keyword of missing) {
      refuseSyntax(
        this.#report,
        host.place.file,
        host.place.line,
        `in resource ${printable(resource.name, 63)}, on ${printable(host.name, 63)} { ... }: '${keyword}' keyword missing.`,
        `add \`${keyword} ...;\``,
      );
    }
    if (
      device === undefined ||
      backing === undefined ||
      metadata === undefined ||
      address === undefined
    )
      return undefined;
    return { host: host.name, backing, metadata, ...address, minor: device.minor };
  }
}

/** File by file, as they were met, and by line. */
function inOrder(rows: readonly ImportRow[]): readonly ImportRow[] {
  const files = [...new Set(rows.map((row) => row.file))];
  return rows.toSorted(
    (left, right) =>
      files.indexOf(left.file) - files.indexOf(right.file) || (left.line ?? 0) - (right.line ?? 0),
  );
}

const syntax = (reason: string, fix: string): Verdict => ({
  ...illegal(reason, fix),
  code: "BTN-IMPORT-DRBD-SYNTAX",
});

/** `device /dev/drbd0;`, `device /dev/drbd_data minor 5;`, `device minor 5;`. */
function readDevice(words: readonly string[], side: Side): Verdict {
  const [first = "", ...rest] = words;
  const named = first === "minor" ? undefined : first.replace(/^\/dev\//u, "");
  const tail = named === undefined ? words : rest;
  const written = tail[0] === "minor" ? (tail[1] ?? "") : undefined;
  const fromName = /^drbd([0-9]{1,7})$/u.exec(named ?? "")?.[1];
  if (tail.length > (written === undefined ? 0 : 2))
    return syntax("Parse error: ';' expected after the device", "write `device /dev/drbd0;`");
  if (written === undefined && fromName === undefined)
    return syntax(
      "no minor given nor device name contains a minor number",
      "write `device /dev/drbd0;`",
    );
  const number = written ?? fromName ?? "";
  const problem = rangeProblem("minor", number, { min: 0, max: 1_048_575 });
  if (problem !== undefined)
    return { ...syntax(problem, "write a small number"), code: "BTN-IMPORT-DRBD-RANGE" };
  const bad = named !== undefined && fromName === undefined && !named.startsWith("drbd_");
  const other = fromName !== undefined && Number(fromName) !== Number(number);
  if (bad || other)
    return syntax(
      other
        ? "explicit minor number must match with device name"
        : "Arbitrary device names must start with /dev/drbd_",
      `write \`device /dev/drbd${number};\``,
    );
  side.device = { minor: Number(number) };
  return kept("");
}

function readBacking(words: readonly string[], side: Side, resource: ResourceDraft): Verdict {
  const [path, ...more] = words;
  if (path === undefined || more.length > 0)
    return syntax("Parse error: one device expected after disk", "write `disk /dev/sdb1;`");
  if (path === "none") {
    resource.obstacles.push("a host without a disk of its own (disk none) is of DRBD 9");
    return { outcome: "refused", reason: "hosts without a disk are of DRBD 9" };
  }
  // A relative name is taken below /dev by what opens it there.
  side.backing = path.startsWith("/") ? path : `/dev/${path}`;
  return path.startsWith("/")
    ? kept("")
    : { outcome: "changed", reason: `written as /dev/${path}` };
}

/** `internal`, `/dev/x`, `/dev/x[1]`. */
function readMetaDisk(values: readonly Token[], side: Side): Verdict {
  const [device, open, index, close, ...more] = values;
  const path = device?.text ?? "";
  if (path === "internal" && open === undefined) {
    side.metadata = { kind: "internal" };
    return kept("");
  }
  if (path === "" || path === "internal" || more.length > 0)
    return syntax(
      "Parse error: internal or a device expected after meta-disk",
      "write `meta-disk internal;`",
    );
  if (open === undefined) {
    side.metadata = { kind: "external", device: path };
    return kept("");
  }
  const problem = rangeProblem("meta-disk index", index?.text ?? "", { min: 0, max: 255 });
  if (open.kind !== "[" || close?.kind !== "]" || problem !== undefined)
    return syntax(
      problem ?? "Parse error: [INDEX] expected after the device",
      "write `meta-disk /dev/sdc1[0];`",
    );
  side.metadata = { kind: "indexed", device: path, index: Number(index?.text) };
  return kept("");
}

const families = ["ipv4", "ipv6", "ssocks", "sci", "sdp"];

/** `192.168.1.157:7788`, `ipv6 [fd00::157]:7788`. */
function readAddress(values: readonly Token[], side: Side, resource: ResourceDraft): Verdict {
  const family = families.find((each) => each === values[0]?.text);
  const text = values
    .slice(family === undefined ? 0 : 1)
    .map((value) => value.text)
    .join("");
  if (family !== undefined && !family.startsWith("ip")) {
    resource.obstacles.push(`address family ${family} is not TCP`);
    return { outcome: "refused", reason: `address family ${family} is not TCP` };
  }
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,10})$/u.exec(text);
  const address = match?.[1] ?? match?.[2] ?? "";
  const port = match?.[3] ?? "";
  if (addressFamily(address) === undefined || isUnusable(address))
    return syntax(
      `${quote(text)} is not an address and a port`,
      "write `address 192.168.1.157:7788;`",
    );
  const problem = rangeProblem("port", port, { min: 1, max: 65_535 });
  if (problem !== undefined)
    return { ...syntax(problem, "write a port"), code: "BTN-IMPORT-DRBD-RANGE" };
  side.address = { address, port: Number(port) };
  return kept("");
}

/**
 * The shared secret that holds for a resource, and the file that holds it: the resource's own, else that of `common`.
 * For the process that needs it; the configuration never has it.
 */
export function drbdSecret(
  file: ClassicFile,
  around: { readonly load: IncludeLoader; readonly report: Report },
  resource: string,
): { readonly secret: string; readonly file: string } | undefined {
  const statements = parseDrbd(file, around.load, around.report);
  let found: { readonly secret: string; readonly file: string } | undefined;
  const look = (owner: Statement): void => {
    for (const section of owner.block ?? []) {
      if (section.words[0]?.text !== "net") continue;
      for (const option of section.block ?? []) {
        const [name, value] = option.words;
        if (name?.text === "shared-secret" && value !== undefined)
          found = { secret: value.text, file: value.file };
      }
    }
  };
  for (const statement of statements) if (statement.words[0]?.text === "common") look(statement);
  for (const statement of statements) {
    if (statement.words[0]?.text === "resource" && statement.words[1]?.text === resource)
      look(statement);
  }
  return found;
}
