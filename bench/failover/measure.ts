/** One run: a fresh pair of one subject, its holder loses power, and when what followed was seen. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Instant } from "../../src/base/index.ts";
import { readJournal } from "../../src/recorder/journal.shell.ts";
import { delay, monotonicClock } from "../../src/system/index.ts";
import { address, type Daemon, hostNames, Pair } from "../../test/support/pair.ts";
import { waitFor } from "../../test/support/wait.ts";
import type { BenchCase } from "./cases.ts";
import { clientAccount, copyDatabase } from "./database.ts";
import { AddressMonitor, Client, firstAfter, LogWatcher } from "./observers.ts";
import type { BenchTiming } from "./timings.ts";

const [holder, survivor] = hostNames;

export interface RunPlan {
  readonly benchCase: BenchCase;
  readonly timing: BenchTiming;
  readonly subject: Daemon;
  /** Directory of `makeTemplate`; needed by cases with a database. */
  readonly template: string | undefined;
  /** Puts the fault at another place between two beats each time. */
  readonly phaseMs: number;
  /** Keeps a copy of what the survivor's daemon said here, for a look at where time went. */
  readonly logsTo: string | undefined;
  readonly signal: AbortSignal;
}

/** Metric -> milliseconds. */
export type Measurement = Readonly<Record<string, number>>;

/** Where the figures come from is in bench/README.md. @throws {Error} if a step is not seen in time */
export async function measure(plan: RunPlan): Promise<Measurement> {
  const { benchCase, timing, subject, signal } = plan;
  await using pair = new Pair(benchCase.pairOptions(subject, timing));
  using stack = new DisposableStack();
  const database =
    plan.template === undefined ? undefined : copyDatabase(plan.template, pair.directory);
  for (const file of benchCase.files(timing, benchCase.database ? database : undefined)) {
    for (const host of hostNames) {
      const path = join(pair.tree(host), file.path);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, file.text, { mode: file.mode });
    }
  }
  const monitor = stack.use(new AddressMonitor(pair.namespace(survivor), address));
  for (const host of hostNames) {
    signal.throwIfAborted();
    await pair.start(host, subject);
  }
  await settle(pair, plan);
  const clients = await startClients(pair, plan, stack);
  const log =
    subject === "heartbeat"
      ? stack.use(
          new LogWatcher(
            join(pair.tree(survivor), "log", "ha-log"),
            new RegExp(`node ${holder}: is dead`),
          ),
        )
      : undefined;
  await delay(1_000 + plan.phaseMs, signal);
  const lossAt = await cutPower(pair);
  try {
    return await observe({ pair, plan, lossAt, monitor, log, clients });
  } finally {
    keepLogs(pair, plan);
  }
}

interface Clients {
  readonly answers: Client;
  readonly inserts: Client | undefined;
}

interface Scene {
  readonly pair: Pair;
  readonly plan: RunPlan;
  readonly lossAt: Instant;
  readonly monitor: AddressMonitor;
  readonly log: LogWatcher | undefined;
  readonly clients: Clients;
}

async function observe(scene: Scene): Promise<Measurement> {
  const { pair, plan, lossAt, monitor, log, clients } = scene;
  const limitMs = plan.timing.deadtimeMs + 30_000;
  const until = async (
    what: string,
    look: () => Instant | undefined,
    moreMs = 0,
  ): Promise<Instant> =>
    await waitFor(
      what,
      () => {
        plan.signal.throwIfAborted();
        return look();
      },
      limitMs + moreMs,
      () => pair.explain(),
    );
  const addressAt = await until(`the address appears on ${survivor}`, () =>
    firstAfter(monitor.seen, lossAt),
  );
  const verdictAt = await until(`the verdict on ${holder}`, () =>
    log === undefined ? verdictInJournal(pair, lossAt) : firstAfter(log.seen, lossAt),
  );
  const answerAt = await until("the address answers", () => clients.answers.first(addressAt));
  const figures = {
    loss_to_verdict_ms: verdictAt - lossAt,
    verdict_to_address_ms: addressAt - verdictAt,
    loss_to_address_ms: addressAt - lossAt,
    loss_to_answer_ms: answerAt - lossAt,
  };
  const { inserts } = clients;
  if (inserts === undefined) return figures;
  const commitAt = await until(
    `an insert is committed on ${survivor}`,
    () => inserts.first(lossAt, ({ server }) => server === survivor),
    30_000,
  );
  return { ...figures, first_commit_ms: commitAt - lossAt };
}

/** Both hosts know each other, the holder has its group, and nothing is under way. */
async function settle(pair: Pair, { subject, timing, benchCase, signal }: RunPlan): Promise<void> {
  const limitMs = timing.initdeadMs + 60_000;
  await waitFor(
    "the pair settles",
    () => {
      signal.throwIfAborted();
      const isSettled = subject === "heartbeat" ? heartbeatSettled : batonSettled;
      return pair.hasAddress(holder) && !pair.hasAddress(survivor) && isSettled(pair);
    },
    benchCase.database ? limitMs + 30_000 : limitMs,
    () => pair.explain(),
  );
}

function heartbeatSettled(pair: Pair): boolean {
  return hostNames.every((host) => {
    const peer = host === holder ? survivor : holder;
    const status = pair.inside(host, "cl_status", "rscstatus").output.trim();
    const sees = new RegExp(`Status update for node ${peer}: status active`).test(pair.log(host));
    return sees && ["all", "local", "foreign", "none"].includes(status);
  });
}

interface Status {
  readonly rscStatus: string;
  readonly hosts: readonly { name: string; verdict: string; status: string | null }[];
}

function batonSettled(pair: Pair): boolean {
  return hostNames.every((host) => {
    const { code, output } = pair.baton(host, "status", "--json");
    if (code !== 0 && code !== 1) return false;
    const status = JSON.parse(output) as Status;
    const peer = status.hosts.find(({ name }) => name !== host);
    const sees = peer?.verdict === "alive" && peer.status === "active";
    return sees && status.rscStatus !== "transition";
  });
}

async function startClients(pair: Pair, plan: RunPlan, stack: DisposableStack): Promise<Clients> {
  const hub = pair.namespace("switch");
  const answers = stack.use(new Client(hub, "answer", address));
  await waitFor("the address answers at all", () => answers.lines.length > 0, 10_000);
  if (!plan.benchCase.database) return { answers, inserts: undefined };
  const { user, password } = clientAccount;
  const load = stack.use(new Client(hub, "load", address, user, password));
  await waitFor(
    "the write load is done",
    () => load.lines.some(({ loaded }) => loaded === true) && load.ended,
    60_000,
    () => load.error + pair.explain(),
  );
  const inserts = stack.use(new Client(hub, "insert", address, user, password));
  await waitFor("inserts are committed", () => inserts.lines.length > 5, 10_000);
  return { answers, inserts };
}

/**
 * Power loss: both cables at once, then every process of the holder. The stamp is taken before, so
 * that the figures hold the few milliseconds that the tool needs; they are the same for both subjects.
 */
async function cutPower(pair: Pair): Promise<Instant> {
  const lossAt = monotonicClock.now();
  execFileSync("ip", ["-n", pair.namespace("switch"), "-batch", "-"], {
    input: `link set ${holder}-0 down\nlink set ${holder}-1 down\n`,
    timeout: 10_000,
  });
  await pair.crash(holder);
  return lossAt;
}

/** The agent writes its verdicts with the instant at which it took them. */
function verdictInJournal(pair: Pair, lossAt: Instant): Instant | undefined {
  const directory = join(pair.tree(survivor), "log", "baton");
  if (!existsSync(directory)) return undefined;
  for (const { room, name, peer, data, monotonicMs } of readJournal(directory)) {
    if (room !== "membership" || name !== "verdict" || peer !== holder) continue;
    const { verdict } = data as { readonly verdict?: string };
    if (verdict === "dead" && monotonicMs >= lossAt) return monotonicMs as Instant;
  }
  return undefined;
}

function keepLogs(pair: Pair, { logsTo, benchCase, timing, subject }: RunPlan): void {
  if (logsTo === undefined) return;
  mkdirSync(logsTo, { recursive: true });
  const name = `${benchCase.name}-${timing.name}-${subject}-${Math.round(monotonicClock.now())}`;
  writeFileSync(join(logsTo, `${name}.log`), pair.log(survivor));
  if (subject !== "baton") return;
  const entries = [...readJournal(join(pair.tree(survivor), "log", "baton"))];
  const lines = entries.map((entry) => `${JSON.stringify(entry)}\n`).join("");
  writeFileSync(join(logsTo, `${name}.journal`), lines);
}
