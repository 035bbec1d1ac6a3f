/** Loads a secret from where the configuration says it is. Secrets never appear in messages. */
import { join } from "node:path";
import { BatonError, fail, ok, type Result } from "../base/index.ts";
import { secretOfDrbdConf } from "./drbd.shell.ts";
import { readSmallFile, type SmallFile } from "./files.shell.ts";
import { parseAuthkeys } from "./legacy/authkeys.ts";
import type { SecretSource } from "./model.ts";
import { drbdConfSecret } from "./native-disks.ts";

const secretBytesMax = 4_096;
const diskSecretBytesMax = 63;

/** What a test replaces. */
export interface SecretSurroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Who may own a secret beside root. */
  readonly uid: number;
}

const surroundings = (): SecretSurroundings => ({
  environment: process.env,
  uid: process.getuid?.() ?? 0,
});

/**
 * The bytes of a secret, without the line end. Fails with BTN-CONFIG-SECRET if it is missing, empty,
 * owned by somebody else, or readable by group or others.
 */
export async function loadSecret(
  source: SecretSource,
  around: SecretSurroundings = surroundings(),
): Promise<Result<Uint8Array>> {
  switch (source.kind) {
    case "environment": {
      const value = around.environment[source.variable];
      const where = `environment variable ${source.variable}`;
      return value === undefined ? missing(where) : trimmed(Buffer.from(value, "utf8"), where);
    }
    case "credential": {
      const directory = around.environment["CREDENTIALS_DIRECTORY"];
      if (directory === undefined)
        return missing(`credential ${source.name} (no CREDENTIALS_DIRECTORY is set)`);
      const read = await readSmallFile(join(directory, source.name), secretBytesMax);
      return read.ok ? trimmed(read.value.bytes, `credential ${source.name}`) : refused(read.error);
    }
    case "file": {
      const read = await readSmallFile(source.path, secretBytesMax);
      if (!read.ok) return refused(read.error);
      const problem = accessProblem(source.path, read.value, 0o077, around.uid);
      return problem === undefined ? trimmed(read.value.bytes, source.path) : fail(problem);
    }
    case "authkeys":
      return await fromAuthkeys(source.path, source.index, around.uid);
  }
}

/**
 * The shared secret of a disk (CRAM-HMAC): `secretFile` of its options is a file of mode 0600, or
 * `drbd.conf:FILE#RESOURCE`, whose mode is not checked, because drbdadm does not either. At most 63 bytes
 * (drbd.md section 0).
 */
export async function loadDiskSecret(secretFile: string): Promise<Result<Uint8Array>> {
  const read = secretFile.startsWith(drbdConfSecret)
    ? secretOfDrbdConf(secretFile)
    : await loadSecret({ kind: "file", path: secretFile });
  if (!read.ok || read.value.length <= diskSecretBytesMax) return read;
  return fail(
    secretError(
      `The secret in ${secretFile} is longer than ${diskSecretBytesMax} bytes`,
      "shorten it on both hosts",
      "The protocol has no room for it, so no connection is made",
    ),
  );
}

async function fromAuthkeys(path: string, index: number, uid: number): Promise<Result<Uint8Array>> {
  const read = await readSmallFile(path, 1024 * 1024);
  if (!read.ok) return refused(read.error);
  const problem = authkeysProblem(path, read.value, uid);
  if (problem !== undefined) return fail(problem);
  // latin1 keeps every byte of a key, whatever its encoding was.
  const parsed = parseAuthkeys(read.value.bytes.toString("latin1"), path, { insecure: true });
  const entry = parsed.keys.find((key) => key.index === index);
  if (entry === undefined || entry.key === "") return missing(`key ${index} of ${path}`);
  return ok(Buffer.from(entry.key, "latin1"));
}

/** What is wrong with the mode or owner of an authkeys file (heartbeat.md 2.3): reading bits decide. */
export function authkeysProblem(
  path: string,
  file: SmallFile,
  uid = process.getuid?.() ?? 0,
): BatonError | undefined {
  return accessProblem(path, file, 0o044, uid);
}

function accessProblem(
  path: string,
  file: SmallFile,
  forbidden: number,
  uid: number,
): BatonError | undefined {
  const mode = (file.mode & 0o777).toString(8).padStart(3, "0");
  if ((file.mode & forbidden) !== 0) {
    return secretError(
      `Bad permissions on ${path}: mode ${mode} lets others than the owner use it`,
      `chmod 600 ${path}`,
    );
  }
  if (file.uid === 0 || file.uid === uid) return undefined;
  return secretError(
    `Bad owner of ${path}: uid ${file.uid} is neither root nor this process`,
    `chown root:root ${path}`,
  );
}

function trimmed(bytes: Uint8Array, where: string): Result<Uint8Array> {
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--;
  return end === 0
    ? fail(secretError(`The secret in ${where} is empty`, "write the key into it"))
    : ok(bytes.slice(0, end));
}

function missing(where: string): Result<Uint8Array> {
  return fail(
    secretError(`There is no secret in ${where}`, "provide it, or correct the configuration"),
  );
}

function refused(cause: BatonError): Result<Uint8Array> {
  return fail(secretError(cause.message, "create it, owned by root, mode 0600"));
}

function secretError(
  message: string,
  fix: string,
  consequence = "Without the key no heartbeat can be signed or believed, so nothing is started",
): BatonError {
  return new BatonError({ code: "BTN-CONFIG-SECRET", message, consequence, fix });
}
