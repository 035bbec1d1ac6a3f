/** `baton import`: finds the classic files among what was named and reads them. */
import { stat } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { basename, dirname, resolve } from "node:path";
import { classicSurroundings, ownName, readClassicFile, readDrbdFile } from "./config.shell.ts";
import { loadIncludes } from "./drbd.shell.ts";
import { Report } from "./findings.ts";
import type { ClassicFile } from "./legacy/classic.ts";
import { type ImportOutcome, importClassic } from "./legacy/import.ts";

const kinds = ["ha.cf", "authkeys", "haresources", "drbd.conf"] as const;
const usualDirectory = "/etc/ha.d";
type Kind = (typeof kinds)[number];

export interface ImportRequest {
  /** Files, or directories that hold them. */
  readonly paths: readonly string[];
  /** Where files that are not named are looked for, and where the scripts will be. */
  readonly haDir?: string | undefined;
  /** A drbd.conf; default: where drbdadm has it, if /etc/ha.d is imported and haresources names drbddisk. */
  readonly drbdConf?: string | undefined;
  readonly insecure?: boolean | undefined;
}

/** Imports the files named; those of the three that are not named are taken from beside the first. */
export async function importFiles(request: ImportRequest): Promise<ImportOutcome> {
  const report = new Report();
  const paths = new Map<Kind, string>();
  for (const path of request.paths) await place(path, paths, report);
  if (request.drbdConf !== undefined) paths.set("drbd.conf", resolve(request.drbdConf));
  const beside =
    request.haDir ?? dirname([...paths].find(([kind]) => kind !== "drbd.conf")?.[1] ?? "");
  const read: Partial<Record<Kind, ClassicFile>> = {};
  for (const kind of kinds) {
    if (kind === "drbd.conf") continue;
    const path = paths.get(kind) ?? (beside === undefined ? undefined : resolve(beside, kind));
    if (path === undefined) continue;
    const { file, findings } = await readClassicFile(path, kind === "authkeys");
    report.take(findings);
    if (file !== undefined) read[kind] = file;
  }
  // Files copied from elsewhere say nothing of this machine's drbd.conf.
  const own = resolve(beside) === usualDirectory ? read.haresources : undefined;
  const drbd = await readDrbdFile(paths.get("drbd.conf"), own);
  report.take(drbd.findings);
  // Files copied elsewhere for the import: their scripts stay where Heartbeat has them.
  const directory = request.haDir === undefined ? usualDirectory : resolve(request.haDir);
  const files = {
    directory,
    haCf: read["ha.cf"],
    authkeys: read.authkeys,
    haresources: read.haresources,
    drbdConf: drbd.file,
  };
  const member = await ownName(directory);
  const surroundings = await classicSurroundings(files);
  const outcome = importClassic(files, {
    ...surroundings,
    localAddresses: localAddresses(),
    insecure: request.insecure,
    includes: loadIncludes,
    ...(isNode(files.haCf?.text ?? "", member) ? { self: member } : {}),
  });
  const told = new Set(report.list().map((finding) => basename(finding.file)));
  report.take(
    outcome.findings.filter(
      (each) => each.code !== "BTN-CONFIG-UNREADABLE" || !told.has(basename(each.file)),
    ),
  );
  return { ...outcome, yaml: report.refused ? undefined : outcome.yaml, findings: report.list() };
}

/** An import may be made anywhere: this machine counts only if the file names it. */
function isNode(text: string, name: string): boolean {
  return text.split("\n").some((line) => {
    const [directive, ...nodes] = (line.split("#", 1)[0] ?? "")
      .trim()
      .toLowerCase()
      .split(/[\s,]+/u);
    return directive === "node" && nodes.includes(name);
  });
}

async function place(path: string, paths: Map<Kind, string>, report: Report): Promise<void> {
  const absolute = resolve(path);
  const status = await stat(absolute).catch(() => undefined); // Missing: told when it is read.
  if (status?.isDirectory() === true) {
    for (const kind of kinds) if (kind !== "drbd.conf") paths.set(kind, resolve(absolute, kind));
    return;
  }
  const name = basename(absolute);
  const kind = kinds.find((each) => name === each) ?? kinds.find((each) => name.includes(each));
  if (kind === undefined || paths.has(kind)) {
    report.error(path, undefined, "BTN-CONFIG-VALUE", {
      message:
        kind === undefined
          ? `Cannot tell what ${name} is`
          : `There are two files of the kind ${kind}`,
      consequence: "nothing is imported",
      fix: "name one each of ha.cf, authkeys, haresources and drbd.conf, or the directory that holds the first three",
    });
    return;
  }
  paths.set(kind, absolute);
}

function localAddresses(): Readonly<Record<string, readonly string[]>> {
  const entries = Object.entries(networkInterfaces());
  return Object.fromEntries(
    entries.map(([device, list]) => [device, (list ?? []).map((each) => each.address)]),
  );
}
