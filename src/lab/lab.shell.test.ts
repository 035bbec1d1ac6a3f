/** Real labs, named by our pid, with a stand-in for the agent. */
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { delay } from "../system/clock.ts";
import { LabError } from "./errors.ts";
import { Lab } from "./lab.ts";
import { labNames } from "./names.ts";
import { requirePrograms } from "./packages.ts";
import { labStatus, statusText } from "./status.ts";
import { loopDevices } from "./storage.ts";
import { remainsOf, standInAgent } from "./test-support.ts";
import type { AppendFigures, Verdict } from "./workload.ts";

const skip = reasonToSkip();
const directory = mkdtempSync(join(tmpdir(), "btn-lab-"));
const loopsBefore = skip === false ? loopDevices() : [];
const main = fileURLToPath(new URL("../main.ts", import.meta.url));
after(() => rmSync(directory, { recursive: true, force: true }));

function reasonToSkip(): string | false {
  if (process.getuid?.() !== 0) return "needs root: namespaces, mounts, loop devices";
  try {
    requirePrograms();
    return false;
  } catch (error) {
    return String(error);
  }
}

/** A lab that is taken down at the end of the test, whatever happened in it. */
function openLab(name: string): Lab & AsyncDisposable {
  const lab = new Lab({ lab: `btn-${process.pid}-${name}`, directory });
  return Object.assign(lab, { [Symbol.asyncDispose]: () => lab.down() });
}

test("a lab comes up, loses a host, keeps every acknowledged insert, and leaves nothing", {
  skip,
}, async () => {
  await using lab = openLab("whole");
  equal(await lab.up({ profile: "fast", agentCommand: standInAgent }), true);
  equal(await lab.up({ profile: "fast", agentCommand: standInAgent }), false);
  await rejects(lab.up({ profile: "chapter", agentCommand: standInAgent }), LabError);
  deepEqual(await lab.sql("SELECT @@hostname, NULL"), {
    code: 0,
    stdout: "dbm157\tNULL\n",
    stderr: "",
  });
  const refused = await lab.sql("SET GLOBAL read_only=0");
  equal(refused.code, 5);
  match(refused.stderr, /^ERROR 1227 \(42000\)/);

  const notes = join(directory, "notes");
  const stop = new AbortController();
  const load = lab.append({ seconds: 60, out: notes }, stop.signal);
  await until(() => linesOf(notes) > 200);
  await lab.crash("dbm157");
  const atCrash = linesOf(notes);
  const whileDown = await labStatus(lab);
  equal(whileDown.hosts[0]?.state, "down");
  await rejects(lab.crash("dbm157"), { code: "BTN-LAB-HOST-DOWN" });
  await until(() => linesOf(notes) > atCrash + 200);
  await lab.start("dbm157");
  await rejects(lab.start("dbm157"), { code: "BTN-LAB-HOST-UP" });
  stop.abort();
  const figures = JSON.parse((await load).stdout) as AppendFigures;
  deepEqual(figures.servers, ["dbm157", "dbm158"]);
  const verified = await lab.verify(notes);
  const verdict = JSON.parse(verified.stdout) as Verdict;
  deepEqual([verified.code, verdict.lost, verdict.duplicated, verdict.phantom], [0, [], [], []]);
  equal(verdict.acknowledged, figures.ok);

  const status = await labStatus(lab);
  deepEqual(status.write, { address: "192.168.0.222:3306", answeredBy: "dbm158" });
  deepEqual(
    status.hosts.map(({ state, database }) => [state, database]),
    [
      ["up", undefined],
      ["up", "/database"],
      ["up", undefined],
    ],
  );
  ok(statusText(status).split("\n").length <= 24);
  await lab.down();
  deepEqual(remainsOf(lab.names, loopsBefore), []);
});

test("a power loss loses what was not synced, and keeps what was", { skip }, async () => {
  await using lab = openLab("power");
  await lab.up({ profile: "fast", agentCommand: "" });
  const write =
    "echo kept >/var/kept; sync -f /var/kept; echo lost >/var/lost; echo gone >/run/gone";
  equal((await lab.execQuietly("dbm158", ["sh", "-c", write])).code, 0);
  await lab.crash("dbm158");
  await lab.start("dbm158");
  const look = await lab.execQuietly("dbm158", [
    "sh",
    "-c",
    "cat /var/kept; ls /var/lost /run/gone",
  ]);
  equal(look.stdout, "kept\n");
  match(look.stderr, /\/var\/lost.*\n.*\/run\/gone/);
});

test("a host is a machine of its own, and the lab's cables can be cut", { skip }, async () => {
  await using lab = openLab("hosts");
  await lab.up({ profile: "fast", agentCommand: "" });
  const inside = async (host: string, script: string): Promise<string> =>
    (await lab.execQuietly(host, ["sh", "-c", script])).stdout.trim();
  const ping = (from: string, to: string): Promise<string> =>
    inside(from, `ping -q -c 1 -W 1 ${to} >/dev/null && echo heard || echo silence`);
  equal(
    await inside("dbm157", "uname -n; id -un 30157; getent hosts dbm158"),
    "dbm157\nmysql\n192.168.0.158   dbm158",
  );
  equal((await lab.execQuietly("dbm157", ["sh", "-c", "exit 7"])).code, 7);
  // Nothing of the machine can be written from there, and none of its processes be seen.
  equal(await inside("dbm157", "touch /usr/x 2>/dev/null || echo refused"), "refused");
  equal(await inside("dbm157", "cat /proc/1/comm"), "tini");
  equal(await ping("dbm157", "192.168.0.1"), "heard");
  equal(await ping("dbm157", "192.168.1.158"), "heard");
  await lab.cut("dbm157", { link: "eth1", way: "in" });
  equal(await ping("dbm157", "192.168.1.158"), "silence");
  equal(await inside("dbm157", "cat /sys/class/net/eth1/carrier"), "1");
  await lab.cut("dbm157", { link: "eth0" });
  equal(await ping("client", "192.168.0.157"), "silence");
  equal(await inside("dbm157", "cat /sys/class/net/eth0/carrier"), "0");
  await lab.heal("dbm157");
  equal(await ping("client", "192.168.0.157"), "heard");
  equal(await ping("dbm157", "192.168.1.158"), "heard");
  await lab.pause("dbm157", 600);
  equal((await labStatus(lab)).hosts[0]?.state, "paused");
  equal(await ping("client", "192.168.0.157"), "heard"); // its kernel still answers, as a frozen machine's would not
  await lab.pause("dbm157", 0.2);
  equal(await inside("dbm157", "echo thawed"), "thawed");
  await lab.pause("dbm158", 600);
  await lab.crash("dbm158");
  await rejects(lab.cut("client", { link: "eth1" }), { code: "BTN-LAB-USAGE" });
  await rejects(lab.crash("dbs159"), { code: "BTN-LAB-USAGE" });
});

for (const line of [0, 1, 3, 5]) {
  test(`an up killed after line ${line} of its progress is taken down without a trace`, {
    skip,
  }, async () => {
    const name = `btn-${process.pid}-killed${line}`;
    await upUntil({ name, line, signal: "SIGKILL" });
    const lab = new Lab({ lab: name, directory });
    await lab.down();
    deepEqual(remainsOf(lab.names, loopsBefore), []);
    await lab.down(); // and once more: nothing to do
  });
}

test("an up that is interrupted takes down what it has built", { skip }, async () => {
  const name = `btn-${process.pid}-interrupted`;
  equal(await upUntil({ name, line: 2, signal: "SIGINT" }), 5);
  deepEqual(remainsOf(labNames(name, directory), loopsBefore), []);
});

test("a lab whose state file was lost is taken down all the same", { skip }, async () => {
  await using lab = openLab("lost");
  await lab.up({ profile: "fast", agentCommand: "" });
  rmSync(lab.names.stateFile);
  await lab.down();
  deepEqual(remainsOf(lab.names, loopsBefore), []);
});

/** Runs `lab up` as a person would, and sends it a signal after so many lines. @returns its exit code */
async function upUntil(options: {
  name: string;
  line: number;
  signal: NodeJS.Signals;
}): Promise<number | null> {
  const args = ["--disable-warning=ExperimentalWarning", main, "lab", "up", "--lab", options.name];
  const child = spawn(process.execPath, args, {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, BATON_LAB_DIR: directory, BATON_LAB_AGENT_COMMAND: standInAgent },
  });
  let lines = 0;
  let sent = false;
  const send = (): void => {
    if (!sent) child.kill(options.signal);
    sent = true;
  };
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    lines += chunk.split("\n").length - 1;
    if (lines >= options.line && options.line > 0) send();
  });
  if (options.line === 0) {
    // As early as anything of it can be there.
    await until(() => existsSync(labNames(options.name, directory).stateFile));
    send();
  }
  return new Promise((resolve) => child.on("close", resolve));
}

async function until(holds: () => boolean): Promise<void> {
  for (let leftMs = 60_000; !holds(); leftMs -= 20) {
    if (leftMs <= 0) throw new Error("It did not happen within a minute");
    await delay(20);
  }
}

function linesOf(file: string): number {
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").length : 0;
}
