import { deepEqual, equal, match, ok } from "node:assert/strict";
import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { loadClassic, loadNative, loadSecret, ownName } from "./config.shell.ts";
import { importFiles } from "./import.shell.ts";
import { parseClusterYaml } from "./native.ts";

const exampleFile = fileURLToPath(new URL("../../docs/examples/cluster.yaml", import.meta.url));
const chapterDirectory = fileURLToPath(new URL("testdata/chapter", import.meta.url));

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "btn-config-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A copy of the chapter's files with the modes that they need. */
async function chapter(t: TestContext): Promise<string> {
  const path = join(await directory(t), "ha.d");
  await cp(chapterDirectory, path, { recursive: true });
  await chmod(join(path, "authkeys"), 0o600);
  return path;
}

async function secretError(
  source: Parameters<typeof loadSecret>[0],
  environment: Record<string, string> = {},
): Promise<string> {
  const result = await loadSecret(source, { environment, uid: process.getuid?.() ?? 0 });
  return result.ok ? "" : `${result.error.code} ${result.error.message}`;
}

test("a secret comes from a file of mode 0600, the environment, a credential or authkeys", async (t) => {
  const path = await chapter(t);
  const key = join(path, "key");
  await writeFile(key, "s3cret\r\n", { mode: 0o600 });
  const around = {
    environment: { KEY: "from environment\n", CREDENTIALS_DIRECTORY: path },
    uid: process.getuid?.() ?? 0,
  };
  const texts = [];
  for (const source of [
    { kind: "file", path: key },
    { kind: "environment", variable: "KEY" },
    { kind: "credential", name: "key" },
    { kind: "authkeys", path: join(path, "authkeys"), index: 1 },
  ] as const) {
    const result = await loadSecret(source, around);
    texts.push(result.ok ? Buffer.from(result.value).toString("utf8") : result.error.message);
  }
  deepEqual(texts, ["s3cret", "from environment", "s3cret", "HA_JACKBILLOW"]);
});

test("a key that others can read, an empty one and a missing one are refused, and never shown", async (t) => {
  const path = join(await directory(t), "key");
  await writeFile(path, "s3cret", { mode: 0o600 });
  for (const mode of [0o640, 0o604, 0o660]) {
    await chmod(path, mode);
    match(
      await secretError({ kind: "file", path }),
      /^BTN-CONFIG-SECRET Bad permissions on .*: mode 6[0-9]{2} lets others/u,
    );
  }
  await chmod(path, 0o600);
  await writeFile(path, "\n");
  match(await secretError({ kind: "file", path }), /is empty$/u);
  match(await secretError({ kind: "file", path: `${path}.none` }), /it does not exist$/u);
  match(await secretError({ kind: "file", path: "/dev/zero" }), /not a regular file$/u);
  match(
    await secretError({ kind: "environment", variable: "NONE" }),
    /no secret in environment variable NONE$/u,
  );
  match(await secretError({ kind: "credential", name: "x" }), /no CREDENTIALS_DIRECTORY is set/u);
});

test("authkeys keeps the bytes of a key, and writing bits do not matter, as in the original", async (t) => {
  const path = join(await directory(t), "authkeys");
  await writeFile(path, Buffer.from([...Buffer.from("auth 1\n1 md5 k"), 0xe9, 0xff, 0x0a]));
  await chmod(path, 0o622);
  const result = await loadSecret({ kind: "authkeys", path, index: 1 });
  deepEqual(result.ok ? [...result.value] : result.error.message, [0x6b, 0xe9, 0xff]);
  match(await secretError({ kind: "authkeys", path, index: 2 }), /no secret in key 2/u);
  await chmod(path, 0o640);
  match(await secretError({ kind: "authkeys", path, index: 1 }), /Bad permissions/u);
});

test("cluster.yaml is read from a regular file of at most 1 MiB", async (t) => {
  const path = join(await directory(t), "cluster.yaml");
  equal((await loadNative(exampleFile)).ok, true);
  await writeFile(path, "#".repeat(1024 * 1024 + 1));
  for (const file of [path, "/dev/zero", tmpdir(), `${path}.none`]) {
    const outcome = await loadNative(file);
    deepEqual(
      outcome.findings.map((each) => each.code),
      ["BTN-CONFIG-UNREADABLE"],
      file,
    );
  }
});

test("a directory of classic files runs, with the scripts that are there", async (t) => {
  const path = await chapter(t);
  await mkdir(join(path, "resource.d"));
  for (const name of ["drbddisk", "Filesystem", "mysqld", "IPaddr"])
    await writeFile(join(path, "resource.d", name), "#!/bin/sh\n", { mode: 0o755 });
  const outcome = await loadClassic(path, { self: "dbm158" });
  ok(outcome.ok, JSON.stringify(outcome.findings));
  deepEqual(
    outcome.config.groups[0]?.resources.map((each) => each.kind),
    ["classic-script", "classic-script", "classic-script", "classic-script"],
  );
  match(outcome.config.clusterId, /^ha-[0-9a-f]{32}$/u);
  deepEqual(
    outcome.findings.map((each) => each.code),
    ["BTN-CONFIG-SPLIT-BRAIN", "BTN-CONFIG-PING"],
  );
  await chmod(join(path, "resource.d", "IPaddr"), 0o644);
  const without = await loadClassic(path, { self: "dbm158" });
  equal(without.ok && without.config.groups[0]?.resources[3]?.kind, "address");
});

test("authkeys that group or others can read is refused, a missing file is told once", async (t) => {
  const path = await chapter(t);
  await chmod(join(path, "authkeys"), 0o640);
  const readable = await loadClassic(path, { self: "dbm157" });
  ok(
    readable.findings.some(
      (each) => each.code === "BTN-CONFIG-SECRET" && each.severity === "error",
    ),
  );
  await rm(join(path, "authkeys"));
  const missing = await loadClassic(path, { self: "dbm157" });
  deepEqual(
    missing.findings.filter((each) => each.severity === "error").map((each) => each.file),
    [join(path, "authkeys")],
  );
});

test("nodeinfo names this machine if its first line ends in a newline", async (t) => {
  const path = await directory(t);
  equal(await ownName(path), hostname().toLowerCase());
  await writeFile(join(path, "nodeinfo"), "DBM157\nrest");
  equal(await ownName(path), "dbm157");
  await writeFile(join(path, "nodeinfo"), "DBM157");
  equal(await ownName(path), hostname().toLowerCase());
});

test("an import takes the files that are not named from beside the first one", async (t) => {
  const path = await chapter(t);
  const { yaml, table } = await importFiles({ paths: [join(path, "haresources")] });
  ok(yaml !== undefined && parseClusterYaml(yaml, "c").ok);
  ok(!yaml.includes("HA_JACKBILLOW") && yaml.includes(`authkeys: ${join(path, "authkeys")}`));
  deepEqual(
    [...new Set(table.map((row) => row.file.slice(path.length + 1)))],
    ["ha.cf", "authkeys", "haresources"],
  );
});
