/** What a scenario is: settings, and what is done with two sides. By itself it says nothing about who they are. */
import type { Arrangement, Setting } from "../arrangement.ts";
import { demand, type Side } from "../side.ts";

export interface Scenario {
  readonly name: string;
  readonly setting: Setting;
  play(pair: Arrangement): Promise<void>;
}

/** Both sides, each once as the one that acts. */
export async function eachWay(
  pair: Arrangement,
  action: (actor: Side, peer: Side) => Promise<void>,
): Promise<void> {
  await action(pair.first, pair.second);
  await action(pair.second, pair.first);
}

/** Makes `side` Primary as soon as the other is not. */
export async function promote(side: Side): Promise<void> {
  await side.until("ro:Secondary/(Secondary|Unknown)");
  await demand(side, "primary");
}

/** Runs `action` while `side` is Primary. */
export async function asPrimary(side: Side, action: () => Promise<unknown>): Promise<void> {
  await promote(side);
  await action();
  await demand(side, "secondary");
}

/** Ends the connection in an orderly way and waits until both know it. */
export async function disconnect(pair: Arrangement, side: Side): Promise<void> {
  await demand(side, "disconnect");
  await side.until("cs:StandAlone");
  await pair.other(side).until("cs:(WFConnection|Unconnected|StandAlone)");
}

/** A file system with files of many sizes and a list of their sums. */
export const writeFiles = (mkfsWords = ""): string => `mkfs.ext4 -q -F ${mkfsWords} $D
  mount $D $M
  mkdir $M/a $M/b
  for n in 1 2 3 4 5 6 7 8; do
    head -c $((n * 7919)) /dev/urandom >$M/a/$n
    head -c $((n * 65536)) /dev/urandom >$M/b/$n
  done
  rm $M/b/3
  sync
  mv $M/a/5 $M/b/five
  (cd $M && find a b -type f | sort | xargs sha1sum >sums)
  umount $M`;

/** Fails unless `writeFiles` is there, whole. */
export const checkFiles = `e2fsck -fn $D >/dev/null
  mount $D $M
  (cd $M && sha1sum -c sums >/dev/null && [ $(wc -l <sums) = 15 ])
  umount $M`;
