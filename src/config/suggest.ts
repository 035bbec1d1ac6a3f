/** "Did you mean": the known word nearest to what a person wrote. Pure and bounded. */

/** Longer words are not typing mistakes of ours; the limit bounds the work. */
const wordLengthMax = 48;

/**
 * Optimal string alignment distance: insertions, deletions, substitutions and swaps of
 * neighbours each count one.
 */
export function editDistance(left: string, right: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const same = left[row - 1] === right[column - 1];
      let best = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      );
      const swapped =
        row > 1 &&
        column > 1 &&
        left[row - 1] === right[column - 2] &&
        left[row - 2] === right[column - 1];
      if (swapped) best = Math.min(best, (beforeLast[column - 2] ?? 0) + 1);
      current.push(best);
    }
    beforeLast = last;
    last = current;
  }
  return last[right.length] ?? 0;
}

/** Words that people bring from other tools, and what they are called here. */
const synonyms: Readonly<Record<string, readonly string[]>> = {
  nodes: ["hosts"],
  node: ["hosts", "node"],
  host: ["hosts", "node"],
  members: ["hosts"],
  interface: ["device"],
  nic: ["device"],
  ip: ["address"],
  vip: ["address"],
  fs: ["filesystem"],
  mount: ["filesystem"],
  mountpoint: ["directory"],
  mysql: ["mysqld"],
  mariadb: ["mysqld"],
  mariadbd: ["mysqld"],
  datadir: ["data_directory"],
  args: ["arguments"],
  params: ["parameters"],
  multicast: ["mcast"],
  broadcast: ["bcast", "broadcast"],
  unicast: ["ucast"],
  interval: ["keepalive", "monitor_interval"],
  timeout: ["deadtime", "start_timeout"],
  failback: ["auto_failback"],
  preferred: ["prefers"],
};

/** The candidate that was probably meant; undefined if none is near enough to be of help. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length === 0 || word.length > wordLengthMax) return undefined;
  const list = [...candidates];
  const plainWord = plain(word);
  const known = (Object.hasOwn(synonyms, plainWord) ? synonyms[plainWord] : undefined)?.find(
    (meant) => list.includes(meant),
  );
  if (known !== undefined) return known;
  let best: { readonly candidate: string; readonly distance: number } | undefined;
  for (const candidate of list) {
    const plainCandidate = plain(candidate);
    const distance = editDistance(plainWord, plainCandidate);
    const limit = Math.max(1, Math.floor(Math.max(plainWord.length, plainCandidate.length) / 3));
    if (distance <= limit && (best === undefined || distance < best.distance)) {
      best = { candidate, distance };
    }
  }
  if (best !== undefined) return best.candidate;
  if (plainWord.length < 4) return undefined;
  return list.find((candidate) => {
    const plainCandidate = plain(candidate);
    return (
      plainCandidate.length >= 4 &&
      (plainCandidate.includes(plainWord) || plainWord.includes(plainCandidate))
    );
  });
}

/** `dead-time`, `dead_time` and `DeadTime` differ from `deadtime` in form only. */
function plain(word: string): string {
  return word.toLowerCase().replaceAll(/[-_ ]/gu, "");
}
