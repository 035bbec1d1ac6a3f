/** Reason codes of this room. Two sections: the group runner and scripts, and each kind of resource. */
import type { ReasonCatalogue } from "../base/index.ts";

export const resourcesReasons = {
  // The group runner.
  "BTN-RESOURCE-ALREADY-RUNNING": {
    title: "A resource was found running and was not started again",
    meaning:
      "A probe comes first, so a takeover that is run twice changes nothing the second time.",
    action: "Nothing.",
  },
  "BTN-RESOURCE-ADOPTED": {
    title: "Running resources were taken over from an earlier run of the agent",
    meaning: "An agent restart stops nothing: what runs goes on and is watched again.",
    action: "Nothing.",
  },
  "BTN-RESOURCE-SUPERSEDED": {
    title: "An operation on the group was replaced by a newer one before it ended",
    meaning: "The newer order counts; the outcome is reported for it alone.",
    action: "Nothing.",
  },
  "BTN-RESOURCE-NOT-RUNNING": {
    title: "A resource that should run was found stopped",
    meaning: "It ended by itself or something other than Baton stopped it.",
    action:
      "Read the resource's own log. See that nothing else manages it, such as a systemd unit.",
  },
  "BTN-RESOURCE-MONITOR-FAILED": {
    title: "A periodic check of a resource failed",
    meaning: "After the configured number of failures in a row the resource counts as failed.",
    action: "Read the detail; the resource's own log says more.",
  },
  "BTN-RESOURCE-RECOVERED": {
    title: "A periodic check succeeded again after failures",
    meaning: "The failures in a row start from zero.",
    action: "Nothing, unless it returns: then look for the cause of the short failures.",
  },
  "BTN-RESOURCE-RESTART": {
    title: "A failed resource is restarted on this host, with those that follow it in the group",
    meaning: "A local restart is tried before the group moves, as often as its policy allows.",
    action: "Find out why it failed.",
  },
  "BTN-RESOURCE-FAILED": {
    title: "A resource failed and its local restarts are used up",
    meaning: "The group can not stay on this host; whether it moves is decided by failover.",
    action: "Repair the resource, then clear the failure.",
  },
  "BTN-RESOURCE-START-FAILED": {
    title: "A resource could not be started",
    meaning: "What had been started of the group is stopped again, so that the other host may try.",
    action: "Repair the cause named in the detail, then clear the failure.",
  },
  "BTN-RESOURCE-STOP-RETRY": {
    title: "A stop failed and is tried again",
    meaning: "Stops are retried with growing pauses until the stop timeout ends.",
    action: "Nothing yet.",
  },
  "BTN-RESOURCE-STOP-FAILED": {
    title: "A resource could not be stopped: the group is blocked here",
    meaning: "It may still run, so the group is never reported as released (R19).",
    action: "Stop it by hand, or power this host off; then repeat the release.",
  },
  "BTN-RESOURCE-RESET-WANTED": {
    title: "A stop failed and the policy asks for this host to be reset",
    meaning: "A resource that can not be stopped is made harmless by resetting its host.",
    action: "Find out why the stop failed once the host is back.",
  },
  "BTN-RESOURCE-DEACTIVATE-FAILED": {
    title: "A resource could not be closed before its stop",
    meaning: "Clients may see their connections break rather than end; the stop follows anyhow.",
    action: "Nothing if the stop succeeded.",
  },
  "BTN-RESOURCE-TIMEOUT": {
    title: "An action on a resource took longer than its timeout",
    meaning: "Its result is unknown; unknown is never taken for stopped.",
    action: "Find out what it waited for, or raise the timeout of the resource.",
  },
  "BTN-RESOURCE-AGENT-ERROR": {
    title: "The code that handles a resource failed unexpectedly",
    meaning: "The result of the action is unknown. This is a fault of Baton.",
    action: "Report it with the detail and the journal.",
  },
  "BTN-RESOURCE-BUSY": {
    title: "What runs here was asked while an operation on the group was under way",
    meaning: "The answer is unknown until the operation ends.",
    action: "Nothing.",
  },
  "BTN-RESOURCE-CANCELLED": {
    title: "An action on a resource was broken off because the group is released",
    meaning: "The resource is stopped next, whatever the action had reached.",
    action: "Nothing.",
  },

  // Scripts: classic (heartbeat), LSB and OCF.
  "BTN-SCRIPT-NOT-FOUND": {
    title: "A resource script is not in any of the directories searched",
    meaning: "The resource can not be started on this host.",
    action: "Install the script, or correct its name in the configuration.",
  },
  "BTN-SCRIPT-UNSAFE": {
    title: "A resource script may be changed by someone other than root",
    meaning: "Scripts run as root; one that others may replace is never run.",
    action:
      "Give the file and every directory above it to root, without write permission for others.",
  },
  "BTN-SCRIPT-FAILED": {
    title: "A resource script ended with an error",
    meaning: "The action it was asked for did not succeed.",
    action: "Read its output in the detail.",
  },
  "BTN-SCRIPT-TIMEOUT": {
    title: "A resource script did not end in time and was killed with its process group",
    meaning: "Its result is unknown.",
    action: "Run it by hand to see what it waits for, or raise the timeout.",
  },
  "BTN-SCRIPT-OUTPUT": {
    title: "What a resource script printed",
    meaning: "Kept for the journal, at most 64 KiB of each call.",
    action: "Nothing.",
  },
  "BTN-SCRIPT-STOP-DISBELIEVED": {
    title: "A script said that its stop failed, but its status says that it does not run",
    meaning:
      "As in the original the resource is taken as stopped; the script probably breaks the LSB rules.",
    action: "Make the script return 0 when it stops something already stopped.",
  },
  "BTN-SCRIPT-STATUS": {
    title: "The status of a script reports that the resource is not well, or can not be told",
    meaning: "It is taken for neither running nor stopped.",
    action: "Read the script's output in the detail.",
  },
  "BTN-OCF-ARGUMENTS": {
    title: "An OCF agent refused its parameters on this host",
    meaning: "Trying again on this host can not help.",
    action: "Correct the parameters of the resource.",
  },
  "BTN-OCF-UNIMPLEMENTED": {
    title: "An OCF agent does not know an action",
    meaning: "The resource can not be handled with it.",
    action: "Use another agent, or update it.",
  },
  "BTN-OCF-PERMISSION": {
    title: "An OCF agent lacks a permission on this host",
    meaning: "Trying again on this host can not help.",
    action: "Read the agent's output in the detail.",
  },
  "BTN-OCF-NOT-INSTALLED": {
    title: "Something that an OCF agent needs is not installed on this host",
    meaning: "The resource can not run on this host.",
    action: "Install what the agent's output names.",
  },
  "BTN-OCF-CONFIGURED": {
    title: "An OCF agent says that the resource is configured wrongly everywhere",
    meaning: "No host can start it.",
    action: "Correct the parameters of the resource.",
  },
  "BTN-OCF-PROMOTED": {
    title: "An OCF agent reports a promoted resource",
    meaning: "Baton starts resources plainly and promotes none; a promoted one counts as running.",
    action: "See that nothing else manages the resource.",
  },

  // mysqld.
  "BTN-MYSQLD-NOT-INSTALLED": {
    title: "No MySQL or MariaDB server program was found",
    meaning: "The database can not be started on this host.",
    action: "Install the server, or name its binary in the configuration.",
  },
  "BTN-MYSQLD-NO-DATA": {
    title: "The data directory is missing or holds no database",
    meaning: "A server started there would create an empty database or fail.",
    action: "See that the right file system is mounted on it.",
  },
  "BTN-MYSQLD-NOT-MOUNTED": {
    title: "The directory that must be a mount point is none",
    meaning: "An empty mount point is never taken for the data.",
    action: "Put the file system before mysqld in the group, and see why it is not mounted.",
  },
  "BTN-MYSQLD-DATADIR-IN-USE": {
    title: "Another process has the data directory open",
    meaning: "Two servers on one data directory destroy it, so none is started.",
    action: "Stop the other server; see that no systemd unit starts it.",
  },
  "BTN-MYSQLD-EXITED": {
    title: "The database server ended while it was starting",
    meaning: "The start failed; its last log lines are in the detail.",
    action: "Read the error log.",
  },
  "BTN-MYSQLD-STALLED": {
    title: "Crash recovery made no progress for too long",
    meaning: "The start was given up and the server was stopped.",
    action: "Read the error log; raise `recovery-stall` if the disk is merely slow.",
  },
  "BTN-MYSQLD-RECOVERING": {
    title: "The database repairs itself after a crash",
    meaning: "The start takes as long as the repair makes progress.",
    action: "Nothing. A limit on dirty pages makes it shorter.",
  },
  "BTN-MYSQLD-HUNG": {
    title: "The database server is there but does not answer",
    meaning: "It counts as failed.",
    action: "Look at its process and at its disk.",
  },
  "BTN-MYSQLD-ACCESS-DENIED": {
    title: "The database refused the account of the monitor",
    meaning: "The server is alive, but it can neither be checked nor opened.",
    action: "Give the account the rights named in the documentation, and check its password file.",
  },
  "BTN-MYSQLD-QUERY-FAILED": {
    title: "A statement of the monitor failed",
    meaning: "The server is there but not well.",
    action: "Read the detail.",
  },
  "BTN-MYSQLD-SATURATED": {
    title: "The database has no connection left for the monitor",
    meaning: "A server that says so is alive; it is left running.",
    action: "Raise max_connections, or set extra_port.",
  },
  "BTN-MYSQLD-READ-ONLY": {
    title: "The database is read-only although the group holds the service here",
    meaning: "Writes are refused. Something other than Baton set read_only.",
    action: "SET GLOBAL read_only = 0, unless someone set it on purpose.",
  },
  "BTN-MYSQLD-KILLED": {
    title: "The database server was ended by SIGKILL",
    meaning: "It did not end by itself in time. Nothing committed is lost; the next start repairs.",
    action: "Nothing, or raise `kill-after`.",
  },
  "BTN-MYSQLD-STOP-FAILED": {
    title: "The database server outlived SIGKILL",
    meaning: "Its process waits inside the kernel, usually for a disk.",
    action: "Repair the disk, or reset the host.",
  },
  "BTN-MYSQLD-PASSWORD-FILE": {
    title: "The password file of the monitor can not be used",
    meaning: "The server can not be checked.",
    action: "Create the file with mode 0600, owned by root.",
  },
} as const satisfies ReasonCatalogue;

/** A reason code of this room. */
export type ResourcesReason = keyof typeof resourcesReasons;
