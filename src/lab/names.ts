/** Where a lab keeps its things, and what it calls them. Everything that it makes can be found by these names. */
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { LabError } from "./errors.ts";

export const defaultLabDirectory = "/var/lib/baton-lab";

export interface LabNames {
  readonly lab: string;
  /** All labs below it; `$BATON_LAB_DIR`. */
  readonly base: string;
  /** Of this lab alone; `down` removes it. */
  readonly directory: string;
  readonly stateFile: string;
  readonly lockFile: string;
  /** Name of the freezer cgroup; each host has one below it. */
  readonly cgroup: string;
  /** `NAME=value` in the environment of each process that the lab starts. */
  readonly mark: { readonly name: string; readonly value: string };
}

/**
 * @param lab letters, digits, `-` and `_`; at most 32 characters
 * @param base the directory for all labs
 * @throws {LabError} if the name can not be used
 */
export function labNames(lab: string, base = defaultLabDirectory): LabNames {
  if (!/^[a-z0-9][a-z0-9_-]{0,31}$/i.test(lab)) {
    throw new LabError(2, {
      code: "BTN-LAB-USAGE",
      message: `Cannot name a lab "${lab}"`,
      fix: "Use 1 to 32 letters, digits, - and _, beginning with a letter or digit",
    });
  }
  const root = resolve(base);
  const directory = join(root, lab);
  return {
    lab,
    base: root,
    directory,
    stateFile: join(directory, "state.json"),
    lockFile: join(root, `${lab}.lock`),
    cgroup: `baton-lab-${lab}${root === defaultLabDirectory ? "" : `-${shortHash(root)}`}`,
    mark: { name: "BATON_LAB_MARK", value: directory },
  };
}

/** Labs in other directories may have the same name: their cgroups must not meet. */
function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}

export type ImageName = "database" | "claim" | `disk-${string}` | `data-${string}`;

/** The file behind a loop device. */
export function imagePath(names: LabNames, image: ImageName): string {
  return join(names.directory, "images", `${image}.img`);
}

/** What a host's /etc and /var begin as. */
export function treePath(names: LabNames, host: string): string {
  return join(names.directory, "trees", host);
}

/** Where the boot script of a host writes before its own log exists. */
export function bootLogPath(names: LabNames, host: string): string {
  return join(names.directory, `${host}.log`);
}

/** The password of the client's account; mode 0600. */
export function clientPasswordPath(names: LabNames): string {
  return join(names.directory, "client.password");
}
