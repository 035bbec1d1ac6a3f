/** What the lab needs of the machine. None of these packages starts a service (DESIGN 7.9). */
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { LabError } from "./errors.ts";

/** Each program that the lab runs, and Debian's package that brings it. */
export const labPrograms = {
  ip: "iproute2",
  nft: "nftables",
  tini: "tini",
  "mkfs.ext4": "e2fsprogs",
  unshare: "util-linux",
  nsenter: "util-linux",
  setpriv: "util-linux",
  mount: "mount",
  losetup: "mount",
  ping: "iputils-ping",
  mariadbd: "mariadb-server-core",
  "mariadb-install-db": "mariadb-server-core",
  mariadb: "mariadb-client-core",
} as const satisfies Record<string, string>;

/** Debian packages, sorted, each once. */
export const labPackages: readonly string[] = [...new Set(Object.values(labPrograms))].sort();

/** Where programs are looked for, whatever the caller's PATH says. */
export const programPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** @throws {LabError} naming what is missing and how to get it */
export function requirePrograms(): void {
  const missing = Object.entries(labPrograms).filter(([program]) => !isInstalled(program));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(([, name]) => name))].join(" ");
  throw new LabError(2, {
    code: "BTN-LAB-PACKAGES",
    message: `Cannot build the lab without ${missing.map(([program]) => program).join(", ")}`,
    fix: `apt-get install --no-install-recommends ${packages}`,
  });
}

function isInstalled(program: string): boolean {
  return programPath.split(":").some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false; // not in this directory
    }
  });
}

/** @throws {LabError} unless this process is root */
export function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new LabError(2, {
    code: "BTN-LAB-NOT-ROOT",
    message: "Cannot work on a lab without being root",
    fix: "Run the same command as root (sudo)",
  });
}
