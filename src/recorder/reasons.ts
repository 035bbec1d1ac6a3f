import type { ReasonCatalogue } from "../base/index.ts";

/** Reason codes of the journal. */
export const recorderReasons = {
  "BTN-JOURNAL-RESUMED": {
    title: "The journal can be written again",
    meaning:
      "For a while lines could not be written (disk full, or an error of the disk). They were " +
      "dropped and counted; decisions went on, because nothing waits for the journal. A timeline of " +
      "that while has gaps.",
    action: "See why the disk of the journal was full or failing; the line names the error.",
  },
  "BTN-JOURNAL-WRITE-FAILED": {
    title: "The journal can not be written",
    meaning:
      "Lines are dropped and counted until writing works again. The service is not affected, but a " +
      "later timeline will have a gap.",
    action: "Make room on the disk of the journal, or repair it. Nothing needs a restart.",
  },
  "BTN-JOURNAL-BEATS": {
    title: "The beats around an incident were written out",
    meaning:
      "Beats are kept in memory for 10 minutes and reach the journal only around an incident, so " +
      "that its timeline can show the last good one.",
    action: "Nothing",
  },
  "BTN-JOURNAL-NONE": {
    title: "There is no journal to read",
    meaning:
      "The directory does not exist, may not be read by this user, or holds no whole line of a journal.",
    action: "Name it with --journal DIR, or ask as root or as a member of haclient.",
  },
  "BTN-TIMELINE-UNKNOWN": {
    title: "No such incident in the journal",
    meaning: "The incident is not of this host, or so old that its segment was rotated away.",
    action: "`baton timeline list` shows the incidents that the journal holds.",
  },
  "BTN-EXPLAIN-UNKNOWN": {
    title: "No such reason code",
    meaning: "The code is misspelt, or belongs to another version of Baton.",
    action: "Try one of those suggested; `baton explain --list` prints them all.",
  },
} as const satisfies ReasonCatalogue;
