/** What other shells may import of this room: the part that does I/O. Types and cores are in `index.ts`. */
export {
  type AddressAgent,
  createAddressAgent,
  type DuplicateAnswer,
  probeDuplicate,
  type SweptAddress,
  sweepLeftovers,
} from "./address.shell.ts";
export { createResourceAgent } from "./create.shell.ts";
export { createFilesystemAgent } from "./filesystem.shell.ts";
export { GroupRunnerShell, type GroupRunnerShellOptions } from "./group-runner.shell.ts";
export { createMysqldAgent, type MysqldAgent } from "./mysqld.shell.ts";
export { createLsbAgent, createOcfAgent, createScriptAgent } from "./script-agents.shell.ts";
export { createSharedDiskAgent, type SharedDiskAgent } from "./shared-disk.shell.ts";
