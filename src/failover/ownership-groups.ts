import type { Turn } from "./turn.ts";

/** The options of a group. @throws {RangeError} if there is no such group: a bug */
export function groupOf(turn: Turn, name: string): Turn["options"]["groups"][number] {
  const group = turn.options.groups.find((one) => one.name === name);
  if (group === undefined) throw new RangeError(`No group ${name}`);
  return group;
}
