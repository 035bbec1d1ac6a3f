/** The file by which the agent tells the beat process its settings. */
import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { BatonError } from "../base/index.ts";
import { BEAT_SETTINGS_VERSION, type BeatSettings } from "./beat-settings.ts";

/**
 * Reads the settings that the agent wrote.
 * @throws {BatonError} BTN-BEAT-SETTINGS
 */
export async function readBeatSettings(path: string): Promise<BeatSettings> {
  try {
    await using file = await open(path);
    const { mode, uid } = await file.stat();
    if ((mode & 0o077) !== 0) throw new Error("other users may read or write it");
    if (uid !== process.getuid?.()) throw new Error(`it belongs to user ${uid}`);
    const settings = JSON.parse(await file.readFile("utf8")) as BeatSettings;
    if (settings.version !== BEAT_SETTINGS_VERSION) {
      throw new Error(`its version is ${settings.version}, not ${BEAT_SETTINGS_VERSION}`);
    }
    return settings;
  } catch (cause) {
    throw new BatonError({
      code: "BTN-BEAT-SETTINGS",
      message: `Cannot use the settings in ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      fix: "Start the beat process through `baton agent`, which writes the file anew",
      cause,
    });
  }
}

/** Writes the settings where only we can read them. @returns the path */
export async function writeBeatSettings(settings: BeatSettings): Promise<string> {
  mkdirSync(settings.runDirectory, { recursive: true, mode: 0o750 });
  const path = join(settings.runDirectory, "beat-settings.json");
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  {
    await using file = await open(temporary, "wx", 0o600);
    await file.writeFile(`${JSON.stringify(settings)}\n`);
  }
  await rename(temporary, path);
  return path;
}

/**
 * Tells settings apart: the running process may have been started with others. Where the keys are does
 * not count: the agent tells a running process.
 */
export function settingsDigest(settings: BeatSettings): string {
  const { auth, clusterId, ...fixed } = settings;
  return createHash("sha256").update(JSON.stringify(fixed)).digest("hex").slice(0, 16);
}
