import type { ReasonCatalogue } from "../base/index.ts";

/** Why a replicated disk did something, or did not: states, connection, generations, fencing. */
export const diskControlReasons = {
  // Results of commands and requests (drbd.md 4.2)
  "BTN-DISK-DONE": {
    title: "It was done",
    meaning: "The command had its effect; the state of the disk says which.",
    action: "Nothing",
  },
  "BTN-DISK-NOTHING-TO-DO": {
    title: "There was nothing to do",
    meaning: "The disk already was as the command asks.",
    action: "Nothing",
  },
  "BTN-DISK-TWO-PRIMARIES": {
    title: "Refused: the other host is Primary",
    meaning:
      "Only one host may write at a time unless `allow-two-primaries` is set; two writers would destroy a file system.",
    action:
      "Make the other host Secondary first. If it is dead, its connection must time out and it must be excluded.",
  },
  "BTN-DISK-NO-CURRENT-DATA": {
    title: "Refused: there is no UpToDate data here or at the peer",
    meaning:
      "A Primary needs access to UpToDate data. This disk is Inconsistent, Outdated, or only known to have been consistent.",
    action:
      "Connect to the host with the newer data. `--force` declares this data to be current: what only the peer has is then lost.",
  },
  "BTN-DISK-NO-LOCAL-DISK": {
    title: "Refused: a resync needs the local disk",
    meaning: "This host has no disk attached, or it has failed.",
    action: "Attach the disk.",
  },
  "BTN-DISK-NO-REMOTE-DISK": {
    title: "Refused: a resync needs the peer's disk",
    meaning: "The peer has no disk attached, or it has failed.",
    action: "Attach the disk there.",
  },
  "BTN-DISK-OUTDATE-CONNECTED": {
    title: "Refused: a connected disk is not outdated",
    meaning: "While connected both sides receive every write, so nothing can be old.",
    action: "Disconnect first if that is meant.",
  },
  "BTN-DISK-PEER-NOT-OUTDATED": {
    title: "Refused: the peer's disk is not known to be outdated",
    meaning:
      "With fencing, a host is Primary alone only if the other disk can not be used in its place, and that could not be established.",
    action:
      "Look why the peer could not be fenced. `--force` goes on without a proof: two different copies can be the result.",
  },
  "BTN-DISK-RESYNC-RUNNING": {
    title: "Refused: a resync or verify is running",
    meaning: "Only one can run at a time.",
    action: "Wait until it is done.",
  },
  "BTN-DISK-ALREADY-STANDALONE": {
    title: "Refused: the disk does not look for its peer",
    meaning: "It is StandAlone; there is nothing to disconnect.",
    action: "Nothing",
  },
  "BTN-DISK-REFUSED-BY-PEER": {
    title: "The other host refused",
    meaning:
      "The change needs both sides, and the other one can not make it now. The detail has its number.",
    action: "Look at the status of the other host.",
  },
  "BTN-DISK-IS-DISKLESS": {
    title: "Refused: there is no local disk",
    meaning: "The command needs an attached disk.",
    action: "Attach the disk.",
  },
  "BTN-DISK-IN-USE": {
    title: "Refused: the device is open",
    meaning: "A program or a mounted file system uses it.",
    action: "Unmount it and stop what uses it. `fuser -vm DEVICE` shows who that is.",
  },
  "BTN-DISK-NO-VERIFY-ALG": {
    title: "Refused: no verify-alg is configured",
    meaning: "A verify compares digests and needs an algorithm, the same on both hosts.",
    action: "Configure `verify-alg`.",
  },
  "BTN-DISK-NEED-CONNECTION": {
    title: "Refused: this needs a connection to the peer",
    meaning: "The peer takes part in it.",
    action: "Connect first.",
  },
  "BTN-DISK-LOWER-THAN-OUTDATED": {
    title: "Refused: the disk is worse than outdated",
    meaning: "An Inconsistent or absent disk holds no usable data that could be outdated.",
    action: "Nothing",
  },
  "BTN-DISK-TRANSIENT": {
    title: "Refused: the state is changing at this moment",
    meaning: "A handshake or another change is under way.",
    action: "Try again in a moment.",
  },
  "BTN-DISK-CONCURRENT-CHANGE": {
    title: "Refused: both sides asked for a change at once",
    meaning: "One of the two has to wait.",
    action: "Try again in a moment.",
  },
  "BTN-DISK-OUTDATE-UNCONNECTED": {
    title: "Refused: the peer can only outdate itself over a connection",
    meaning: "The disconnect would need the peer's consent and there is no connection.",
    action: "Fence the peer instead.",
  },
  "BTN-DISK-ALREADY-ATTACHED": {
    title: "Refused: the disk is attached",
    meaning: "There is one backing disk on each host.",
    action: "Nothing",
  },
  "BTN-DISK-ALREADY-CONNECTING": {
    title: "Refused: the disk looks for its peer already",
    meaning: "A connection exists or is being tried.",
    action: "Disconnect first if other options are to be used.",
  },
  "BTN-DISK-NO-DISK": {
    title: "Refused: no disk",
    meaning: "No disk is attached, or none is configured for this host.",
    action: "Look at the configuration of the disk on this host.",
  },
  "BTN-DISK-METADATA-INVALID": {
    title: "The metadata can not be used",
    meaning: "It does not fit the device; nothing was changed.",
    action: "Compare size and place of the metadata with the configuration.",
  },
  "BTN-DISK-DATA-NOT-CURRENT": {
    title: "Refused: this is other data than the applications use",
    meaning:
      "A Primary without a disk uses data of one generation; a disk or peer of another one must not be put under it.",
    action: "Make the disk Secondary first, then attach or connect: it is resynced.",
  },
  "BTN-DISK-IS-CONNECTED": {
    title: "Refused while connected",
    meaning:
      "A new generation is declared alone, or on a pair that was never used, with `--clear-bitmap`.",
    action: "Disconnect first.",
  },
  "BTN-DISK-WOULD-SHRINK": {
    title: "Refused: the device would become smaller",
    meaning: "Usable data is never cut off because the other disk is smaller.",
    action: "Enlarge the smaller backing device, or set `size` on both hosts.",
  },
  "BTN-DISK-DISCARD-PRIMARY": {
    title: "Refused: a Primary does not discard its data",
    meaning: "`--discard-my-data` would replace data that is in use.",
    action: "Make the disk Secondary first.",
  },
  "BTN-DISK-NO-SECRET": {
    title: "Refused: there is no shared secret",
    meaning: "`cram-hmac-alg` is configured; without the secret nobody could be trusted.",
    action: "Provide the file with the secret (mode 0600).",
  },
  "BTN-DISK-TOO-MANY-COMMANDS": {
    title: "Refused: too many commands wait",
    meaning: "Commands of one disk are done one after the other.",
    action: "Wait for those that were given.",
  },
  "BTN-DISK-COMMAND-TIMEOUT": {
    title: "The command made no progress and was given up",
    meaning: "The detail says what it was waiting for. What it had done so far stays.",
    action: "Look at the state of the disk and of its peer.",
  },
  // The connection
  "BTN-DISK-CONNECTING": {
    title: "The disk looks for its peer",
    meaning: "It listens and dials until both sockets are up.",
    action: "Nothing",
  },
  "BTN-DISK-CONNECTED": {
    title: "The disk is connected to its peer",
    meaning: "One of the two has no disk, so there was nothing to compare.",
    action: "Attach the missing disk.",
  },
  "BTN-DISK-COMPARED": {
    title: "The generations of both sides were compared",
    meaning: "The rule that matched decides whether and in which direction blocks are copied.",
    action: "Nothing",
  },
  "BTN-DISK-PEER-DISCONNECTED": {
    title: "The other host ended the connection",
    meaning:
      "It was asked to disconnect, and told this host first. This host waits for it to come back.",
    action: "Nothing",
  },
  "BTN-DISK-DISCONNECTED": {
    title: "The connection was ended",
    meaning: "By a command; the disk is StandAlone until `connect`.",
    action: "`connect` when the peer is to be used again.",
  },
  "BTN-DISK-HANDSHAKE-SILENT": {
    title: "The peer did not answer in the handshake",
    meaning: "Sockets were open and nothing came. It is tried again.",
    action: "If it lasts: look at the peer, and at firewalls between the hosts.",
  },
  "BTN-DISK-UNEXPECTED-PACKET": {
    title: "The peer sent a packet where it can not be",
    meaning: "The connection is dropped and made anew.",
    action: "If it happens again: the software of the peer is at fault.",
  },
  "BTN-DISK-PEER-SILENT": {
    title: "The peer does not answer pings",
    meaning:
      "It is dead, hangs, or the network is cut. Writes are remembered in the bitmap; with fencing they wait.",
    action: "Look at the peer and the network.",
  },
  "BTN-DISK-PEER-TOO-SLOW": {
    title: "The peer did not answer a request in time",
    meaning:
      "`ko-count` times `timeout` have passed. The connection is dropped so that this host can go on.",
    action: "Look at the disk of the peer.",
  },
  "BTN-DISK-CONGESTED": {
    title: "The connection was dropped because too much was under way",
    meaning: "`on-congestion disconnect` asks for that.",
    action: "Look at the speed of network and peer.",
  },
  "BTN-DISK-VERSIONS": {
    title: "The peer speaks no protocol that this host speaks",
    meaning: "Baton speaks versions 100 and 101, as DRBD 8.4 does.",
    action: "Use DRBD 8.4 or Baton on the peer.",
  },
  "BTN-DISK-AUTH-EXPECTED": {
    title: "The peer has no shared secret",
    meaning: "This host requires one, so it talks to nobody without it.",
    action: "Configure the same `cram-hmac-alg` and secret on both hosts.",
  },
  "BTN-DISK-AUTH-CHALLENGE": {
    title: "The peer's challenge has an impossible size",
    meaning: "It would weaken the proof; the peer is refused for good.",
    action: "Look who connects to the port of the disk.",
  },
  "BTN-DISK-AUTH-REFLECTED": {
    title: "The peer sent this host's own challenge back",
    meaning: "Somebody tries to make this host prove the secret to itself. It is refused for good.",
    action: "Look who connects to the port of the disk.",
  },
  "BTN-DISK-AUTH-FAILED": {
    title: "The peer has another shared secret",
    meaning: "It could not prove that it knows the secret, so it is refused for good.",
    action: "Use the same secret on both hosts, then `connect`.",
  },
  "BTN-DISK-OPTIONS-DIFFER": {
    title: "The two hosts have different options that must be the same",
    meaning: "The detail names them. The disk is StandAlone so that nothing is done half.",
    action: "Make the options equal on both hosts, then `connect`.",
  },
  "BTN-DISK-OTHER-CLUSTER": {
    title: "The peer belongs to another cluster",
    meaning: "Its cluster id is another one; no data is exchanged.",
    action: "Look at the addresses of the disk, and at `cluster_id` on both hosts.",
  },
  "BTN-DISK-EPOCH-HIGHER": {
    title: "The peer knows of a newer decision about the cluster",
    meaning:
      "This host's epoch is older: it may have been replaced. A Primary freezes until its agent knows the newer epoch.",
    action: "Look at the agent of this host: it should learn the epoch within seconds.",
  },
  "BTN-DISK-EPOCH-LOWER": {
    title: "The peer does not know the newest decision about the cluster",
    meaning: "Data of an older epoch is refused. It was told the epoch and tries again.",
    action: "Look at the agent of the peer if it lasts.",
  },
  "BTN-DISK-EPOCH-CHANGED": {
    title: "The connection is made anew for a new epoch",
    meaning: "A connection belongs to one epoch, so that no data of an older one can arrive later.",
    action: "Nothing",
  },
  "BTN-DISK-SIZE-ABSURD": {
    title: "The peer names an impossible size",
    meaning: "The connection is dropped and made anew.",
    action: "If it happens again: the software of the peer is at fault.",
  },
  "BTN-DISK-STATE-ABSURD": {
    title: "The peer names a state that does not exist",
    meaning: "The connection is dropped and made anew.",
    action: "If it happens again: the software of the peer is at fault.",
  },
  "BTN-DISK-PEER-REQUEST": {
    title: "The peer asked for a change that nobody may ask for",
    meaning: "For example to change this host's role. The connection is dropped and made anew.",
    action: "Look at the software of the peer.",
  },
  "BTN-DISK-BOTH-TARGETS": {
    title: "Both sides want to be the target of the resync",
    meaning: "The generations contradict each other; going on would wait for ever.",
    action:
      "Decide which data is right, and connect the other side with `--discard-my-data`, or invalidate it.",
  },
  "BTN-DISK-DRY-RUN": {
    title: "The connection was only tried",
    meaning: "The comparison was made and its result is in the detail; nothing was changed.",
    action: "Nothing",
  },
  // Data: generations, resync, verify
  "BTN-DISK-NEW-GENERATION": {
    title: "A new generation of the data begins",
    meaning:
      "From now on this host writes what the peer does not have. When they meet again the identities show it.",
    action: "Nothing",
  },
  "BTN-DISK-SPLIT-BRAIN": {
    title: "Both sides were written while apart",
    meaning: "Neither is overwritten: both copies stay as they are, and the disk is StandAlone.",
    action:
      "Decide which side's changes to give up, there `disconnect`, `secondary`, `connect --discard-my-data`, and `connect` on the other.",
  },
  "BTN-DISK-SPLIT-BRAIN-SOLVED": {
    title: "Both sides were written while apart, and the configuration decides which is kept",
    meaning:
      "An `after-sb` policy or `--discard-my-data` names the side whose changes are given up.",
    action: "Nothing",
  },
  "BTN-DISK-UNRELATED": {
    title: "The two disks never held the same data",
    meaning: "Nothing in their histories is common, so none is overwritten by itself.",
    action: "If one of them is to be overwritten: `invalidate` it.",
  },
  "BTN-DISK-PEER-TOO-OLD": {
    title: "The peer is too old for this comparison",
    meaning: "One side crashed while the other is Primary; only newer peers know that case.",
    action: "Make the Primary Secondary, then connect.",
  },
  "BTN-DISK-SOURCE-INCONSISTENT": {
    title: "This disk would be the source and is not whole",
    meaning: "By the generations it is the newer one, but it was only partly written.",
    action: "Use the peer's data: `invalidate` this side.",
  },
  "BTN-DISK-PRIMARY-IS-TARGET": {
    title: "This host is Primary and its data is the older",
    meaning: "A disk in use is never overwritten beneath the applications.",
    action: "Stop what uses the disk, make it Secondary, `connect`.",
  },
  "BTN-DISK-SYNC-SKIPPED": {
    title: "Both disks are declared equal without copying",
    meaning: "They were never used, so it does not matter what is on them.",
    action: "Nothing",
  },
  "BTN-DISK-BITS-REMAIN": {
    title: "Blocks are marked as different although no resync is due",
    meaning:
      "For example after a verify that found differences. They are copied when a Primary was disconnected and connected again.",
    action:
      "`disconnect` and `connect` while one side is Primary, or `invalidate` the side that is wrong.",
  },
  "BTN-DISK-RESYNC-SOURCE": {
    title: "This host is the source of a resync",
    meaning: "It sends the blocks that differ.",
    action: "Nothing",
  },
  "BTN-DISK-RESYNC-TARGET": {
    title: "This host is the target of a resync",
    meaning: "Until it is done this disk is Inconsistent: it is neither promoted nor believed.",
    action: "Do not make this host Primary.",
  },
  "BTN-DISK-RESYNCED": {
    title: "The resync is complete",
    meaning: "Both disks hold the same data.",
    action: "Nothing",
  },
  "BTN-DISK-RESYNC-FAILED": {
    title: "The resync could not copy every block",
    meaning: "This disk stays Inconsistent.",
    action: "Look for disk errors on both hosts, then invalidate this side again.",
  },
  "BTN-DISK-HANDLER-REFUSED": {
    title: "A handler forbade the resync",
    meaning: "It ended with a status other than 0; the disk is StandAlone.",
    action: "Look at the handler, then `connect`.",
  },
  "BTN-DISK-VERIFIED": {
    title: "The verify found no difference",
    meaning: "Both disks were compared block by block.",
    action: "Nothing",
  },
  "BTN-DISK-VERIFY-DIFFERENCES": {
    title: "The verify found differences",
    meaning: "The blocks are marked on both sides; a verify repairs nothing.",
    action:
      "Find out which side is right. `disconnect` and `connect` with that side as Primary repairs.",
  },
  "BTN-DISK-INVALIDATED": {
    title: "A whole disk was marked as different",
    meaning: "The next connection copies everything.",
    action: "Connect.",
  },
  // Roles and fencing
  "BTN-DISK-PRIMARY": {
    title: "This host is Primary",
    meaning: "Applications can use the device.",
    action: "Nothing",
  },
  "BTN-DISK-PRIMARY-FORCED": {
    title: "This host is Primary because somebody forced it",
    meaning: "Its data was declared to be current. What only the peer has is lost when they meet.",
    action: "Nothing",
  },
  "BTN-DISK-FORCED-UNPROVEN": {
    title: "A promotion goes on although nothing is known of the peer",
    meaning:
      "An operator forced it. If the peer is in use too, two different copies come into being.",
    action: "Make sure that the peer is off.",
  },
  "BTN-DISK-SECONDARY": {
    title: "This host is Secondary",
    meaning: "It receives what the Primary writes.",
    action: "Nothing",
  },
  "BTN-DISK-FENCING": {
    title: "I/O may wait until the peer is excluded",
    meaning:
      "The peer was lost while this host is Primary, or is to become it. The agent, or the fence-peer handler, is asked to make sure that the peer can not be used.",
    action: "Nothing; if it lasts, look at the agent and at the fencing devices.",
  },
  "BTN-DISK-PEER-EXCLUDED": {
    title: "The peer is excluded: I/O goes on",
    meaning:
      "There is a proof that the peer's disk can not be used in place of this one, and it is on this disk.",
    action: "Repair the peer; it is resynced when it comes back.",
  },
  "BTN-DISK-FENCE-FAILED": {
    title: "The peer could not be excluded",
    meaning: "Without a proof I/O stays frozen, as the policy demands.",
    action: "Make sure that the peer is off, then `resume-io`; or bring the connection back.",
  },
  "BTN-DISK-FENCE-UNPROVEN": {
    title: "I/O goes on without a proof about the peer",
    meaning:
      "`fencing resource-only` waits 1 s at most. Should the peer be used meanwhile, the copies differ.",
    action:
      "Bring the peer back. Use `native` or `resource-and-stonith` if waiting is better than two copies.",
  },
  "BTN-DISK-PEER-IS-PRIMARY": {
    title: "The peer is Primary: this host was replaced",
    meaning: "Its own data is outdated from now on, and I/O stays frozen.",
    action: "Stop what uses the disk here and make it Secondary.",
  },
  "BTN-DISK-OUTDATED": {
    title: "This disk is outdated",
    meaning: "The other host goes on without it. It can not be promoted until it was resynced.",
    action: "Connect it to the other host.",
  },
  // The local disk
  "BTN-DISK-ATTACHED": {
    title: "The disk is attached",
    meaning: "Its metadata was read and is in use.",
    action: "Nothing",
  },
  "BTN-DISK-DETACHED": {
    title: "The disk is detached",
    meaning: "While connected, applications use the peer's disk.",
    action: "Nothing",
  },
  "BTN-DISK-IO-ERROR": {
    title: "The local disk failed and is detached",
    meaning:
      "After an error nothing in the page cache proves anything, so it is not tried again. While connected, applications use the peer's disk.",
    action: "Replace the disk, create metadata, attach: it is resynced.",
  },
  "BTN-DISK-IO-ERROR-PASSED": {
    title: "The local disk failed, and the error was passed on",
    meaning: "`on-io-error pass_on` asks for that. This disk is Inconsistent from now on.",
    action: "Replace the disk.",
  },
  "BTN-DISK-IO-TIMEOUT": {
    title: "The local disk did not answer in time and is detached",
    meaning: "`disk-timeout` has passed.",
    action: "Look at the disk; a hanging disk should be replaced.",
  },
  "BTN-DISK-DOWN": {
    title: "The disk is down",
    meaning: "Nothing of it is in use by this process.",
    action: "`up`",
  },
} as const satisfies ReasonCatalogue;
