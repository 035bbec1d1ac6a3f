/** What drbd.conf adds to the classic files: disks, `drbddisk` as a resource, and advice. */
import { diskProblems, diskUseProblems, idleDisks } from "../disk-checks.ts";
import { didYouMean, quote, type Report } from "../findings.ts";
import type { ClusterConfig } from "../model.ts";
import { nearest } from "../suggest.ts";
import type { DrbdOutcome } from "./drbd-conf.ts";

/** True if a haresources names drbddisk: then /etc/drbd.conf is of interest. */
export function namesDrbdDisk(haresources: string): boolean {
  return haresources
    .split("\n")
    .some((line) => /(?:^|[\s])drbddisk(?:::|\s|$)/u.test(line.split("#", 1)[0] ?? ""));
}

/**
 * Checks the disks of drbd.conf against each other and against the groups. The rule of C5 is advice, as for the rest
 * of the classic files (reliability.md 2.3), and so is what scripts may do in a way that is not seen here.
 */
export function checkClassicDisks(
  config: ClusterConfig,
  drbd: DrbdOutcome,
  groups: { readonly file: string; readonly lines: readonly number[] },
  report: Report,
): void {
  const problems = [
    ...diskProblems(config.disks, config.timing),
    ...idleDisks(config.groups, config.disks),
  ];
  for (const problem of problems) {
    const place = drbd.places[problem.disk];
    const mild = problem.severity === "advice" || problem.code === "BTN-CONFIG-DISK-TIMING";
    if (mild) report.advice(place?.file ?? "drbd.conf", place?.line, problem.code, problem);
    else report.error(place?.file ?? "drbd.conf", place?.line, problem.code, problem);
  }
  for (const [index, group] of config.groups.entries()) {
    for (const resource of group.resources) {
      if (resource.kind !== "classic-script" || resource.script !== "drbddisk") continue;
      const [name] = resource.arguments;
      if (name === undefined || drbd.resources.length === 0 || drbd.resources.includes(name))
        continue;
      report.advice(groups.file, groups.lines[index], "BTN-CONFIG-DISK-NO-CONF", {
        message: `${resource.name}: drbd.conf describes no resource ${quote(name)}${didYouMean(nearest(name, drbd.resources))}`,
        consequence: "the script drbddisk runs as before, with DRBD's own tools",
        fix: "correct the name, or name the right file with --drbd-conf",
      });
    }
  }
  for (const problem of diskUseProblems(config.groups, config.disks))
    report.advice(groups.file, groups.lines[problem.group], problem.code, problem);
}
