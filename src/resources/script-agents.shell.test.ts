import { deepEqual, equal, match } from "node:assert/strict";
import { chmod, chown, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { monotonicClock } from "../system/index.ts";
import type { ResourceNotice } from "./agent.ts";
import { conformance, testContext } from "./conformance.test-support.ts";
import type { ResourceEnvironment } from "./environment.ts";
import { testPolicy } from "./runner.test-support.ts";
import { createLsbAgent, createOcfAgent, createScriptAgent } from "./script-agents.shell.ts";

const skip = process.getuid?.() === 0 ? false : "needs root: scripts must belong to root";
let directory = "";
const notices: ResourceNotice[] = [];
const environment: ResourceEnvironment = {
  group: "db",
  host: "dbm157",
  clock: monotonicClock,
  timing: { keepaliveMs: 200, deadtimeMs: 1_200 },
  notify: (notice) => notices.push(notice),
};

before(async () => {
  // Below /run, because every directory above a script must belong to root alone: /tmp does not.
  if (skip === false) directory = await mkdtemp("/run/btn-scripts-");
});
after(async () => {
  if (directory !== "") await rm(directory, { recursive: true });
});
afterEach(() => {
  notices.length = 0;
});

/** A script whose state is a file beside it; its calls are kept in another. */
async function script(name: string, body: string): Promise<string> {
  const path = join(directory, name);
  const head = `#!/bin/sh\nstate=${path}.state\necho "$*" >>${path}.calls\nfor action; do :; done\n`;
  await writeFile(path, head + body, { mode: 0o755 });
  return path;
}
const calls = async (name: string): Promise<readonly string[]> =>
  (await readFile(join(directory, `${name}.calls`), "utf8").catch(() => ""))
    .split("\n")
    .slice(0, -1);

const classicBody = `case $action in
  start) touch $state; echo started;;
  stop) rm -f $state;;
  status) if [ -e $state ]; then echo running; else echo stopped; exit 3; fi;;
esac\n`;
const lsbBody = `case $action in
  start) touch $state;;
  stop) rm -f $state;;
  status) if [ -e $state ]; then echo fine; else exit 3; fi;;
esac\n`;
const ocfBody = `case $action in
  start) touch $state;;
  stop) rm -f $state;;
  monitor) [ -e $state ] || exit 7;;
  *) exit 3;;
esac\n`;

function classic(name: string, args: readonly string[] = [], variables = {}) {
  return createScriptAgent(
    {
      kind: "classic-script",
      name,
      script: name,
      arguments: args,
      searchPath: [join(directory, "nowhere"), directory],
      environment: variables,
      policy: testPolicy,
    },
    environment,
  );
}
function lsb(name: string) {
  const options = { directories: [directory] };
  return createLsbAgent(
    { kind: "lsb", name, script: name, policy: testPolicy },
    environment,
    options,
  );
}
function ocf(type: string, parameters: Readonly<Record<string, string>> = {}) {
  return createOcfAgent(
    {
      kind: "ocf",
      name: `my-${type}`,
      provider: "baton",
      type,
      parameters,
      checkLevel: 10,
      policy: testPolicy,
    },
    environment,
    { root: directory },
  );
}
const state = async (name: string) => rm(join(directory, `${name}.state`), { force: true });

for (const promise of conformance) {
  test(`classic-script: ${promise.name}`, { skip }, () =>
    promise.check(async () => {
      await script("classic", classicBody);
      return { open: () => classic("classic"), end: () => state("classic") };
    }),
  );
  test(`lsb: ${promise.name}`, { skip }, () =>
    promise.check(async () => {
      await script("lsb", lsbBody);
      return { open: () => lsb("lsb"), end: () => state("lsb") };
    }),
  );
  test(`ocf: ${promise.name}`, { skip }, () =>
    promise.check(async () => {
      await mkdir(join(directory, "resource.d/baton"), { recursive: true });
      await script("resource.d/baton/ocf", ocfBody);
      return { open: () => ocf("ocf"), end: () => state("resource.d/baton/ocf") };
    }),
  );
}

test("a classic script is called with its arguments first, and started only after its status", {
  skip,
}, async () => {
  await script("disk", classicBody);
  const agent = classic("disk", ["r0", "x y"]);
  await agent.start(testContext());
  await agent.start(testContext());
  await agent.stop(testContext());
  deepEqual(await calls("disk"), ["r0 x y status", "r0 x y start", "r0 x y status", "r0 x y stop"]);
  deepEqual(
    notices.map(({ reason, detail }) => [reason, detail]),
    [["BTN-SCRIPT-OUTPUT", `${directory}/disk r0 x y start: started`]],
  );
  await state("disk");
});

test("scripts see a clean environment and what heartbeat gives them", { skip }, async () => {
  await script("env", 'if [ "$action" = start ]; then env; fi\n');
  process.env["BATON_SECRET_OF_A_TEST"] = "x";
  await classic("env", [], { HA_NICEFAILBACK: "yes" }).start(testContext());
  delete process.env["BATON_SECRET_OF_A_TEST"];
  const seen = notices[0]?.detail ?? "";
  match(seen, /HA_CURHOST=dbm157/);
  match(seen, /HA_NICEFAILBACK=yes/);
  match(seen, /LC_ALL=C/);
  equal(seen.includes("BATON_SECRET"), false);
});

test("an OCF agent gets its parameters, its level and its times", { skip }, async () => {
  await mkdir(join(directory, "resource.d/baton"), { recursive: true });
  await script("resource.d/baton/env", 'env | grep OCF_ | sort; [ "$action" = stop ]\n');
  const agent = ocf("env", { ip: "192.0.2.1" });
  await agent.stop(testContext({ timeoutMs: 1_234 }));
  const seen = notices[0]?.detail ?? "";
  for (const line of [
    "OCF_RESKEY_ip=192.0.2.1",
    "OCF_RESOURCE_INSTANCE=my-env",
    "OCF_RESOURCE_TYPE=env",
    "OCF_RESOURCE_PROVIDER=baton",
    "OCF_RESKEY_CRM_meta_timeout=1234",
    "OCF_RESKEY_CRM_meta_interval=0",
    `OCF_ROOT=${directory}`,
  ]) {
    equal(seen.split(/\s/).includes(line), true, `${line} in ${seen}`);
  }
});

test("a hung script is killed with its whole group when its time is over", { skip }, async () => {
  await script(
    "hung",
    'if [ "$action" = start ]; then sleep 600 & echo $! >$state; sleep 600; fi\n',
  );
  const enough = new AbortController();
  const starting = classic("hung").start(testContext({ signal: enough.signal }));
  const child = await waitFor(() => readFile(join(directory, "hung.state"), "utf8"));
  enough.abort();
  const result = await starting;
  equal(!result.ok && result.reason, "BTN-SCRIPT-TIMEOUT");
  await waitFor(() => {
    const gone = !alive(Number(child));
    return gone ? Promise.resolve("gone") : Promise.reject(new Error("still there"));
  });
});

test("a daemon that a script leaves with its output open does not delay the answer, and survives", {
  skip,
}, async () => {
  await script("daemon", "case $action in start) sleep 600 & echo $! >$state;; esac\n");
  const result = await classic("daemon").start(testContext());
  equal(result.ok, true);
  const pid = Number(await readFile(join(directory, "daemon.state"), "utf8"));
  equal(alive(pid), true);
  process.kill(pid, "SIGKILL");
});

test("output is capped, also of a script that never stops talking", { skip }, async () => {
  await script(
    "loud",
    'if [ "$action" = start ]; then head -c 300000 /dev/zero | tr "\\0" x; fi\n',
  );
  await classic("loud").start(testContext());
  equal((notices[0]?.detail.length ?? 0) <= 65_536 + 200, true);
});

test("a failed stop is tried again, then the status is believed, as in the original", {
  skip,
}, async () => {
  await script("stubborn", "case $action in stop) exit 1;; status) cat $state;; esac\n");
  const tried: string[] = [];
  // Time is over after the first retries: the failure stands.
  const short = testContext({
    signal: AbortSignal.timeout(1_300),
    progress: (line) => tried.push(line),
  });
  const result = await classic("stubborn").stop(short);
  equal(result.ok, false);
  match(tried[0] ?? "", /^Retrying failed stop of stubborn \(1\)/);
});

test("a script that is not there never ran here: found stopped, stopped with success, not startable", {
  skip,
}, async () => {
  const agent = classic("missing");
  deepEqual(await agent.probe(testContext()), { state: "stopped" });
  const started = await agent.start(testContext());
  deepEqual(
    [started.ok, !started.ok && started.reason, !started.ok && started.retryable],
    [false, "BTN-SCRIPT-NOT-FOUND", false],
  );
  equal((await agent.stop(testContext())).ok, true);
});

test("a script that disappears under what it started can not say that it is stopped", {
  skip,
}, async () => {
  const path = await script("going", classicBody);
  const agent = classic("going");
  await agent.start(testContext());
  await rm(path);
  equal((await agent.probe(testContext())).state, "unknown");
  equal((await agent.stop(testContext())).ok, false);
});

test("a script that others may change is not run: mode, owner, directory, target of a link", {
  skip,
}, async () => {
  const refused = async (name: string): Promise<string> => {
    const result = await classic(name).start(testContext());
    equal(result.ok, false, name);
    return result.ok ? "" : `${result.reason} ${result.detail}`;
  };
  await chmod(await script("group", classicBody), 0o775);
  match(await refused("group"), /BTN-SCRIPT-UNSAFE.*mode 775/);
  await chown(await script("owner", classicBody), 65_534, 0);
  match(await refused("owner"), /BTN-SCRIPT-UNSAFE.*owned by user 65534/);
  await mkdir(join(directory, "open"));
  await chmod(join(directory, "open"), 0o777);
  await script("open/inner", classicBody);
  await symlink(join(directory, "open/inner"), join(directory, "linked"));
  match(await refused("linked"), /BTN-SCRIPT-UNSAFE.*open may be written by others/);
  deepEqual(await calls("open/inner"), []);
  const agent = classic("later");
  await script("later", classicBody);
  equal((await agent.start(testContext())).ok, true);
  await chmod(join(directory, "later"), 0o757);
  const stopped = await agent.stop(testContext());
  equal(!stopped.ok && stopped.reason, "BTN-SCRIPT-UNSAFE", "asked again before each run");
});

test("a script without a first line is run by a shell, as the original would", {
  skip,
}, async () => {
  const path = join(directory, "plain");
  await writeFile(path, "echo running\n", { mode: 0o755 });
  deepEqual(await classic("plain").probe(testContext()), { state: "running" });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Asks until it works, at most 5 s. */
async function waitFor(ask: () => Promise<string>): Promise<string> {
  for (let tries = 0; ; tries++) {
    try {
      const answer = await ask();
      if (answer !== "") return answer;
    } catch (error) {
      if (tries > 500) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
