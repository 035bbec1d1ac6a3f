/** The lists of hosts in `repnodes` (heartbeat.md 7.3): blank-separated, with a blank at the end. */
import type { HeartbeatFields } from "./contract.ts";

/** Answer to `reqnodes`: all names, since heartbeat drops those of its own that are not listed. */
export const answerHosts = (asker: string, hosts: readonly string[]): HeartbeatFields => ({
  dest: asker,
  t: "repnodes",
  nodelist: `${hosts.join(" ")} `,
  delnodelist: " ",
});

/** True if both name the same hosts, in any order. */
export function namesSameHosts(nodelist: string, hosts: readonly string[]): boolean {
  const theirs = nodelist.split(" ").filter((name) => name !== "");
  return theirs.toSorted().join(" ") === hosts.toSorted().join(" ");
}
