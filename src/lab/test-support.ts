/** For tests: a stand-in for the agent, and a look at what a lab left on the machine. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { detectFreezer } from "./freezer.ts";
import type { LabNames } from "./names.ts";
import { markedProcesses } from "./processes.ts";
import { loopDevices, loopsOfLab } from "./storage.ts";

/**
 * Brings the service up on dbm157, and on the other host when the write address falls silent. It knows
 * nothing of claims or fencing: it only shows that the lab carries what an agent does.
 */
export const standInAgent = `
answers() { ping -q -c 1 -W 1 192.168.0.222 >/dev/null 2>&1; }
if [ "$(hostname)" != dbm157 ] || answers; then
  until answers; do sleep 0.1; done
  while answers || answers; do sleep 0.1; done
fi
mount -t ext4 -o noatime /dev/san/database /database || exit 3
mariadbd --defaults-file=/etc/mysql/my.cnf &
server=$!
until mariadb -e "SELECT 1" >/dev/null 2>&1; do sleep 0.1; done
ip address add 192.168.0.222/24 dev eth0
ping -q -c 1 -W 1 -I 192.168.0.222 192.168.0.10 >/dev/null 2>&1
wait "$server"
`;

/** What of a lab can still be found on this machine; empty after \`down\`. */
export function remainsOf(names: LabNames, loopsBefore: readonly string[]): string[] {
  const freezer = detectFreezer();
  const groups =
    freezer.kind === "none"
      ? []
      : readdirSync(freezer.root).filter((name) => name === names.cgroup);
  return [
    ...markedProcesses(names).map((pid) => `process ${pid}`),
    ...loopsOfLab(names),
    ...loopDevices().filter((device) => !loopsBefore.includes(device) && isOurs(device, names)),
    ...groups.map((name) => `cgroup ${name}`),
    ...readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes(names.directory)),
    ...execFileSync("ip", ["netns", "list"], { encoding: "utf8" })
      .split("\n")
      .filter((line) => line.includes(names.lab)),
    ...(existsSync(names.directory) ? [names.directory] : []),
    ...(existsSync(names.lockFile) ? [names.lockFile] : []),
  ];
}

function isOurs(device: string, names: LabNames): boolean {
  return execFileSync("losetup", ["--list", "--noheadings", "--output", "BACK-FILE", device], {
    encoding: "utf8",
  }).includes(names.directory);
}
