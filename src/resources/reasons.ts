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

  // Addresses.
  "BTN-ADDRESS-INVALID": {
    title: "An address in the configuration is not an IP address",
    meaning: "The resource can not be started on any host.",
    action: "Correct the address.",
  },
  "BTN-ADDRESS-NO-DEVICE": {
    title: "No network device of this host is right for the address",
    meaning: "The address can not be held here.",
    action: "Name the device in the configuration, or give this host an address in that subnet.",
  },
  "BTN-ADDRESS-DEVICE-DOWN": {
    title: "The network device of the address is down",
    meaning: "Clients could not reach the address on this host.",
    action: "Bring the device up.",
  },
  "BTN-ADDRESS-WRONG-DEVICE": {
    title: "The address is on another device than the configured one",
    meaning: "Something other than Baton added it, or the configuration changed while it was held.",
    action: "Nothing: a start puts it where it belongs.",
  },
  "BTN-ADDRESS-KERNEL": {
    title: "The kernel refused to show or to change an address",
    meaning: "Whether the address is held is as it was before.",
    action: "Read the error in the detail; the agent needs CAP_NET_ADMIN.",
  },
  "BTN-ADDRESS-HOLDER-ANSWERS": {
    title: "The host that is replaced still answers for the address",
    meaning:
      "Its kernel lives though its cluster software is silent. The address is taken over all the same, " +
      "as the original does: until that kernel lets go, some clients may reach the wrong host.",
    action: "Power the silent host off, or take the address from it by hand.",
  },
  "BTN-ADDRESS-DUPLICATE": {
    title: "A stranger answers for the address, so it was not added",
    meaning: "Two hosts with one address break connections at random (reliability case 30).",
    action: "Find the host by the MAC in the detail and take the address from it.",
  },
  "BTN-ADDRESS-CONFLICT": {
    title: "Another host answers for an address that is held here",
    meaning: "Some clients reach the other host.",
    action: "Find the host by the MAC in the detail and take the address from it.",
  },
  "BTN-ADDRESS-NOT-ANNOUNCED": {
    title: "The address is held, but could not be announced to the network",
    meaning: "Hosts that remember the former holder reach it only when their memory of it expires.",
    action: "Read the error in the detail; the agent needs CAP_NET_RAW.",
  },
  "BTN-ADDRESS-LEFT-OVER": {
    title: "An address of a group that is not held here was found and removed",
    meaning: "An earlier run left it behind; two hosts would have answered for it.",
    action: "Nothing. See that nothing else on this host adds the address, such as network start.",
  },

  // File systems.
  "BTN-FILESYSTEM-NO-DEVICE": {
    title: "The block device of a file system is not there",
    meaning: "It can not be mounted on this host.",
    action: "Attach the device, or correct its path.",
  },
  "BTN-FILESYSTEM-OTHER-MOUNTED": {
    title: "Something else is mounted where a file system of a group belongs",
    meaning: "Mounting over it would hide it, and a stop would unmount the wrong thing.",
    action: "Unmount it, or correct the directory or device of the resource.",
  },
  "BTN-FILESYSTEM-MOUNTED-TWICE": {
    title: "The device is already mounted on another directory of this host",
    meaning: "A stop would leave it in use, and the other host could not safely mount it.",
    action: "Unmount it there.",
  },
  "BTN-FILESYSTEM-MOUNT-FAILED": {
    title: "A file system could not be mounted",
    meaning: "The group can not run here.",
    action: "Read the error in the detail.",
  },
  "BTN-FILESYSTEM-CHECK-FAILED": {
    title: "The check of a file system found errors that it may not repair by itself",
    meaning: "It is not mounted: writing to it could make the damage worse.",
    action: "Run fsck by hand on the host where the device is, with no host mounting it.",
  },
  "BTN-FILESYSTEM-READ-ONLY": {
    title: "A mounted file system has become read-only",
    meaning: "The kernel does so after an error of the disk; nothing can be written.",
    action: "Look at the kernel's log and at the disk.",
  },
  "BTN-FILESYSTEM-BUSY": {
    title: "A file system could not be unmounted",
    meaning: "It may still be written to, so it is never reported as released (R19).",
    action: "End the processes named in the detail, or reset the host.",
  },
  "BTN-FILESYSTEM-DISCARDED": {
    title: "A file system was shut down here with what it had not written yet",
    meaning:
      "Another host had taken the disk, as after this one was frozen: writing on would have damaged " +
      "what that host has mounted. What was in memory here is lost; it was not acknowledged by that host.",
    action: "Find out why this host stood still. Check the tables on the host that serves.",
  },
  "BTN-FILESYSTEM-NOT-DISCARDED": {
    title: "A file system could not be shut down without writing",
    meaning:
      "Another host had taken the disk, and this type of file system can only be unmounted, which writes " +
      "what was in memory.",
    action:
      "Check the file system and the tables on the host that serves. ext4 and xfs can do this.",
  },
  "BTN-FILESYSTEM-KILLED": {
    title: "Processes that kept a file system busy were ended",
    meaning: "The release of the group waited for them longer than `forceUnmountAfter`.",
    action: "Stop what uses the file system as part of the group.",
  },
  "BTN-FILESYSTEM-HUNG": {
    title: "A file system or its disk did not answer in time",
    meaning: "Its state is unknown, which is never taken for stopped.",
    action: "Look at the disk; a hung disk may need a reset of the host.",
  },
  "BTN-FILESYSTEM-TABLE": {
    title: "The kernel's table of mounts could not be read",
    meaning: "What is mounted is unknown, which is never taken for stopped.",
    action: "See that /proc is mounted.",
  },

  // The claim on a shared disk.
  "BTN-CLAIM-HELD-ELSEWHERE": {
    title: "The shared disk is claimed by another host that renews its claim",
    meaning:
      "It may be writing to the disk: two writers destroy a file system, so nothing is started.",
    action: "Release the group there. A host that is off stops renewing and is then replaced.",
  },
  "BTN-CLAIM-TAKEN-OVER": {
    title: "The claim of another host stood still for its deadtime and was replaced",
    meaning:
      "The claim guards against mistakes, not against a frozen holder: that one may write once " +
      "more when it wakes, before it sees that it lost the disk.",
    action: "See that the former holder is off or has been started anew.",
  },
  "BTN-CLAIM-EPOCH-RAISED": {
    title: "The claim was written with a higher epoch than the one asked for",
    meaning: "The disk had already seen that epoch; claims only ever rise, so that the newer wins.",
    action: "Nothing.",
  },
  "BTN-CLAIM-LOST": {
    title: "Another host claimed the shared disk while it was held here",
    meaning: "This host was too slow, or was replaced. The group must stop here at once.",
    action: "Read the timeline of both hosts; look for stalls of this host or of its disk.",
  },
  "BTN-CLAIM-CONTESTED": {
    title: "Two hosts claimed the shared disk at the same time and the other one won",
    meaning: "The start was given up here; nothing was mounted.",
    action: "Nothing, if the group runs on the other host.",
  },
  "BTN-CLAIM-NOT-RENEWED": {
    title: "The claim on the shared disk could not be renewed for its deadtime",
    meaning: "Another host may now take the disk over.",
    action: "Look at the disk and at the load of this host.",
  },
  "BTN-CLAIM-OVERWRITTEN": {
    title: "The claim held here was overwritten by an older one, or wiped, and was written again",
    meaning: "A host that was replaced woke up and wrote once more, or someone touched the device.",
    action: "Look at the other host: it must have stopped the group by itself.",
  },
  "BTN-CLAIM-NOT-RELEASED": {
    title: "The claim could not be marked as released",
    meaning:
      "It is no longer renewed; another host takes over once it has stood still for deadtime.",
    action: "Look at the claim device named in the detail.",
  },
  "BTN-CLAIM-DISK-ERROR": {
    title: "The claim device could not be read or written",
    meaning: "Who holds the shared disk is unknown, which is never taken for free.",
    action: "Look at the device named in the detail.",
  },
  "BTN-CLAIM-DISK-HUNG": {
    title: "The claim device did not answer in time",
    meaning: "Who holds the shared disk is unknown, which is never taken for free.",
    action: "Look at the device and its path; a hung disk may need a reset of the host.",
  },
  "BTN-CLAIM-NOT-A-CLAIM": {
    title: "The claim device holds something other than a claim",
    meaning: "It is perhaps the wrong device; nothing is written to it.",
    action: "Correct `claimDevice`. To use this device, fill its first 8 KiB with zeros.",
  },
  "BTN-CLAIM-DAMAGED": {
    title: "Both copies of the claim are damaged",
    meaning: "Who held the shared disk can not be told.",
    action:
      "With the group stopped on every host, fill the first 8 KiB of the claim device with zeros.",
  },
  "BTN-DISK-NO-PROCESS": {
    title: "Nothing runs the disk on this host",
    meaning:
      "A replicated disk is held by a process of its own. Without it nobody can say which role the " +
      "disk has here, and it can not be made Primary.",
    action: "Start it with `baton disk up NAME`; `baton disk status` shows why it ended.",
  },
  "BTN-DISK-SERVED-BY-PEER": {
    title: "The disk of this host failed; the other host's disk serves every read and write",
    meaning: "Nothing is lost, but each access crosses the network and there is one copy only.",
    action:
      "The group moves to the other host by itself. Replace the disk here, then `baton disk attach`.",
  },
  "BTN-DISK-LOST": {
    title: "The disk of this host failed and the other one can not serve",
    meaning: "There is no access to up-to-date data; reads and writes fail or wait.",
    action: "Bring the other host or the disk back; `baton disk status` shows both sides.",
  },
  "BTN-DISK-NO-DEVICE": {
    title: "The disk is Primary, but its block device did not appear",
    meaning: "FUSE or the loop driver refused; nothing can be mounted.",
    action:
      "See the disk's log in the journal directory; /dev/fuse and /dev/loop-control must be there.",
  },
} as const satisfies ReasonCatalogue;

/** A reason code of this room. */
export type ResourcesReason = keyof typeof resourcesReasons;
