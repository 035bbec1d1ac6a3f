// Set-up without a question: Debian packages, npm ci, the pinned Node. Plain JavaScript without
// dependencies: it runs under the host's Node 20 on a clean clone, before anything of ours is there.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const stampFile = join(root, "node_modules", ".baton-setup");

/** Debian packages by what they are for. None of these starts a service (DESIGN 7.9). */
export const packageSets = {
  // The pinned Node needs libatomic1, which Debian does not install by default.
  base: ["libatomic1"],
  lab: [
    "iproute2",
    "nftables",
    "tini",
    "e2fsprogs",
    "util-linux",
    "procps",
    "iputils-ping",
    "mariadb-server-core",
    "mariadb-client-core",
  ],
  // The real peers of the interop tests, and drbdmeta as the judge of our metadata; installed with a policy that
  // starts nothing.
  interop: ["heartbeat", "cluster-glue", "resource-agents", "tcpdump", "drbd-utils"],
  // What writes to a disk of ours and judges what comes back.
  disk: ["fio", "xfsprogs"],
  // What boots the kernel's own DRBD as a peer; the guest's packages are downloaded, never installed.
  kernel: ["qemu-system-x86", "busybox-static", "kmod", "cpio", "lz4", "tcpdump", "drbd-utils"],
};

/** The pinned Node's path, whether it is there or not. */
export function pinnedNode() {
  return join(root, "node_modules", `node-${process.platform}-${process.arch}`, "bin", "node");
}

/**
 * Brings the checkout to where it can run. Prints to stderr only if there is something to do.
 * @param {readonly (keyof typeof packageSets)[]} sets
 * @throws {Error} with what is missing and how to get it
 */
export function ensureSetup(sets) {
  ensurePackages(sets.flatMap((set) => packageSets[set]));
  ensureModules();
}

function ensurePackages(wanted) {
  if (!existsSync("/usr/bin/dpkg-query")) {
    if (wanted.every((name) => name === "libatomic1")) return; // Node itself will complain if it must.
    throw new Error(
      `This is not a Debian system, so packages can not be installed for you. Needed (Debian's names): ${wanted.join(" ")}`,
    );
  }
  const missing = missingPackages(wanted);
  if (missing.length === 0) return;
  const command = `apt-get install --no-install-recommends ${missing.join(" ")}`;
  if (process.getuid?.() !== 0) {
    throw new Error(`These Debian packages are missing: ${missing.join(" ")}. As root: ${command}`);
  }
  say(`installing Debian packages: ${missing.join(" ")}`);
  withoutServices(() => {
    const first = apt(missing);
    if (first.status === 0) return;
    say("refreshing the package lists, then once more");
    const update = spawnSync("apt-get", ["update", "-q"], { encoding: "utf8", timeout: 300_000 });
    const second = apt(missing);
    if (second.status !== 0) {
      throw new Error(
        `Cannot install ${missing.join(" ")}. apt-get said:\n${update.stderr}${second.stderr}\nTry: apt-get update && ${command}`,
      );
    }
  });
}

function missingPackages(wanted) {
  const asked = spawnSync(
    "dpkg-query",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the format language of dpkg-query
    ["-W", "-f", "${Package} ${db:Status-Status}\n", ...wanted],
    { encoding: "utf8" },
  );
  const installed = new Set(
    asked.stdout
      .split("\n")
      .filter((line) => line.endsWith(" installed"))
      .map((line) => line.split(" ")[0]),
  );
  return wanted.filter((name) => !installed.has(name));
}

function apt(packages) {
  return spawnSync("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...packages], {
    encoding: "utf8",
    timeout: 600_000,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
}

/** Debian asks /usr/sbin/policy-rc.d before it starts a service: ours answers "no" meanwhile. */
function withoutServices(install) {
  const policy = "/usr/sbin/policy-rc.d";
  if (existsSync(policy)) {
    install();
    return;
  }
  writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    install();
  } finally {
    rmSync(policy, { force: true });
    // The peer of the tests must not come up at the next boot either.
    rmSync("/etc/systemd/system/multi-user.target.wants/heartbeat.service", { force: true });
  }
}

function ensureModules() {
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  if (
    existsSync(pinnedNode()) &&
    existsSync(stampFile) &&
    readFileSync(stampFile, "utf8").trim() === lock
  ) {
    return;
  }
  say("installing the locked npm packages, the pinned Node among them (npm ci)");
  const npm = spawnSync(
    "npm",
    ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
    {
      cwd: root,
      encoding: "utf8",
      timeout: 600_000,
    },
  );
  if (npm.status !== 0) {
    throw new Error(
      `npm ci failed; it said:\n${npm.stdout ?? ""}${npm.stderr ?? npm.error?.message}`,
    );
  }
  const link = spawnSync(process.execPath, [join(root, "scripts", "link-node.mjs")], {
    stdio: "inherit",
  });
  if (link.status !== 0) throw new Error("Cannot link the pinned Node into node_modules/.bin");
  const version = spawnSync(pinnedNode(), ["--version"], { encoding: "utf8" });
  if (version.status !== 0) {
    throw new Error(
      `The pinned Node does not start: ${version.stderr ?? version.error?.message}. It needs libatomic1 and glibc 2.28 or newer`,
    );
  }
  writeFileSync(stampFile, `${lock}\n`);
}

function say(line) {
  process.stderr.write(`baton set-up: ${line}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    ensureSetup(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`baton set-up: ${error.message}\n`);
    process.exitCode = 2;
  }
}
