/** What a resource word of haresources becomes (heartbeat.md 2.4; the table is in README.md). */
import type { DiskSpec } from "../../replication/index.ts";
import type { GroupSpec, ResourceSpec } from "../../resources/index.ts";
import { addressFamily, isUnusable, prefixMax } from "../addresses.ts";
import { diskOfDevice } from "../disk-defaults.ts";
import { printable, quote, Report } from "../findings.ts";
import type { Finding } from "../model.ts";
import { buildResource, defaultResourceName, type ResourceDraft } from "../resource-defaults.ts";
import { record } from "./ha-cf.ts";
import type { HaresourcesGroup, ResourceWord } from "./haresources.ts";
import { advice, type ImportRow, illegal, kept, replaced, type Verdict } from "./rows.ts";

export interface ScriptOptions {
  /**
   * `run`: scripts that are on disk run unchanged. `import`: what Baton has built in replaces them.
   */
  readonly mode: "run" | "import";
  readonly searchPath: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Names of the scripts found in `searchPath`; undefined: nobody looked. */
  readonly scriptsFound: ReadonlySet<string> | undefined;
  /** What drbd.conf describes. */
  readonly disks: readonly DiskSpec[];
}

export interface ClassicGroups {
  readonly groups: readonly GroupSpec[];
  readonly rows: readonly ImportRow[];
  readonly findings: readonly Finding[];
}

interface Conversion {
  readonly draft: ResourceDraft;
  readonly verdict: Verdict;
}

/** The groups of haresources as resources. */
export function convertGroups(
  parsed: readonly HaresourcesGroup[],
  file: string,
  options: ScriptOptions,
): ClassicGroups {
  const report = new Report();
  const rows: ImportRow[] = [];
  const names = new Set<string>();
  const groups = parsed.map((group) => {
    const drafts = group.resources.map((word) => {
      const { draft, verdict } = convert(word, options);
      const row = {
        file,
        line: group.line,
        directive: printable(word.script, 40),
        text: printable(word.word, 120),
      };
      record(rows, report, row, verdict);
      return draft;
    });
    const key = group.resources[0]?.word ?? "";
    const name = uniqueName(groupNameOf(key), names);
    return { name, prefers: group.node, classicKey: key, resources: finish(drafts) };
  });
  return { groups, rows, findings: report.list() };
}

function finish(drafts: readonly ResourceDraft[]): readonly ResourceSpec[] {
  const names = new Set<string>();
  return drafts.map((draft) => {
    const plain = defaultResourceName(draft);
    const name = uniqueName(plain, names);
    return buildResource(name === plain ? draft : { ...draft, name }, drafts);
  });
}

/** `drbddisk::r0` is shown as `drbddisk-r0`: a name that fits everywhere and stays when lines move. */
export function groupNameOf(key: string): string {
  const name = key
    .replaceAll(/[^A-Za-z0-9._]+/gu, "-")
    .replaceAll(/^[^A-Za-z0-9]+|-+$/gu, "")
    .slice(0, 56);
  return name === "" ? "group" : name;
}

function uniqueName(wanted: string, taken: Set<string>): string {
  let name = wanted;
  for (let number = 2; taken.has(name); number++) name = `${wanted}-${number}`;
  taken.add(name);
  return name;
}

function convert(word: ResourceWord, options: ScriptOptions): Conversion {
  const asScript = script(word, options);
  if (!/^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,127}$/u.test(word.script)) {
    return {
      ...asScript,
      verdict: illegal(
        `${quote(word.script)} is not the name of a script`,
        "write the name of a file in resource.d or init.d",
      ),
    };
  }
  if (!/^[\u0021-\u007e]{1,512}$/u.test(word.word)) {
    return {
      ...asScript,
      verdict: illegal(
        `${quote(word.word)} holds characters that no argument should have`,
        "use printable characters without blanks",
      ),
    };
  }
  const onOurDisk = diskConversion(word, options.disks);
  if (onOurDisk !== undefined) return onOurDisk;
  const onDisk = options.scriptsFound?.has(word.script) === true;
  if (options.mode === "run" && onDisk && !word.shorthand) return asScript;
  const builtIn = builtInOf(word);
  if (builtIn === undefined) {
    if (onDisk || options.scriptsFound === undefined || word.shorthand) return asScript;
    const where = options.searchPath.join(" and ");
    return {
      ...asScript,
      verdict: {
        outcome: "advice",
        code: "BTN-CONFIG-SCRIPT",
        reason: `the script ${quote(word.script)} is not in ${where}`,
        consequence: "the group can not start on this host",
        fix: `install it there, executable, on both hosts`,
      },
    };
  }
  const why =
    options.mode === "import"
      ? "built in"
      : word.shorthand
        ? "a bare address is handled by the built-in kind"
        : `no script of that name is on disk, so the built-in kind is used`;
  return { draft: builtIn, verdict: replaced(`${why}: ${builtIn.kind}`) };
}

/** `drbddisk::r0` of a disk that we hold, and a file system on it: the scripts' own tools know neither. */
function diskConversion(word: ResourceWord, disks: readonly DiskSpec[]): Conversion | undefined {
  const [argument, ...more] = word.arguments;
  if (word.script === "drbddisk" && more.length === 0) {
    // Without a name the script means all resources, which is the one if there is one.
    const disk = disks.find((each) =>
      argument === undefined ? disks.length === 1 : each.name === argument,
    );
    if (disk === undefined) return undefined;
    return {
      draft: { kind: "disk", name: undefined, policy: {}, disk: disk.name },
      verdict: replaced(`the disk ${disk.name} of drbd.conf: disk`),
    };
  }
  if (word.script !== "Filesystem" || argument === undefined) return undefined;
  const disk = diskOfDevice(disks, argument);
  const draft = disk === undefined ? undefined : filesystemOf(word.arguments);
  return draft === undefined || disk === undefined
    ? undefined
    : { draft, verdict: replaced(`mounted from the disk ${disk.name}: filesystem`) };
}

function script(word: ResourceWord, options: ScriptOptions): Conversion {
  return {
    draft: {
      kind: "classic-script",
      name: undefined,
      policy: {},
      script: word.script,
      arguments: word.arguments,
      searchPath: options.searchPath,
      environment: options.environment,
    },
    verdict: word.shorthand
      ? advice(
          "the address can not be read; the script IPaddr gets it unchanged",
          "write ADDRESS/PREFIX/DEVICE",
        )
      : kept("the script runs unchanged"),
  };
}

function builtInOf(word: ResourceWord): ResourceDraft | undefined {
  const [first, ...rest] = word.arguments;
  if (/^(?:IPaddr2?|IPv6addr)$/u.test(word.script))
    return first === undefined || rest.length > 0 ? undefined : addressOf(first);
  return word.script === "Filesystem" ? filesystemOf(word.arguments) : undefined;
}

/** `ip[/prefix[/device][/broadcast]]`: a third part that begins with a digit is the broadcast address. */
function addressOf(argument: string): ResourceDraft | undefined {
  const [address = "", prefix, third, fourth, fifth] = argument.split("/");
  const family = addressFamily(address);
  if (family === undefined || isUnusable(address) || fifth !== undefined) return undefined;
  const prefixLength = prefix === undefined || prefix === "" ? undefined : Number(prefix);
  if (
    prefixLength !== undefined &&
    !(/^[0-9]{1,3}$/u.test(prefix ?? "") && prefixLength >= 1 && prefixLength <= prefixMax(family))
  )
    return undefined;
  const thirdIsBroadcast = third !== undefined && /^[0-9]/u.test(third);
  const device = thirdIsBroadcast || third === "" ? undefined : third;
  const broadcast = thirdIsBroadcast ? third : fourth;
  if (device !== undefined && !/^[^\s/:]{1,15}$/u.test(device)) return undefined;
  if (broadcast !== undefined && addressFamily(broadcast) !== 4) return undefined;
  return { kind: "address", name: undefined, policy: {}, address, prefixLength, device, broadcast };
}

/** `Filesystem::device::directory[::type[::options]]`. */
function filesystemOf(words: readonly string[]): ResourceDraft | undefined {
  const [device, directory, type, options, more] = words;
  if (device === undefined || directory === undefined || more !== undefined) return undefined;
  // `-U uuid` and `-L label` can not be one word; LABEL= and UUID= can.
  if (
    !/^(?:\/|(?:PART)?(?:LABEL|UUID)=)\S+$/u.test(device) ||
    !directory.startsWith("/") ||
    directory.split("/").includes("..")
  )
    return undefined;
  if (type !== undefined && type !== "" && !/^[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}$/u.test(type))
    return undefined;
  return {
    kind: "filesystem",
    name: undefined,
    policy: {},
    device,
    directory,
    type: type === undefined || type === "" ? "auto" : type,
    options: (options ?? "").split(",").filter((option) => option !== ""),
    fsck: "auto",
    forceUnmountAfterMs: undefined,
  };
}
