import type { ReasonCatalogue } from "../base/index.ts";

/** Why failover did something, or did not. The texts are for somebody who was woken up. */
export const failoverReasons = {
  // How a group stands
  "BTN-FAILOVER-NOT-PROBED": {
    title: "It is not known yet what runs on this host",
    meaning: "The agent just started and looks at every resource before it decides anything.",
    action: "Wait a few seconds.",
  },
  "BTN-FAILOVER-PARTIAL": {
    title: "A part of the group ran here and could not be completed in time: it is stopped",
    meaning:
      "An agent ended in the middle of a start or stop. The detail says why the group may not be started here now; " +
      "after a deadtime the other host may have taken it.",
    action: "Nothing for the group; find out why the agent ended.",
  },
  "BTN-FAILOVER-PROBE-UNCLEAR": {
    title: "A probe could not find out whether the group runs here",
    meaning:
      "The group is treated as if it might run here: it is not started on either host. The probe is " +
      "repeated every 5 s.",
    action: "The detail names the resource. Look at it by hand; a hung mount or script is usual.",
  },
  "BTN-FAILOVER-ADOPTED": {
    title: "The group was found running here and goes on",
    meaning: "The agent restarted while its resources ran; nothing was stopped or moved.",
    action: "Nothing",
  },
  "BTN-FAILOVER-HOLDING": {
    title: "This host holds the group",
    meaning:
      "It is the owner under the present epoch, and the group runs or is being started here.",
    action: "Nothing",
  },
  "BTN-FAILOVER-HELD-BY-PEER": {
    title: "The other host holds the group",
    meaning: "All is as it should be; this host stands by.",
    action: "Nothing",
  },
  "BTN-FAILOVER-PEER-OWNS": {
    title: "The group belongs to the other host",
    meaning:
      "Only the owner starts a group while both hosts live, and the owner is the other host. If it " +
      "runs on neither, the status of the other host says why.",
    action: "If it should run here: `baton switch GROUP --to THIS-HOST`.",
  },
  // Starting
  "BTN-FAILOVER-START-AS-OWNER": {
    title: "The group is started: this host is its owner, and the other host runs nothing of it",
    meaning: "The other host confirmed it under the same epoch, so the group can not run twice.",
    action: "Nothing",
  },
  "BTN-FAILOVER-START-CLASSIC": {
    title: "The group is started: by the classic protocol it is this host's to hold",
    meaning: "The heartbeat on the other host does not hold it, or handed it over.",
    action: "Nothing",
  },
  "BTN-FAILOVER-START-ALONE-FRESH": {
    title: "The group is started by one host alone in a cluster that was never used",
    meaning:
      "The other host was not heard for initdead, and this host has no record of an earlier holder, " +
      "so there is nothing to compare with.",
    action:
      "Nothing, if the other host is really off. If it runs, find out why the two do not hear each other.",
  },
  "BTN-FAILOVER-START-ALONE-HELD": {
    title: "The group is started alone by the host that owned it last",
    meaning:
      "The other host was not heard for initdead. By this host's record it was the last owner itself, " +
      "so its data is the newest that it knows of.",
    action: "Bring the other host back when you can.",
  },
  "BTN-FAILOVER-START-UNCOMPARED": {
    title: "The group is started although the other host held it last, with nothing to compare",
    meaning:
      "Both were down, only this host came back, and the group has no data of which the age can be " +
      "compared. The original starts as well. If data is behind the group, it may be older than what " +
      "the other host last served.",
    action: "Check the data before clients write much. Bring the other host back.",
  },
  "BTN-FAILOVER-START-COMPARED": {
    title: "The group is started: the shared disk shows that the other host does not use it",
    meaning:
      "The claim of the last holder has stood still for deadtime, and the data is on that same disk.",
    action: "Nothing",
  },
  "BTN-FAILOVER-PROOF-WAIT": {
    title: "The group waits for the claim on the shared disk to be read",
    meaning:
      "Before taking over, this host watches whether the last holder still renews its claim.",
    action:
      "If it stays so for more than a few deadtimes, check that the claim device can be read here.",
  },
  "BTN-FAILOVER-PROOF-UNREADABLE": {
    title: "The group is not started: the claim on the shared disk can not be read",
    meaning:
      "Without it this host can not tell whether the other one still uses the data. Two users of one " +
      "file system destroy it.",
    action:
      "Repair the path to the claim device. If the other host is surely off: `baton takeover --peer-is-dead`.",
  },
  "BTN-FAILOVER-CLAIM-ALIVE": {
    title: "The group is not taken over: the silent host still renews its claim on the shared disk",
    meaning:
      "The network to it is broken, but it lives and uses the data. Taking over would destroy it.",
    action:
      "Repair the links between the hosts, or switch that host off; then the takeover follows by itself.",
  },
  // A replicated disk
  "BTN-FAILOVER-DISK-PEER-ALIVE": {
    title:
      "The group is not taken over: over the disk's connection the other host is seen as Primary",
    meaning:
      "Its heartbeats are lost, but it lives and writes. Replication counts as a sign of life.",
    action:
      "Repair the heartbeat links. If the host really hangs, switch it off; the takeover follows.",
  },
  "BTN-FAILOVER-DISK-NOT-CURRENT": {
    title: "The group is not started: the disk here is not known to have the newest data",
    meaning:
      "It is Outdated, Inconsistent or absent, or this host was the standby before everything stopped. The other " +
      "host may have acknowledged writes that are not here (R5, S4).",
    action:
      "Start the other host: the disks compare and the group starts. If that host is lost for good and you accept " +
      "what may be missing: `baton disk primary --force NAME`, then `baton takeover --peer-is-dead`.",
  },
  "BTN-FAILOVER-DISK-CONNECTING": {
    title: "The group waits for the disks to connect",
    meaning:
      "Both hosts live; the disks compare their generations first, which takes about a second.",
    action: "Nothing. If it stays, `baton disk status` says what keeps them apart.",
  },
  "BTN-FAILOVER-DISK-BETTER-THERE": {
    title: "The group goes to the other host: only its disk is up to date",
    meaning: "The disk here is behind and is being brought up to date from there.",
    action: "Nothing; move it back when `baton disk status` shows UpToDate on both.",
  },
  "BTN-FAILOVER-PEER-DISK-NOT-CURRENT": {
    title: "The group is not moved: the other host's disk is not up to date",
    meaning: "It could not be promoted there without losing writes.",
    action: "Wait for the resync, or repair the replication link; `baton disk status` shows which.",
  },
  "BTN-FAILOVER-START-EXCLUDED": {
    title: "The group starts alone: the other host is known to be without the newest data",
    meaning:
      "The disk here recorded durably that the other side was excluded, or this host held the group last.",
    action: "Nothing; the other host is brought up to date when it comes back.",
  },
  // Taking over
  "BTN-FAILOVER-TAKEOVER-DEAD": {
    title: "The group is taken over: the other host is silent on every link",
    meaning:
      "It was not heard for deadtime. Without an arbiter that is no proof of its death: status says " +
      "`unproven` until the two meet again.",
    action: "Find out what happened to the other host. `baton timeline` has the phases.",
  },
  "BTN-FAILOVER-TAKEOVER-LEFT": {
    title: "The group is taken over: the other host said goodbye",
    meaning: "It stopped its groups and ended in good order, so nothing had to be waited for.",
    action: "Nothing",
  },
  "BTN-FAILOVER-TAKEOVER-FORCED": {
    title: "The group is taken over because a person said that the other host is dead",
    meaning: "Policy, ping nodes and the comparison of data were set aside by that word.",
    action: "Keep the other host off until you have looked at it.",
  },
  "BTN-FAILOVER-RESOURCES-FROM-PEER": {
    title: "The groups of the other host are acquired",
    meaning: "The classic peer is dead or shut down; both classes of groups belong here now.",
    action: "Nothing",
  },
  "BTN-FAILOVER-ORPHANS-TAKEN": {
    title: "Groups that nobody held are taken",
    meaning:
      "A host that restarts within deadtime forgets what it held for the other, and the original " +
      "leaves such groups down. Here they are started again.",
    action: "Nothing",
  },
  "BTN-FAILOVER-PEER-UNSURE": {
    title: "The group waits: it is not known how the other host is",
    meaning:
      "It has neither been heard nor been silent long enough to be taken for dead, or this host was " +
      "itself not run for a while. Nothing is started on a guess.",
    action: "Wait for initdead after a start, else for deadtime. `baton status` shows the links.",
  },
  "BTN-FAILOVER-PEER-MUTE": {
    title: "The group waits: the other host beats, but has not told what it holds",
    meaning: "Its agent may be starting, stopped or hung while its beats go on.",
    action: "If it lasts: look at the agent of the other host (`systemctl status`, its journal).",
  },
  "BTN-FAILOVER-PEER-NOT-RELEASED": {
    title: "The group waits until the other host has stopped it",
    meaning:
      "The ownership is here already; starting before the other host has stopped would run it twice.",
    action: "If it lasts, see on the other host which resource does not stop.",
  },
  "BTN-FAILOVER-PEER-BLOCKED": {
    title: "The group is not started: the other host could not stop it",
    meaning: "A resource there did not stop, so it may still run. It is not started a second time.",
    action:
      "Stop the named resource on the other host by hand, or switch that host off; it goes on by itself.",
  },
  "BTN-FAILOVER-WAIT-PEER-ACK": {
    title: "The group waits until the other host confirms the present epoch",
    meaning: "A change of ownership is on its way; messages are repeated every second.",
    action: "If it lasts, the other host does not hear this one: look at the links.",
  },
  "BTN-FAILOVER-PEER-ASKED": {
    title: "The takeover waits: the silent host asked this one less than deadtime ago",
    meaning:
      "It may have started its groups on the answer. If it is cut off it stops them within deadtime, so " +
      "waiting that long avoids two holders.",
    action: "Nothing; the takeover follows by itself.",
  },
  "BTN-FAILOVER-NO-PING": {
    title: "No takeover: the other host is silent, but no ping node answers here either",
    meaning:
      "More likely this host is cut off than the other one dead; the other one goes on serving.",
    action:
      "Check the network of this host. If the ping nodes are down and the other host is surely off: " +
      "`baton takeover --peer-is-dead`.",
  },
  "BTN-FAILOVER-SAFE-POLICY": {
    title: "No takeover on silence alone: split-brain-policy is safe",
    meaning:
      "The configuration wants a person to confirm that the other host is dead. The service is down.",
    action: "Make sure that the other host is off, then `baton takeover --peer-is-dead`.",
  },
  "BTN-FAILOVER-CONFIG-DIFFERS": {
    title: "The two hosts have different configurations: nothing moves by itself",
    meaning:
      "The safety-relevant parts (hosts, groups, policies) differ, so what one calls safe the other may " +
      "not (R21). What runs goes on; takeover and failback wait for a person.",
    action:
      "Install the same cluster.yaml on both and restart the agents; `baton check` shows the digest.",
  },
  "BTN-FAILOVER-INCOMPATIBLE": {
    title: "The other host sent a message that this version must understand and does not",
    meaning: "It runs a newer Baton. This host stays in its present role (R22).",
    action: "Install the same version on both hosts.",
  },
  "BTN-FAILOVER-ARBITER-WAIT": {
    title: "The takeover waits for the arbiter",
    meaning: "The right to hold the group was asked for and not answered yet.",
    action: "If it lasts, look at the witness or register that the configuration names.",
  },
  "BTN-FAILOVER-ARBITER-REFUSED": {
    title: "The arbiter refused the right to hold the group",
    meaning: "It knows of another holder, or has no majority.",
    action: "The detail gives its reason.",
  },
  // Letting go
  "BTN-FAILOVER-DEPOSED": {
    title: "The group is stopped here at once: the other host holds it under a higher epoch",
    meaning:
      "While the two did not hear each other, the other one took over. The higher epoch keeps the group.",
    action:
      "Find out why the links failed together. Data written here after the split may have to be compared.",
  },
  "BTN-FAILOVER-SPLIT-YIELD": {
    title: "Both hosts changed the owner while apart; the other one decides",
    meaning: "Exactly one of the two gives way, so the service does not stop on both.",
    action: "As for any split: find out why the links failed together.",
  },
  "BTN-FAILOVER-SPLIT-DECIDED": {
    title: "Both hosts changed the owner while apart; this host decided who goes on",
    meaning: "Exactly one of the two gives way, so the service does not stop on both.",
    action: "As for any split: find out why the links failed together.",
  },
  "BTN-FAILOVER-CUT-OFF": {
    title: "Nothing runs or starts here: this host hears neither the other host nor any ping node",
    meaning:
      "It is cut off, and the other host is about to take over. Stopping first avoids two holders. When " +
      "a ping node has answered for deadtime again, the host takes part again.",
    action: "Repair the network of this host.",
  },
  "BTN-FAILOVER-UNHEARD-HOLDS": {
    title: "This host goes on holding the group, although the other one does not hear it",
    meaning:
      "A cable or rule breaks one direction. The claim on the shared disk keeps the other host out while " +
      "it is renewed, and a ping node answers here, so clients reach this host.",
    action: "Repair the path from this host to the other one: until then nothing can take over.",
  },
  "BTN-FAILOVER-TAKEOVER-DEAF": {
    title: "The group is taken over: the other host hears nobody and has let go",
    meaning:
      "It still is heard, says that neither this host nor a ping node answers there, and released its " +
      "claim on the shared disk.",
    action: "Repair the path to the other host (cable, switch port, firewall).",
  },
  "BTN-FAILOVER-NOT-HEARD": {
    title:
      "The other host hears no beat of this one: nothing starts here, and what no claim guards stops",
    meaning:
      "A cable or rule breaks one direction. The other host will take this one for dead, so this one " +
      "stops before that. A group whose claim keeps the other host out goes on if a ping node answers.",
    action: "Repair the path from this host to the other one (cable, switch port, firewall).",
  },
  "BTN-FAILOVER-NO-BEATS": {
    title: "Nothing runs or starts here: this host sends no beats",
    meaning:
      "Its beat process is gone and was not replaced in time. The other host will take this one for dead, so " +
      "this one stops before that.",
    action: "Look into beat.log in the journal directory; a full disk is a usual cause.",
  },
  "BTN-FAILOVER-STALLED": {
    title: "This host itself was not run for a while",
    meaning:
      "A pause of the machine (suspend, migration, overload) long enough for the other host to have " +
      "replaced it. Nothing is seized; the word of the other host is awaited.",
    action: "Look for what froze the machine.",
  },
  "BTN-FAILOVER-STALLED-RELEASE": {
    title:
      "The groups are stopped: after a pause of this host nobody confirmed that it still holds them",
    meaning:
      "The other host may have taken over during the pause; two holders would be worse than a restart.",
    action:
      "Look for what froze the machine. The groups start again where they belong by themselves.",
  },
  "BTN-FAILOVER-BOTH-CLAIM": {
    title: "Both hosts claim the same groups",
    meaning:
      "After a split with a classic peer, the real heartbeat restarts itself after 2 s and gives its " +
      "share up; this host goes on. One that was frozen and resumed does not: it is asked to give.",
    action: "If it stays so for more than 20 s, stop heartbeat on one host.",
  },
  "BTN-FAILOVER-CONTEST-ASKED": {
    title: "A classic peer claims what runs here, and is asked to give it up",
    meaning:
      "It was frozen, took this host for dead when it resumed and seized the groups. By hb_takeover it " +
      "releases them, while they run on here.",
    action: "Find out why that host was frozen; its deadtime may be too short for it.",
  },
  "BTN-FAILOVER-CONTEST-YIELDED": {
    title: "A classic peer did not give up what it seized: this host gives up its own",
    meaning: "Two hosts that run the same groups are worse than a move.",
    action: "Look into the log of heartbeat on the other host.",
  },
  "BTN-FAILOVER-PEER-RETURNED": {
    title: "The other host was silent, not down: it is heard again",
    meaning: "Deadtime passed without a beat and then the same run of it came back.",
    action: "Deadtime may be too small, or all links share one part. Look at the links.",
  },
  "BTN-FAILOVER-PEER-STAYED": {
    title: "Groups seized during a silence are given back to a peer that never gave them up",
    meaning: "Only this host was deaf: the other one kept running them and noticed nothing.",
    action: "Repair the path from the other host to this one.",
  },
  // Failures
  "BTN-FAILOVER-START-FAILED": {
    title: "The group could not be started here",
    meaning:
      "What had been started of it was stopped again. It is tried on the other host if that can.",
    action: "The detail names the resource and its error. Repair it, then `baton clear GROUP`.",
  },
  "BTN-FAILOVER-FAILED-MOVED": {
    title: "The group failed here and is given to the other host",
    meaning: "A failed start on one host does not leave the service down on both.",
    action: "Repair the cause on the host that failed, then `baton clear GROUP`.",
  },
  "BTN-FAILOVER-RETRY-LATER": {
    title: "The group failed to start and is tried again shortly",
    meaning:
      "The other host can not take it, or failed as often. Waits of 5, 15 and 45 s lie between tries.",
    action: "The detail names the resource. `baton clear GROUP` tries at once.",
  },
  "BTN-FAILOVER-GAVE-UP": {
    title: "The group is down: it failed to start three times in a row",
    meaning:
      "More tries would not help, and each may do harm. The service stays down until somebody looks.",
    action: "Repair the resource that the detail names, then `baton clear GROUP`.",
  },
  "BTN-FAILOVER-PEER-GAVE-UP": {
    title: "The other host failed to start the group three times",
    meaning: "It is not given there until somebody has looked.",
    action: "Repair the cause there, then `baton clear GROUP`.",
  },
  "BTN-FAILOVER-PEER-FAILED": {
    title: "The other host failed to start the group last time",
    meaning: "Nothing moves there by itself until that is cleared.",
    action: "Repair the cause there, then `baton clear GROUP`.",
  },
  "BTN-FAILOVER-MONITOR-FAILED": {
    title: "A resource failed while it ran, and local restarts did not help",
    meaning: "The group is stopped here and goes on where it can.",
    action: "The detail names the resource and what its monitor saw.",
  },
  "BTN-FAILOVER-STOP-BLOCKED": {
    title: "The group could not be stopped here",
    meaning:
      "Something of it may still run, so it is never reported as released and the other host does not " +
      "start it (R19). The stop is repeated.",
    action: "Stop the resource that the detail names by hand; the next try then succeeds.",
  },
  "BTN-FAILOVER-STOP-RETRY": {
    title: "A stop that failed is tried again",
    meaning:
      "Only a successful stop frees the group; tries come every 5 s at first, every 60 s in the end.",
    action: "As for BTN-FAILOVER-STOP-BLOCKED.",
  },
  // Moves
  "BTN-FAILOVER-ASKED": {
    title: "The group moves because a person asked for it",
    meaning: "It is stopped here, then the other host gets it under the next epoch.",
    action: "Nothing",
  },
  "BTN-FAILOVER-ASKED-BY-PEER": {
    title: "The group moves because the other host asked for it",
    meaning: "A takeover, switch or standby was given there.",
    action: "Nothing",
  },
  "BTN-FAILOVER-HANDING-OVER": {
    title: "The group is being given to the other host",
    meaning: "The move is under way.",
    action: "Nothing",
  },
  "BTN-FAILOVER-HANDED-OVER": {
    title: "The group now belongs to the other host",
    meaning: "It was stopped here first; the other host starts it under the next epoch.",
    action: "Nothing",
  },
  "BTN-FAILOVER-MOVE-CANCELLED": {
    title: "A move was given up; the group stays",
    meaning:
      "The other host became unable to take it before it was handed over, or it could not be stopped.",
    action: "The detail gives the reason.",
  },
  "BTN-FAILOVER-FAILBACK": {
    title: "The group goes back to the host that it prefers",
    meaning: "auto_failback is on and that host has been back and stable for deadtime.",
    action: "Nothing. `auto_failback off` avoids this second interruption.",
  },
  "BTN-FAILOVER-IPFAIL": {
    title: "The group moves: the other host sees more ping nodes",
    meaning: "This host lost part of its network for longer than 2 x keepalive.",
    action: "Repair the network of the host that sees fewer ping nodes.",
  },
  "BTN-FAILOVER-MOVES-EXHAUSTED": {
    title: "The group stays: it moved by itself three times in ten minutes",
    meaning:
      "Something makes it flap. A running group is not moved by itself again for now; the death of a " +
      "host or a failure is still answered.",
    action:
      "Find the flapping part (failback with an unstable host, a ping node that comes and goes).",
  },
  "BTN-FAILOVER-STANDBY": {
    title: "The groups are given to a classic peer by the standby protocol",
    meaning: "Released here first, then the peer is told to acquire them.",
    action: "Nothing",
  },
  "BTN-FAILOVER-STANDBY-IGNORED": {
    title: "A step of the standby protocol was ignored",
    meaning:
      "It did not fit the state of this host; the peer cancels after 10 s and nothing moves.",
    action: "Repeat the command when both sides are at rest.",
  },
  "BTN-FAILOVER-STANDBY-NO-REPLY": {
    title: "The classic peer did not go along with the standby",
    meaning: "It did not answer within the time of the protocol; the groups are held as before.",
    action: "See its ha-log; repeat the command.",
  },
  "BTN-FAILOVER-STANDBY-REFUSED": {
    title: "A standby can not begin now",
    meaning: "One of the two sides is not at rest, or another move is under way.",
    action: "Repeat it in a few seconds; the detail says what is in the way.",
  },
  "BTN-FAILOVER-CLASSIC-WHOLE-CLASS": {
    title: "A classic peer can only exchange all local or all foreign groups",
    meaning: "Its protocol has no word for one group of several.",
    action: "Use `baton standby` or `baton takeover` with local, foreign or all.",
  },
  "BTN-FAILOVER-LEGACY": {
    title: "Not possible with auto_failback legacy",
    meaning: "In that mode the classic protocol has neither standby nor takeover.",
    action: "Set auto_failback to on or off on both hosts.",
  },
  // Commands
  "BTN-FAILOVER-MOVED": {
    title: "The groups run where they were wanted",
    meaning: "The command is done.",
    action: "Nothing",
  },
  "BTN-FAILOVER-NOTHING-TO-MOVE": {
    title: "There was nothing to move",
    meaning: "The groups of that scope are already where the command wants them.",
    action: "Nothing",
  },
  "BTN-FAILOVER-CLEARED": {
    title: "Failed starts are forgotten",
    meaning: "The group is tried again at once where it belongs.",
    action: "Nothing",
  },
  "BTN-FAILOVER-TIMEOUT": {
    title: "The move is not finished after 15 minutes",
    meaning: "The command ends; what it began goes on.",
    action: "`baton status` shows on which host which state lasts.",
  },
  "BTN-FAILOVER-NO-ANSWER": {
    title: "The other host did not answer the request",
    meaning: "Nothing was moved.",
    action: "Look at the links and at the agent of the other host; repeat the command.",
  },
  "BTN-FAILOVER-PEER-REFUSED": {
    title: "The other host refused",
    meaning: "For a reason that this version does not know.",
    action: "See status and journal of the other host.",
  },
  "BTN-FAILOVER-PEER-CANNOT-TAKE": {
    title: "The other host can not take the group",
    meaning: "It is not there.",
    action:
      "Bring it back first. To stop the service here on purpose, stop the agent's groups instead.",
  },
  "BTN-FAILOVER-PEER-STOPPING": {
    title: "The other host is about to stop",
    meaning: "It gives its groups up and takes none.",
    action: "Nothing",
  },
  "BTN-FAILOVER-PEER-IS-ALIVE": {
    title: "Refused: the other host is alive",
    meaning: "--peer-is-dead would start the groups a second time beside it.",
    action: "Use `baton takeover` without --peer-is-dead.",
  },
  "BTN-FAILOVER-NOT-OWNER": {
    title: "Refused: this host is not the owner of the group",
    meaning: "Only the owner gives a group away.",
    action: "Ask the host that `baton status` names as the owner.",
  },
  "BTN-FAILOVER-UNKNOWN-GROUP": {
    title: "There is no such group",
    meaning: "Nothing was done.",
    action: "`baton status` lists the groups.",
  },
  "BTN-FAILOVER-UNKNOWN-HOST": {
    title: "There is no such data host",
    meaning: "Nothing was done.",
    action: "`baton status` lists the hosts.",
  },
  "BTN-FAILOVER-NAME-THE-TARGET": {
    title: "The groups are on both hosts: the target must be named",
    meaning: "Without it, `switch` would have to guess.",
    action: "Add `--to HOST`, or name one group.",
  },
  "BTN-FAILOVER-BUSY": {
    title: "Refused: another command moves that group already",
    meaning: "One move at a time.",
    action: "Wait for it; `baton status --watch` follows it.",
  },
  "BTN-FAILOVER-HOST-STOPPING": {
    title: "This host is stopping and gives its groups up",
    meaning: "What the other host can take is handed over, the rest is stopped.",
    action: "Nothing",
  },
  "BTN-FAILOVER-STOPPED": {
    title: "All groups are released here, and the other host knows",
    meaning: "The agent may end.",
    action: "Nothing",
  },
  // Input
  "BTN-FAILOVER-MALFORMED": {
    title: "A message of the other host could not be read",
    meaning: "It changed nothing.",
    action: "If it repeats, compare the versions on both hosts.",
  },
  "BTN-FAILOVER-UNKNOWN-KIND": {
    title: "The other host sent a kind of message that this version does not know",
    meaning: "It changed nothing; a newer version may add such messages.",
    action: "Nothing",
  },
} as const satisfies ReasonCatalogue;

/** A reason code of this room. */
export type FailoverReason = keyof typeof failoverReasons;

/** Is `text`, perhaps said by a peer, a code of this room? */
export function isFailoverReason(text: string): text is FailoverReason {
  return Object.hasOwn(failoverReasons, text);
}
