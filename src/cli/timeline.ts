/** `baton timeline`: the incidents of this host, read from its journal on disk. */
import type { Command } from "commander";
import { findIncident, type Incident, incidentsOf } from "../recorder/index.ts";
import { type JournalCounts, readJournal } from "../recorder/journal.shell.ts";
import { askAgent } from "./agent-client.ts";
import { CliError, exits } from "./exit.ts";
import { loadReasons } from "./explain.ts";
import { paint, print, printJson } from "./output.ts";
import { incidentLines, incidentList } from "./timeline-text.ts";

/** Where the journal is when no agent can be asked (DESIGN 7.7). */
const defaultJournalDirectory = "/var/log/baton";
/** Segments that are read first: the last incident is nearly always in them. */
const newestSegments = 2;
/** `timeline list` shows this many, the newest. */
const listMax = 30;

interface TimelineOptions {
  readonly journal?: string;
  readonly json?: boolean;
  readonly socket?: string;
}

/** Adds `baton timeline`. */
export function registerTimeline(program: Command): void {
  program
    .command("timeline")
    .argument("[incident]", "`last`, `list`, or the id of an incident", "last")
    .description("what happened, per-phase milliseconds, and why")
    .option("--journal <directory>", "read this journal; works without an agent")
    .option("--socket <path>", "control socket of the agent (default /run/baton/ctl.sock)")
    .option("--json", "stable JSON")
    .addHelpText("after", "\nExample: baton timeline last\n")
    .action(timeline);
}

async function timeline(which: string, options: TimelineOptions): Promise<void> {
  const directory = options.journal ?? (await journalDirectory(options));
  const counts: JournalCounts = { segments: 0, corrupted: 0, torn: 0 };
  const incidents = readIncidents(directory, which, counts);
  const damage =
    counts.corrupted === 0 ? [] : [`${counts.corrupted} damaged lines were passed over`];
  if (which === "list") {
    if (options.json === true) printJson({ schema: 1, incidents, corrupted: counts.corrupted });
    else print([...incidentList(incidents.slice(-listMax), paint), ...damage].join("\n"));
    return;
  }
  const incident = findIncident(incidents, which);
  if (incident === undefined && which !== "last") throw unknownIncident(which, incidents);
  if (options.json === true) {
    printJson({ schema: 1, incident: incident ?? null, corrupted: counts.corrupted });
  } else if (incident === undefined) {
    print(["Nothing happened as far as this journal reaches.", ...damage].join("\n"));
  } else {
    const reasons = await loadReasons();
    const titleOf = (code: string): string | undefined => reasons.find(code)?.title;
    print([...incidentLines(incident, paint, titleOf), ...damage].join("\n"));
  }
  if (incident === undefined) process.exitCode = exits.negative;
}

/** The agent knows where its journal is; without one it is where it is by default. */
async function journalDirectory(options: TimelineOptions): Promise<string> {
  try {
    const place = await askAgent({ verb: "timeline", args: {} }, { socket: options.socket });
    return place.journalDirectory;
  } catch {
    // Not running is no obstacle: the journal is on disk.
    return defaultJournalDirectory;
  }
}

/** Reads the newest segments first; all of them only if the incident may reach further back. */
function readIncidents(
  directory: string,
  which: string,
  counts: JournalCounts,
): readonly Incident[] {
  try {
    if (which === "last") {
      const newest = incidentsOf(readJournal(directory, { newest: newestSegments }));
      // The first one found may have begun in a segment that was not read.
      if (newest.length >= 2) return newest;
    }
    const incidents = incidentsOf(readJournal(directory, { counts }));
    if (counts.segments === 0) throw new Error("it holds no segment of a journal");
    return incidents;
  } catch (error) {
    throw new CliError(exits.failed, {
      code: "BTN-JOURNAL-NONE",
      message: `Cannot read a journal in ${directory}: ${(error as Error).message}`,
      fix: "Name the directory with --journal, or ask as root or as a member of haclient",
      cause: error,
    });
  }
}

function unknownIncident(which: string, incidents: readonly Incident[]): CliError {
  const last = incidents.at(-1);
  return new CliError(exits.negative, {
    code: "BTN-TIMELINE-UNKNOWN",
    message: `Cannot show incident "${which}": the journal has none of that id, or several`,
    fix: `\`baton timeline list\` shows them${last === undefined ? "" : `; the last is ${last.id}`}`,
  });
}
