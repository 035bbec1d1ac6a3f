/** The directives of ha.cf that name programs, permissions, fencing devices and the CRM (heartbeat.md 10, 11). */
import { quote } from "../findings.ts";
import type { HaCfDraft } from "./ha-cf-draft.ts";
import { words } from "./ha-cf-media.ts";
import { advice, illegal, kept, refused, replaced, type Verdict } from "./rows.ts";

/** `on yes y 1 true` or `off no n 0 false`, any case. */
export function classicBoolean(word: string): boolean | undefined {
  if (/^(?:true|on|yes|y|1)$/iu.test(word)) return true;
  return /^(?:false|off|no|n|0)$/iu.test(word) ? false : undefined;
}

/** `respawn USER COMMAND` and `failfast`: ipfail and dopd are built in, wherever the path points. */
export function readClient(
  draft: HaCfDraft,
  value: string,
  directive: "respawn" | "failfast",
): Verdict {
  const [user, command, ...rest] = words(value);
  if (user === undefined || command === undefined)
    return illegal(
      `${directive} needs a user and a command`,
      "write `respawn hacluster /path/to/program`",
    );
  if (!command.startsWith("/"))
    return illegal(
      `${quote(command)} is not an absolute path`,
      "write the whole path of the program",
    );
  const program = command.slice(command.lastIndexOf("/") + 1);
  if (program === "ipfail") {
    draft.ipfail = true;
    return replaced(`built in as failover.ipfail; ${command} is not run and need not exist`);
  }
  if (program === "dopd")
    return replaced(
      `built in: the agent has the peer's copy of a disk outdated, in dopd's messages; ${command} is not run`,
    );
  if (["ccm", "cib", "crmd", "attrd", "lrmd", "pengine", "stonithd", "mgmtd"].includes(program))
    return refused(
      `${program} belongs to the CRM, which there is not in this mode`,
      "remove the line",
    );
  const shown = quote([command, ...rest].join(" "));
  const lost = directive === "failfast" ? "; its abnormal end does not reboot this host" : "";
  return refused(
    `Baton starts no client programs: ${shown} is not run${lost}`,
    "run it as a systemd service if it is still needed",
  );
}

/** `apiauth`: who may use heartbeat's API; Baton's sockets go by group instead. */
export function readApiauth(draft: HaCfDraft, value: string): Verdict {
  const [client, ...lists] = words(value);
  if (client === undefined)
    return illegal("apiauth needs the name of a client", "write `apiauth NAME uid=USER gid=GROUP`");
  if (draft.apiClients.has(client))
    return illegal(`apiauth ${quote(client)} is there twice`, "keep one of the lines");
  draft.apiClients.add(client);
  const wrong = lists.find((each) => !/^(?:uid|gid)=[A-Za-z0-9_.,-]+$/u.test(each));
  if (wrong !== undefined)
    return illegal(
      `${quote(wrong)} is neither uid=LIST nor gid=LIST`,
      "write uid=USER or gid=GROUP",
    );
  if (client === "ipfail") return replaced("ipfail is built in and needs no permission");
  if (client === "dopd") return replaced("dopd is not run and needs no permission");
  return replaced(
    "programs of group haclient may use Baton's control socket; there is no register socket",
  );
}

/** `stonith`: one fence device. */
export function readStonith(_: HaCfDraft, value: string): Verdict {
  const [type, file] = words(value);
  if (type === undefined || file === undefined)
    return illegal("stonith needs a type and a file", "write `stonith TYPE FILE`");
  return fencing(type);
}

/** `stonith_host`: a fence device usable from one host. */
export function readStonithHost(_: HaCfDraft, value: string): Verdict {
  const [host, type] = words(value);
  if (host === undefined || type === undefined)
    return illegal(
      "stonith_host needs a host and a type",
      "write `stonith_host * TYPE PARAMETERS`",
    );
  return fencing(type);
}

function fencing(type: string): Verdict {
  if (type === "null")
    return advice("the null device fences nothing, here as there", "remove the line");
  return {
    outcome: "refused",
    reason: `fencing with ${quote(type)} is not built in yet`,
    consequence:
      "a takeover without the reset that this line asks for could let two hosts write to the same data, so the start is refused",
    fix: "keep Heartbeat on this cluster, or remove the line if takeovers without a reset are acceptable",
    error: true,
  };
}

/** `watchdog`: the kernel's watchdog device. */
export function readWatchdog(draft: HaCfDraft, _: string, at: number): Verdict {
  draft.watchdog = at;
  return refused(
    "no watchdog is fed: a host that hangs is not reset by it",
    "do not count on the watchdog; remove the line",
  );
}

/** `pacemaker` and `crm`: the other mode of heartbeat, which is not taken over. */
export function readCrm(_: HaCfDraft, value: string): Verdict {
  const flag = classicBoolean(value);
  if (flag === false) return kept("haresources mode");
  if (flag === true || /^(?:respawn|manual)$/iu.test(value))
    return illegal(
      "this file is for a cluster with a CRM (Pacemaker), which is not haresources mode",
      "use the files of a haresources cluster",
    );
  return illegal(`${quote(value)} is neither true nor false`, "write off, or remove the line");
}
