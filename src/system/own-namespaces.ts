/**
 * For tests that need root: runs a test file again inside network, mount and PID namespaces of its own.
 * Whatever the tests add there - links, addresses, mounts, processes - ends with the namespaces, also
 * when a test fails or is killed; nothing of the machine is touched.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const INSIDE = "BATON_TEST_INSIDE_NAMESPACES";
const LIMIT_MS = 120_000;
const isRoot = process.getuid?.() === 0;

/**
 * Outside: one test that runs the file again inside. Inside: brings lo up and calls `define`.
 * Without root the test is skipped and says so.
 * @param url `import.meta.url` of the test file
 */
export function inOwnNamespaces(url: string, define: () => void): void {
  if (process.env[INSIDE] === url) {
    sh("ip link set lo up");
    define();
    return;
  }
  const skip = isRoot ? false : "needs root: network and mount namespaces";
  test("in namespaces of its own", { skip, timeout: LIMIT_MS }, async ({ signal }) => {
    const inside = ["--disable-warning=ExperimentalWarning", "--test-reporter=tap"];
    // --mount-proc: the PID namespace's own /proc; --kill-child: everything ends with this test.
    const child = spawn(
      "unshare",
      [
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        process.execPath,
      ].concat(inside, fileURLToPath(url)),
      {
        env: environment(url),
        stdio: ["ignore", "pipe", "pipe"],
        // A test that takes too long ends with everything it started.
        signal,
        killSignal: "SIGKILL",
      },
    );
    const output: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => output.push(chunk));
    }
    const [code] = await once(child, "close");
    const text = Buffer.concat(output).toString("utf8");
    if (code !== 0) throw new Error(`Tests inside the namespaces failed:\n${text}`);
    for (const line of text.matchAll(/^# measured: .*$/gm)) console.log(line[0]);
  });
}

/** Prints a figure of the run that also shows outside the namespaces. Never asserted on. */
export function measured(line: string): void {
  console.log(`# measured: ${line}`);
}

/** Runs a line of shell; its standard output. @throws if it fails */
export function sh(line: string): string {
  return execFileSync("/bin/sh", ["-ec", line], { encoding: "utf8", stdio: "pipe" });
}

/** A second host: a process in a network namespace of its own. */
export interface OtherHost extends Disposable {
  readonly pid: number;
  /** Runs a line of shell in the other network namespace. */
  sh(line: string): string;
}

/**
 * A second host on a cable: device `here` on this side, `there` on the other, both up, without
 * addresses. IPv6 autoconfiguration is left as it is.
 */
export function cableToOtherHost(here: string, there: string): OtherHost {
  const child = spawn("unshare", ["--net", "sleep", "1000"], { stdio: "ignore" });
  const { pid } = child;
  if (pid === undefined) throw new Error("Cannot start the other host");
  const own = sh("readlink /proc/self/ns/net");
  // The name space exists once unshare has called the kernel.
  sh(`for i in $(seq 200); do [ "$(readlink /proc/${pid}/ns/net)" != "${own.trim()}" ] && exit 0;
      sleep 0.01; done; exit 1`);
  const inside = (line: string): string =>
    execFileSync("nsenter", ["-t", String(pid), "-n", "/bin/sh", "-ec", line], {
      encoding: "utf8",
      stdio: "pipe",
    });
  sh(`ip link add ${here} type veth peer name ${there} netns ${pid} && ip link set ${here} up`);
  inside(`ip link set lo up && ip link set ${there} up`);
  return { pid, sh: inside, [Symbol.dispose]: () => void child.kill("SIGKILL") };
}

/** A loop device on an image. */
export interface LoopDevice extends Disposable {
  /** Such as `/dev/loop7`. */
  readonly path: string;
}

/**
 * A new loop device on `image`, which goes by itself when this process and every mount of it have
 * ended: it is marked so while it is held open here.
 */
export function loopDevice(image: string): LoopDevice {
  const path = sh(`losetup --find --show ${image}`).trim();
  const descriptor = openSync(path, "r");
  sh(`losetup --detach ${path}`);
  return { path, [Symbol.dispose]: () => closeSync(descriptor) };
}

function environment(url: string): NodeJS.ProcessEnv {
  const inherited = { ...process.env, [INSIDE]: url };
  // The inner run is a run of its own, not a child of this runner.
  return Object.fromEntries(
    Object.entries(inherited).filter(([name]) => name !== "NODE_TEST_CONTEXT"),
  );
}
