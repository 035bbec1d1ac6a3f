/** Reads drbd.conf and what it includes, and the secret in it. Decides nothing. */
import { globSync, readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { BatonError, fail, ok, type Result } from "../base/index.ts";
import { Report } from "./findings.ts";
import type { ClassicFile } from "./legacy/classic.ts";
import { drbdSecret } from "./legacy/drbd-conf.ts";
import type { IncludeLoader } from "./legacy/drbd-parser.ts";
import type { ClusterConfig, Finding } from "./model.ts";
import { drbdConfSecret } from "./native-disks.ts";
import { configBytesMax } from "./yaml-tree.ts";

/** drbd.md 9.1: where drbdadm looks, in order. */
export const drbdConfPaths: readonly string[] = [
  "/etc/drbd-84.conf",
  "/etc/drbd-83.conf",
  "/etc/drbd-08.conf",
  "/etc/drbd.conf",
];

/** The first of drbdadm's places that exists; undefined: none does. */
export function findDrbdConf(): string | undefined {
  return drbdConfPaths.find((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true);
}

/** Reads includes as drbdadm does: relative to the including file, in the order of their names. */
export const loadIncludes: IncludeLoader = (pattern, from) => {
  const path = resolve(dirname(from), pattern);
  if (!/[*?[\]]/u.test(pattern)) {
    const file = readInclude(path);
    return file === undefined ? undefined : [file];
  }
  try {
    return globSync(path)
      .toSorted()
      .slice(0, 1_000)
      .flatMap((each) => readInclude(each) ?? []);
  } catch {
    return []; // A pattern that can not be read matches nothing.
  }
};

/** A regular file of moderate size; undefined: it can not be read. */
function readInclude(path: string): ClassicFile | undefined {
  try {
    const { size } = statSync(path);
    if (!statSync(path).isFile() || size > configBytesMax) return undefined;
    return { file: path, text: readFileSync(path, "utf8") };
  } catch {
    return undefined; // Told by the parser, with the line that names it.
  }
}

/** The secret of a resource in a drbd.conf, named as `drbd.conf:FILE#RESOURCE`. */
export function secretOfDrbdConf(name: string): Result<Uint8Array> {
  const found = secretIn(name);
  if (found === undefined)
    return fail(secretError(`There is no shared-secret in ${name.slice(drbdConfSecret.length)}`));
  return ok(Buffer.from(found.secret, "utf8"));
}

/** Advice on a secret that everybody may read: the original does not mind. */
export function secretAdvice(config: ClusterConfig): readonly Finding[] {
  return config.disks.flatMap(({ name, net }): readonly Finding[] => {
    const secretFile = net.authentication?.secretFile ?? "";
    if (!secretFile.startsWith(drbdConfSecret)) return [];
    const found = secretIn(secretFile);
    const mode = found === undefined ? 0 : statSync(found.file).mode & 0o777;
    if (found === undefined || (mode & 0o044) === 0) return [];
    return [
      {
        severity: "advice",
        code: "BTN-CONFIG-SECRET",
        file: found.file,
        line: undefined,
        message: `The secret of disk ${name} can be read by everybody (mode ${mode.toString(8)})`,
        consequence: "whoever has it can pretend to be the peer",
        fix: `chmod 600 ${found.file}`,
      },
    ];
  });
}

function secretIn(name: string): ReturnType<typeof drbdSecret> {
  const [path = "", resource = ""] = name.slice(drbdConfSecret.length).split("#");
  const file = readInclude(path);
  return file === undefined
    ? undefined
    : drbdSecret(file, { load: loadIncludes, report: new Report() }, resource);
}

function secretError(message: string): BatonError {
  return new BatonError({
    code: "BTN-CONFIG-SECRET",
    message,
    consequence: "Without the secret the peer refuses the connection, so none is made",
    fix: "write shared-secret into the resource, the same on both hosts",
  });
}
