import { unreachable } from "../base/index.ts";
import { createAddressAgent } from "./address.shell.ts";
import type { ResourceAgent } from "./agent.ts";
import { createDiskAgent } from "./disk.shell.ts";
import type { ResourceEnvironment } from "./environment.ts";
import { createFilesystemAgent } from "./filesystem.shell.ts";
import { createMysqldAgent } from "./mysqld.shell.ts";
import { createLsbAgent, createOcfAgent, createScriptAgent } from "./script-agents.shell.ts";
import { createSharedDiskAgent } from "./shared-disk.shell.ts";
import type { ResourceSpec } from "./spec.ts";

/** The agent for a resource of any kind. It touches nothing before it is asked. */
export function createResourceAgent(
  spec: ResourceSpec,
  environment: ResourceEnvironment,
): ResourceAgent {
  switch (spec.kind) {
    case "address":
      return createAddressAgent(spec, environment);
    case "filesystem":
      return createFilesystemAgent(spec, environment);
    case "mysqld":
      return createMysqldAgent(spec, environment);
    case "shared-disk":
      return createSharedDiskAgent(spec, environment);
    case "disk":
      return createDiskAgent(spec, environment);
    case "classic-script":
      return createScriptAgent(spec, environment);
    case "lsb":
      return createLsbAgent(spec, environment);
    case "ocf":
      return createOcfAgent(spec, environment);
    default:
      return unreachable(spec);
  }
}
