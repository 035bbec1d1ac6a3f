// Makes `node` inside npm scripts the pinned one. Plain JavaScript: it runs under the host's Node,
// before ours is linked (npm 10 drops the link when the lock file names two architectures).
import { existsSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const modules = fileURLToPath(new URL("../node_modules", import.meta.url));
const name = `node-${process.platform}-${process.arch}`;
if (!existsSync(join(modules, name, "bin", "node"))) {
  console.error(`No pinned Node for ${name}: scripts will use the one in PATH`);
} else {
  mkdirSync(join(modules, ".bin"), { recursive: true });
  rmSync(join(modules, ".bin", "node"), { force: true });
  symlinkSync(join("..", name, "bin", "node"), join(modules, ".bin", "node"));
}
