/**
 * With which key to sign. The configured one; except that 3.0.6 checks with the text of the key that
 * it sends with itself, whatever index the packet names (heartbeat.md 2.3). So while a peer that runs
 * heartbeat sends with another key of ours, we sign with that one: then both may change `auth` in
 * any order without losing each other. Never with a weaker method than the configured key's.
 */
import type { PeerState } from "./transport-state.ts";
import type { Keyring, WireKey } from "./wire/index.ts";

const strength = { crc: 0, md5: 1, sha1: 2, sha256: 3 } as const;

/** The key to sign with; undefined if the keyring lacks its own `sendIndex`. */
export function signingKey(keyring: Keyring, peers: readonly PeerState[]): WireKey | undefined {
  const own = keyring.keys.find((key) => key.index === keyring.sendIndex);
  if (own === undefined || own.method === "sha256") return own;
  const indexes = new Set(
    peers.filter((peer) => peer.kind === "classic").map((peer) => peer.keyIndex),
  );
  const [followed] = indexes.size === 1 ? indexes : [];
  const theirs = keyring.keys.find((key) => key.index === followed);
  if (theirs === undefined || theirs.method === "sha256") return own;
  return strength[theirs.method] >= strength[own.method] ? theirs : own;
}
