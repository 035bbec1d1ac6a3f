/**
 * Builds what the guests boot: Debian's cloud kernel, unpacked, and an initramfs with a few of its modules, DRBD's user
 * space, e2fsprogs and busybox. Debian packages only, downloaded and unpacked, never installed. Nothing is done while
 * packages and scripts are unchanged. As a program: builds and prints where.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where packages and images are kept between runs. */
export const cacheDirectory = process.env["BATON_KERNEL_CACHE"] ?? "/var/cache/baton-kernel";

/** What QEMU is given. */
export interface Image {
  readonly kernel: string;
  readonly initrd: string;
}

const scripts = fileURLToPath(new URL("image/", import.meta.url));

/** Debian packages of the guest: programs, and the libraries that they load. */
const packages = [
  "busybox-static",
  "coreutils",
  "drbd-utils",
  "e2fsprogs",
  "util-linux",
  "libblkid1",
  "libc6",
  "libcom-err2",
  "libext2fs2",
  "libgcc-s1",
  "libstdc++6",
  "libuuid1",
];
const programs = [
  "usr/bin/dd",
  "usr/lib/drbd/drbdadm-84",
  "usr/lib/drbd/drbdsetup-84",
  "usr/sbin/blkdiscard",
  "usr/sbin/drbdadm",
  "usr/sbin/drbdmeta",
  "usr/sbin/drbdsetup",
  "usr/sbin/e2fsck",
  "usr/sbin/mke2fs",
];
/** Loaded at boot, after what they depend on. The kernel finds no modprobe, so all that DRBD may ask for is here. */
const modules = [
  "virtio_pci",
  "virtio_console",
  "virtio_blk",
  "virtio_net",
  "virtio_rng",
  "crc32c_generic",
  "crc32c_intel",
  "hmac",
  "md5",
  "sha1_generic",
  "sha256_generic",
  "sha512_generic",
  "ext4",
  "drbd",
];

/** @returns the image of the newest packages that apt knows, built if it must be */
export function ensureImage(say: (line: string) => void = () => undefined): Image {
  const image = { kernel: join(cacheDirectory, "vmlinux"), initrd: join(cacheDirectory, "initrd") };
  const manifestFile = join(cacheDirectory, "manifest");
  mkdirSync(join(cacheDirectory, "debs"), { recursive: true });
  const wanted = wantedPackages();
  const manifest = `${wanted.map((file) => file.line).join("\n")}\nscripts ${scriptsDigest()}\n`;
  const built = existsSync(manifestFile) ? readFileSync(manifestFile, "utf8") : "";
  if (built === manifest && existsSync(image.kernel) && existsSync(image.initrd)) return image;
  say(`building the guest's image in ${cacheDirectory}`);
  const work = mkdtempSync(join(cacheDirectory, "work-"));
  try {
    build(wanted, work);
    rmSync(manifestFile, { force: true });
    renameSync(join(work, "vmlinux"), image.kernel);
    renameSync(join(work, "initrd"), image.initrd);
    writeFileSync(manifestFile, manifest);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return image;
}

interface PackageFile {
  readonly name: string;
  readonly file: string;
  /** Address, file, size and digest as apt prints them. */
  readonly line: string;
}

function wantedPackages(): readonly PackageFile[] {
  const ask = (): readonly PackageFile[] => {
    const depends = run("apt-cache", ["depends", "--important", "linux-image-cloud-amd64"]);
    const kernel = /Depends: (linux-image-[0-9]\S*)/.exec(depends)?.[1];
    if (kernel === undefined) throw new Error("apt knows no package linux-image-cloud-amd64");
    return run("apt-get", ["-q", "download", "--print-uris", kernel, ...packages])
      .split("\n")
      .filter((line) => line.startsWith("'"))
      .map((line) => {
        const file = line.split(" ")[1] ?? "";
        return { name: file.split("_")[0] ?? "", file, line };
      });
  };
  try {
    return ask();
  } catch {
    // No package lists yet, as on a fresh machine; a second failure is the caller's.
    run("apt-get", ["-q", "update"]);
    return ask();
  }
}

function scriptsDigest(): string {
  const hash = createHash("sha256").update(readFileSync(fileURLToPath(import.meta.url)));
  for (const name of readdirSync(scripts).sort()) hash.update(readFileSync(join(scripts, name)));
  return hash.digest("hex");
}

function build(wanted: readonly PackageFile[], work: string): void {
  const debs = join(cacheDirectory, "debs");
  const keep = new Set(wanted.map(({ file }) => file));
  for (const name of readdirSync(debs)) if (!keep.has(name)) rmSync(join(debs, name));
  const missing = wanted.filter(({ file }) => !existsSync(join(debs, file)));
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name);
    run("apt-get", ["-q", "-o", "APT::Sandbox::User=root", "download", ...names], debs);
  }
  const unpacked = mergedTree(join(work, "unpacked"));
  for (const { file } of wanted) unpack(join(debs, file), unpacked);
  unpackKernel(join(unpacked, "boot"), work);
  const root = mergedTree(join(work, "root"));
  copyPrograms(unpacked, root);
  copyModules(unpacked, root);
  configure(root);
  const initrd = join(work, "initrd");
  shell(`find . | sort | cpio --quiet -o -H newc -R 0:0 --reproducible >"${initrd}"`, root);
}

/** A root folder whose /bin, /sbin and /lib are those of /usr, as Debian 12 has them. */
function mergedTree(root: string): string {
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    mkdirSync(join(root, "usr", name), { recursive: true });
    symlinkSync(`usr/${name}`, join(root, name));
  }
  return root;
}

function unpack(deb: string, root: string): void {
  shell(
    `dpkg-deb --fsys-tarfile "${deb}" | tar -x -C "${root}" --keep-directory-symlink --exclude='./usr/share/*' --exclude='*/gconv/*'`,
  );
}

/** An unpacked kernel starts through its PVH entry, seconds earlier than one that unpacks itself under emulation. */
function unpackKernel(boot: string, work: string): void {
  const packed = readFileSync(join(boot, the(readdirSync(boot), /^vmlinuz-/)));
  const lz4 = packed.indexOf(Buffer.from([0x02, 0x21, 0x4c, 0x18]));
  if (lz4 < 0) throw new Error("The kernel is not packed with lz4: image.ts must learn its form");
  writeFileSync(join(work, "vmlinux.lz4"), packed.subarray(lz4));
  // What follows the packed stream makes lz4 complain after all of it was written.
  shell("lz4 -dcq vmlinux.lz4 >vmlinux 2>/dev/null || true", work);
  const magic = readFileSync(join(work, "vmlinux")).subarray(0, 4).toString("latin1");
  if (magic !== "\x7fELF") throw new Error("Cannot unpack the kernel: no ELF file came out");
}

function copyPrograms(unpacked: string, root: string): void {
  const loader = "lib64/ld-linux-x86-64.so.2";
  const libraries = new Set<string>([loader]);
  for (const program of programs) {
    // The guest's own loader says what it would load, from the guest's own files.
    const said = run("chroot", [unpacked, `/${loader}`, "--list", `/${program}`]);
    if (said.includes("not found")) throw new Error(`A library of ${program} is missing:\n${said}`);
    for (const [, path] of said.matchAll(/=> \/(\S+)/g)) libraries.add(path ?? "");
  }
  for (const path of [...programs, ...libraries]) {
    mkdirSync(join(root, path, ".."), { recursive: true });
    copyFileSync(join(unpacked, path), join(root, path));
    chmodSync(join(root, path), 0o755);
  }
  symlinkSync("mke2fs", join(root, "usr/sbin/mkfs.ext4"));
  symlinkSync("e2fsck", join(root, "usr/sbin/fsck.ext4"));
  const busybox = join(root, "usr/bin/busybox");
  copyFileSync(join(unpacked, "usr/bin/busybox"), busybox);
  chmodSync(busybox, 0o755);
  for (const path of run(busybox, ["--list"]).split("\n").filter(Boolean)) {
    const own = ["usr/bin", "usr/sbin"].some((folder) => existsSync(join(root, folder, path)));
    if (!own) symlinkSync("/usr/bin/busybox", join(root, "usr/bin", path));
  }
}

function copyModules(unpacked: string, root: string): void {
  const release = the(readdirSync(join(unpacked, "usr/lib/modules")), /^\d/);
  run("depmod", ["-b", unpacked, release]);
  const order = new Set<string>();
  for (const module of modules) {
    const said = run("modprobe", ["-d", unpacked, "-S", release, "--show-depends", module]);
    for (const [, path] of said.matchAll(/^insmod (\S+)/gm)) order.add(path ?? "");
  }
  mkdirSync(join(root, "modules.d"));
  for (const path of order) copyFileSync(path, join(root, "modules.d", basename(path)));
  const lines = [...order].map((path) => `/modules.d/${basename(path)}\n`);
  writeFileSync(join(root, "modules"), lines.join(""));
}

function configure(root: string): void {
  for (const name of ["proc", "sys", "dev", "run", "tmp", "root", "mnt", "etc/drbd.d", "var/lib"]) {
    mkdirSync(join(root, name), { recursive: true });
  }
  symlinkSync("/run", join(root, "var/run"));
  symlinkSync("/run/lock", join(root, "var/lock"));
  symlinkSync("/proc/mounts", join(root, "etc/mtab"));
  writeFileSync(join(root, "etc/passwd"), "root::0:0:root:/root:/bin/sh\n");
  const global = "global { usage-count no; disable-ip-verification; }\n";
  writeFileSync(join(root, "etc/drbd.conf"), `${global}include "drbd.d/*.res";\n`);
  copyFileSync(join(scripts, "inittab"), join(root, "etc/inittab"));
  for (const name of ["boot", "channel", "init"]) {
    copyFileSync(join(scripts, name), join(root, name));
    chmodSync(join(root, name), 0o755);
  }
}

function the(names: readonly string[], pattern: RegExp): string {
  const found = names.filter((name) => pattern.test(name));
  if (found.length !== 1) throw new Error(`Expected one ${pattern} among: ${names.join(" ")}`);
  return found[0] ?? "";
}

function run(program: string, words: readonly string[], cwd?: string): string {
  return execFileSync(program, words, {
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    timeout: 600_000,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" },
    ...(cwd === undefined ? {} : { cwd }),
  });
}

function shell(text: string, cwd?: string): string {
  return run("bash", ["-o", "pipefail", "-c", text], cwd);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const image = ensureImage((line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`${image.kernel}\n${image.initrd}\n`);
}
