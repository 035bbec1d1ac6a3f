/** The agent's link to one disk process: kept running, and brought up when it was started anew. */
import { join } from "node:path";
import type { ClusterConfig } from "../config/index.ts";
import type { DiskCommand, DiskSpec } from "../replication/index.ts";
import { DiskClient } from "./disk/client.ts";
import type { DiskLink } from "./disk-desk.ts";

export interface DiskLinkOptions {
  readonly config: ClusterConfig;
  readonly version: string;
  /** What starts a disk process, up to its name: program, arguments, `disk`, `serve`. */
  readonly command: readonly string[];
  /** How that process finds the configuration, such as `--config FILE`. */
  readonly configArguments: readonly string[];
  say(line: string): void;
}

/** Opens the link; `changed` after each change of its state. */
export function openDiskLink(
  { name }: DiskSpec,
  { config, version, command, configArguments, say }: DiskLinkOptions,
  changed: () => void,
): DiskLink {
  const client = new DiskClient({
    name,
    runDirectory: config.runDirectory,
    software: `baton/${version}`,
    command: [...command, name, ...configArguments],
    logFile: join(config.journalDirectory, `disk-${name}.log`),
    onChange: changed,
    onStarted: () => void bringUp(client, name, say),
    onTrouble: (detail) => say(`disk ${name}: ${detail}`),
  });
  client.open();
  return client;
}

/** Attach, then connect: a disk whose own copy fails still serves and learns over the connection. */
async function bringUp(
  client: DiskClient,
  name: string,
  say: (line: string) => void,
): Promise<void> {
  const orders: readonly DiskCommand[] = [
    { verb: "attach" },
    { verb: "connect", discardMyData: false },
  ];
  for (const command of orders) {
    try {
      const outcome = await client.request({ verb: "command", command });
      const {
        outcome: end,
        reason,
        detail,
      } = outcome as {
        readonly outcome: string;
        readonly reason: string;
        readonly detail: string;
      };
      if (end !== "done") say(`[${reason}] disk ${name}: ${command.verb}: ${detail}`);
    } catch (error) {
      say(
        `disk ${name}: ${command.verb}: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
}
