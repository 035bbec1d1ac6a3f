/** Outdating with a real dopd on the other side, as the one that is asked and as the one that asks (heartbeat.md 9.4). */
import { equal, match } from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Outcome, quickTiming } from "../support/pair.ts";
import { waitFor } from "../support/wait.ts";
import { figure, joined, scenario, setUp } from "./cluster.ts";

const rig = fileURLToPath(new URL("outdate-rig.ts", import.meta.url));
const outdater = "/usr/libexec/heartbeat/drbd-peer-outdater";
const dopd =
  "respawn hacluster /usr/libexec/heartbeat/dopd\napiauth dopd gid=haclient uid=hacluster\n";

scenario(
  "a real dopd outdates its disk for Baton, and Baton its own for a real dopd",
  async (newPair) => {
    const pair = newPair({ ...setUp, timing: quickTiming + dopd });
    const directory = mkdtempSync(join(tmpdir(), `btn-${process.pid}-outdate-`));
    try {
      // The real dopd runs as another user.
      chmodSync(directory, 0o755);
      // In place of the real host's drbdadm: ends as the file says.
      const stub = join(directory, "drbdadm");
      writeFileSync(stub, `#!/bin/sh\nexit $(cat ${directory}/exit)\n`, { mode: 0o755 });
      await pair.start("dbm157", "baton");
      await pair.start("dbm158", "heartbeat");
      await joined(pair, "dbm157");
      equal(pair.inside("dbm158", "mount", "--bind", stub, "/usr/sbin/drbdadm").code, 0);

      const runRig = (...args: readonly string[]) =>
        pair.run("dbm157", process.execPath, "--disable-warning=ExperimentalWarning", rig, ...args);
      for (const [exit, result] of [
        [0, 4],
        [17, 6],
        [5, 3],
      ] as const) {
        writeFileSync(join(directory, "exit"), `${exit}\n`);
        const { output } = await runRig("ask");
        match(output, new RegExp(`^fenceDone ${result} \\d+$`, "m"));
        figure(`drbdadm on the real host exits ${exit}: ${output.trim()} ms`);
      }
      for (const [exit, result] of [
        [0, 4],
        [17, 6],
        [5, 3],
        [1, 20],
      ] as const) {
        const serving = runRig("serve", String(exit));
        const asked = await askedByRealHost();
        equal(asked.code, result, asked.output);
        equal((await serving).code, 0);
      }

      /** Its dopd ends after each use and is started again within two seconds: until then the handler says 5. */
      function askedByRealHost(): Promise<Outcome> {
        return waitFor(
          "the real dopd is back",
          async () => {
            const asked = await pair.run("dbm158", outdater, "-r", "r0", "-p", "dbm157", "-t", "5");
            return asked.code === 5 ? undefined : asked;
          },
          15_000,
          () => pair.explain(),
        );
      }
    } finally {
      await pair.close();
      rmSync(directory, { recursive: true, force: true });
    }
  },
);
