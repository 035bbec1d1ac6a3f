// `npm run bench -- SECTION [--json FILE]`: set-up, then the section under the pinned Node.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureSetup, pinnedNode } from "./setup.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const [section = "failover", ...rest] = process.argv.slice(2);
const file = join(root, "bench", `${section}.ts`);
if (!/^[a-z]+$/.test(section) || !existsSync(file)) {
  process.stderr.write(`No section "${section}" of the benchmark; there is: failover\n`);
  process.exitCode = 2;
} else {
  ensureSetup(["base", "lab", "interop"]);
  const run = spawnSync(pinnedNode(), ["--disable-warning=ExperimentalWarning", file, ...rest], {
    stdio: "inherit",
  });
  process.exitCode = run.status ?? 1;
}
