import { deepEqual, equal, match } from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const exampleFile = fileURLToPath(new URL("../../docs/examples/cluster.yaml", import.meta.url));
const chapterFiles = fileURLToPath(new URL("../config/testdata/chapter", import.meta.url));

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "btn-verbs-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A copy of the chapter's files with the modes that they need. */
async function chapter(t: TestContext): Promise<string> {
  const path = join(await directory(t), "ha.d");
  await cp(chapterFiles, path, { recursive: true });
  await chmod(join(path, "authkeys"), 0o600);
  return path;
}

/** Runs a verb of the real command line. */
async function verb(
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const program = fileURLToPath(new URL("../main.ts", import.meta.url));
  try {
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", program, ...args],
      {
        timeout: 60_000,
      },
    );
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const failed = error as { code: number; stdout: string; stderr: string };
    return { code: failed.code, out: failed.stdout, err: failed.stderr };
  }
}

test("baton check exits 0 fine, 1 advice only, 2 refused, and names line, code, consequence and fix", async (t) => {
  const path = join(await directory(t), "cluster.yaml");
  const text = await readFile(exampleFile, "utf8");
  const fine = await verb("check", exampleFile);
  deepEqual([fine.code, fine.out], [0, `${exampleFile}: fine\n`]);
  await writeFile(path, text.replace("  arbiter: none", "  #"));
  equal((await verb("check", path)).code, 1);
  await writeFile(path, text.replace("profile: default", "profil: default"));
  const refused = await verb("check", path);
  equal(refused.code, 2);
  match(
    refused.out,
    /cluster\.yaml:11: Unknown key "profil"; did you mean profile\? \[BTN-CONFIG-UNKNOWN-KEY\]\n {2}consequence: .*\n {2}fix: write profile\n/u,
  );
  const json: unknown = JSON.parse((await verb("check", path, "--json")).out);
  deepEqual(Object.keys(json as object), ["file", "ok", "verdict", "findings", "table"]);
  equal((await verb("check", path, "--ha-dir", "/x")).code, 2);
});

test("baton import writes a file that baton check accepts, and does not overwrite one", async (t) => {
  const path = await chapter(t);
  const output = join(path, "cluster.yaml");
  const first = await verb("import", "--ha-dir", path, "--output", output);
  equal(first.code, 1, first.err);
  match(
    first.out,
    /ha\.cf:12 +replaced +respawn hacluster \/usr\/lib64\/heartbeat\/ipfail +built in as failover\.ipfail/u,
  );
  equal((await verb("check", output)).code, 1);
  const second = await verb("import", "--ha-dir", path, "--output", output);
  deepEqual([second.code, /it exists; use --force/u.test(second.err)], [5, true]);
  equal((await verb("import")).code, 2);
});
