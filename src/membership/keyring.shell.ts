import { BatonError, type Result } from "../base/index.ts";
import type { AuthConfig, SecretSource } from "../config/index.ts";
import type { Keyring, WireKey } from "./wire/index.ts";

/** Reads the bytes of one secret: `loadSecret` of the config room. */
export type SecretLoader = (source: SecretSource) => Promise<Result<Uint8Array>>;

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
    const secretText = secret === undefined ? "" : await loadText(index, secret, loadSecret);
    keys.push({ index, method, secret: secretText });
  }
  return { mode: auth.mode, clusterId, keys, sendIndex: auth.sendIndex };
}

/** A byte string, as the codecs take it. */
async function loadText(
  index: number,
  source: SecretSource,
  loadSecret: SecretLoader,
): Promise<string> {
  const loaded = await loadSecret(source);
  if (loaded.ok) return Buffer.from(loaded.value).toString("latin1");
  throw new BatonError({
    code: "BTN-BEAT-KEYS",
    message: `Cannot read key ${index} of the heartbeat wire: ${loaded.error.message}`,
    consequence: "Without it no packet of a peer is believed and none of ours is",
    fix: loaded.error.fix ?? "Repair the source that the message names, then ask for a reread",
    cause: loaded.error,
  });
}
