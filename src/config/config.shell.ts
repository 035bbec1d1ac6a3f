/** The files behind a configuration: reads them, resolves names, looks for scripts. Decides nothing. */
import { scryptSync } from "node:crypto";
import { lookup } from "node:dns/promises";
import { readdir, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import type { BatonError } from "../base/index.ts";
import type { DiskSpec } from "../replication/index.ts";
import { diskSeenBy } from "./disk-defaults.ts";
import { findDrbdConf, loadIncludes, secretAdvice } from "./drbd.shell.ts";
import { readSmallFile } from "./files.shell.ts";
import { Report } from "./findings.ts";
import {
  type ClassicFile,
  type ClassicFiles,
  type ClassicOptions,
  type ClassicOutcome,
  classicToConfig,
} from "./legacy/classic.ts";
import { namesDrbdDisk } from "./legacy/classic-disks.ts";
import { readDrbdConf } from "./legacy/drbd-conf.ts";
import { parseHaCf } from "./legacy/ha-cf.ts";
import type { Finding } from "./model.ts";
import {
  type ConfigOutcome,
  configForHost,
  type NativeOptions,
  parseClusterYaml,
} from "./native.ts";
import { classicSearchPath } from "./resource-defaults.ts";
import { authkeysProblem } from "./secret.shell.ts";
import { profileTiming } from "./timing.ts";
import { configBytesMax } from "./yaml-tree.ts";

export { loadDiskSecret, loadSecret } from "./secret.shell.ts";

/** A resolver that does not answer within this time is taken to know nothing. */
const resolveMs = 5_000;
/** More names than this in one ha.cf are not a cluster. */
const namesMax = 64;

/**
 * Reads a cluster.yaml. Without `self`, this machine's name is used to leave its own addresses out of
 * the links if it is a member; with `self`, it must be one.
 */
export async function loadNative(
  path: string,
  options: NativeOptions = {},
): Promise<ConfigOutcome> {
  const read = await readSmallFile(path, configBytesMax);
  if (!read.ok) return { ok: false, findings: [toFinding(read.error, path)] };
  const outcome = parseClusterYaml(read.value.bytes.toString("utf8"), path, options);
  if (!outcome.ok || options.self !== undefined) return outcome;
  const own = hostname().toLowerCase();
  const member = outcome.config.hosts.some((host) => host.name === own);
  return member ? { ...outcome, config: configForHost(outcome.config, own) } : outcome;
}

export interface ClassicLoadOptions extends Pick<ClassicOptions, "self" | "insecure"> {
  /** Where scripts are looked for; default: DIR/resource.d, then /etc/init.d. */
  readonly searchPath?: readonly string[] | undefined;
  /** False: do not check that this machine is a node. Default true. */
  readonly checkSelf?: boolean | undefined;
  /** A drbd.conf; default: where drbdadm has it, if haresources names drbddisk. */
  readonly drbdConf?: string | undefined;
}

/** What `loadClassic` gives: a `ConfigOutcome` with the table of directives. */
export type ClassicLoadOutcome = ConfigOutcome & Pick<ClassicOutcome, "rows">;

/** Reads ha.cf, authkeys and haresources of a directory, to run straight from them (`--ha-dir`). */
export async function loadClassic(
  directory: string,
  options: ClassicLoadOptions = {},
): Promise<ClassicLoadOutcome> {
  const { files: three, findings: missing } = await readClassicDirectory(directory);
  const drbd = await readDrbdFile(options.drbdConf, three.haresources);
  const files = { ...three, drbdConf: drbd.file };
  const findings = [...missing, ...drbd.findings];
  const self =
    options.self ?? (options.checkSelf === false ? undefined : await ownName(files.directory));
  const searchPath = options.searchPath ?? [join(files.directory, "resource.d"), "/etc/init.d"];
  const outcome = classicToConfig(files, {
    ...(await classicSurroundings(files)),
    self,
    insecure: options.insecure,
    mode: "run",
    searchPath,
    includes: loadIncludes,
    scriptsFound: await findScripts(searchPath),
  });
  const report = new Report();
  report.take(findings);
  // A file that could not be read is told once, with the reason.
  const told = new Set(findings.map((finding) => finding.file));
  report.take(
    outcome.findings.filter(
      (each) => each.code !== "BTN-CONFIG-UNREADABLE" || !told.has(each.file),
    ),
  );
  const { config, rows } = outcome;
  if (config !== undefined) report.take(secretAdvice(config));
  if (config === undefined || report.refused) return { ok: false, findings: report.list(), rows };
  return { ok: true, config, findings: report.list(), rows };
}

/** The drbd.conf that was named, or drbdadm's own if haresources names drbddisk. */
export async function readDrbdFile(
  named: string | undefined,
  haresources: ClassicFile | undefined,
): Promise<{ readonly file: ClassicFile | undefined; readonly findings: readonly Finding[] }> {
  const path = named ?? (namesDrbdDisk(haresources?.text ?? "") ? findDrbdConf() : undefined);
  return path === undefined
    ? { file: undefined, findings: [] }
    : await readClassicFile(resolve(path), false);
}

/** The disks of a drbd.conf. */
export type DrbdLoadOutcome =
  | {
      readonly ok: true;
      readonly disks: readonly DiskSpec[];
      readonly findings: readonly Finding[];
    }
  | { readonly ok: false; readonly findings: readonly Finding[] };

/**
 * Reads a drbd.conf alone, without a cluster: timers that follow deadtime take the classic profile's.
 * @param self puts this host's side first
 */
export async function loadDrbdConf(
  path: string,
  self: string = hostname(),
): Promise<DrbdLoadOutcome> {
  const { file, findings } = await readClassicFile(resolve(path), false);
  if (file === undefined) return { ok: false, findings };
  const read = readDrbdConf(file, {
    load: loadIncludes,
    deadtimeMs: profileTiming("chapter").deadtimeMs,
  });
  const refused = read.findings.some((finding) => finding.severity === "error");
  if (refused) return { ok: false, findings: read.findings };
  const disks = read.disks.map((disk) => diskSeenBy(disk, self.toLowerCase()));
  return { ok: true, disks, findings: read.findings };
}

/** The three files as text. A missing file is undefined; an unreadable one is a finding as well. */
export async function readClassicDirectory(
  directory: string,
): Promise<{ readonly files: ClassicFiles; readonly findings: readonly Finding[] }> {
  const absolute = resolve(directory);
  const findings: Finding[] = [];
  const read = async (name: string): Promise<ClassicFile | undefined> => {
    const result = await readClassicFile(join(absolute, name), name === "authkeys");
    findings.push(...result.findings);
    return result.file;
  };
  const files = {
    directory: absolute,
    haCf: await read("ha.cf"),
    authkeys: await read("authkeys"),
    haresources: await read("haresources"),
  };
  return { files, findings };
}

/** One classic file; authkeys is decoded byte for byte and its permissions are checked. */
export async function readClassicFile(
  path: string,
  isAuthkeys: boolean,
): Promise<{ readonly file: ClassicFile | undefined; readonly findings: readonly Finding[] }> {
  const read = await readSmallFile(path, configBytesMax);
  if (!read.ok) return { file: undefined, findings: [toFinding(read.error, path)] };
  const problem = isAuthkeys ? authkeysProblem(path, read.value) : undefined;
  const text = read.value.bytes.toString(isAuthkeys ? "latin1" : "utf8");
  return {
    file: { file: path, text },
    findings: problem === undefined ? [] : [toFinding(problem, path)],
  };
}

/** What the machine knows: port of ha-cluster, addresses of names, the digest for the cluster id. */
export async function classicSurroundings(
  files: ClassicFiles,
): Promise<Pick<ClassicOptions, "defaultPort" | "resolved" | "digest">> {
  const names = [...parseHaCf(files.haCf?.text ?? "", "ha.cf").draft.namesMet].slice(0, namesMax);
  return {
    defaultPort: await servicePort(),
    resolved: await resolveNames(names),
    digest: clusterDigest,
  };
}

/** This machine's name for heartbeat: first line of nodeinfo if it ends in a newline, else `uname -n`; lower case. */
export async function ownName(directory: string): Promise<string> {
  const read = await readSmallFile(join(directory, "nodeinfo"), 4_096);
  const text = read.ok ? read.value.bytes.toString("utf8") : "";
  const first = text.includes("\n") ? (text.split("\n", 1)[0] ?? "").trim() : "";
  return (first === "" ? hostname() : first).toLowerCase();
}

/** Names of the regular executable files in the directories. */
export async function findScripts(
  searchPath: readonly string[] = classicSearchPath,
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const directory of searchPath) {
    const names = await readdir(directory).catch(() => []); // Not there: nothing to find in it.
    for (const name of names) {
      const status = await stat(join(directory, name)).catch(() => undefined); // A dangling link is no script.
      if (status?.isFile() === true && (status.mode & 0o111) !== 0) found.add(name);
    }
  }
  return found;
}

/** Slow on purpose: the id is shown in status, and the key it was made from may be a weak word. */
export function clusterDigest(text: string): string {
  return scryptSync(text, "baton cluster id", 16, { N: 4_096 }).toString("hex");
}

async function servicePort(): Promise<number | undefined> {
  const read = await readSmallFile("/etc/services", configBytesMax);
  const match = read.ok
    ? /^ha-cluster\s+([0-9]{1,5})\/udp\b/mu.exec(read.value.bytes.toString("utf8"))
    : null;
  return match === null ? undefined : Number(match[1]);
}

async function resolveNames(names: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const resolved: Record<string, string> = {};
  const late = new Promise<undefined>((done) => {
    setTimeout(() => done(undefined), resolveMs).unref();
  });
  await Promise.all(
    names.map(async (name) => {
      const asked = lookup(name, { verbatim: false }).catch(() => undefined); // Unknown: told by the parser.
      const answer = await Promise.race([asked, late]);
      if (answer !== undefined) resolved[name] = answer.address;
    }),
  );
  return resolved;
}

function toFinding(error: BatonError, file: string): Finding {
  return {
    severity: "error",
    code: error.code,
    file,
    line: undefined,
    message: error.message,
    consequence: error.consequence,
    fix: error.fix,
  };
}
