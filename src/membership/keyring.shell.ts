import { BatonError } from "../base/index.ts";
import type { AuthConfig, SecretSource } from "../config/index.ts";
import type { Keyring, WireKey } from "./wire/index.ts";

/** Reads one secret: `loadSecret` of the config room. */
export type SecretLoader = (source: SecretSource) => string | Promise<string>;

/**
 * Reads all keys of the wire.
 * @throws {BatonError} BTN-BEAT-KEYS if one can not be read: a host with half its keys is worse than a clear error
 */
export async function loadKeyring(
  auth: AuthConfig,
  clusterId: string,
  loadSecret: SecretLoader,
): Promise<Keyring> {
  const keys: WireKey[] = [];
  for (const { index, method, secret } of auth.keys) {
    try {
      keys.push({ index, method, secret: secret === undefined ? "" : await loadSecret(secret) });
    } catch (cause) {
      throw new BatonError({
        code: "BTN-BEAT-KEYS",
        message: `Cannot read key ${index} of the heartbeat wire: ${cause instanceof Error ? cause.message : String(cause)}`,
        consequence: "Without it no packet of a peer is believed and none of ours is",
        fix: "Repair the source that the message names, then ask for a reread",
        cause,
      });
    }
  }
  return { mode: auth.mode, clusterId, keys, sendIndex: auth.sendIndex };
}
