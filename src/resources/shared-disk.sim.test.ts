import { test } from "node:test";
import { assert, type Instant, instant, Prng } from "../base/index.ts";
import { decodeClaims, encodeClaim } from "./claim.ts";
import { SharedDisk, type SharedDiskEffect, type SharedDiskEvent } from "./shared-disk.ts";

const timing = { keepaliveMs: 100, deadtimeMs: 400, confirmMs: 60 };
/** A healthy device answers well within the pause before a claim is confirmed. */
const LATENCY_MAX_MS = 25;
const one = process.env["SEED"];
const seeds = one === undefined ? Array.from({ length: 40 }, (_, run) => run) : [Number(one)];

interface Pending {
  readonly at: number;
  readonly host: Host;
  readonly life: number;
  readonly effect: SharedDiskEffect & { readonly kind: "read" | "write" };
}

class Host {
  readonly name: string;
  life = 0;
  core: SharedDisk;
  /** Not run until then; its own work waits. */
  pausedUntil = 0;
  down = false;
  busy = false;

  constructor(name: string) {
    this.name = name;
    this.core = this.#fresh(instant(0));
  }

  boot(now: Instant): void {
    this.life++;
    this.down = false;
    this.busy = false;
    this.core = this.#fresh(now);
  }

  #fresh(now: Instant): SharedDisk {
    const incarnation = `${this.name === "a" ? "aa" : "bb"}${String(this.life).padStart(30, "0")}`;
    return new SharedDisk({ host: this.name, incarnation, ...timing }, now);
  }
}

/**
 * Two hosts, one disk, two virtual minutes. The judge asks only who believes to hold the disk.
 * Without pauses nobody ever does beside another. With pauses a doubled belief ends soon after both run. And who
 * asks for a disk whose holder is gone gets it in bounded time.
 */
function simulate(seed: number, withPauses: boolean): void {
  const random = new Prng(seed);
  const disk = new Uint8Array(8_192);
  const hosts = [new Host("a"), new Host("b")] as const;
  let pending: Pending[] = [];
  let [epoch, doubledSince] = [0, -1];
  const wanted = new Map<Host, { since: number; blockedUntil: number }>();
  let now = 0;

  function feed(host: Host, event: SharedDiskEvent): void {
    for (const effect of host.core.step(instant(now), event)) {
      if (effect.kind === "read" || effect.kind === "write") {
        const at = now + random.between(0, LATENCY_MAX_MS);
        pending.push({ at, host, life: host.life, effect });
      }
      if (effect.kind === "done") {
        host.busy = false;
        wanted.delete(host);
      }
    }
  }

  function complete({ host, life, effect }: Pending): void {
    // What a host that died had sent may arrive all the same.
    if (effect.kind === "write" && (life === host.life || random.chance(0.5))) {
      disk.set(encodeClaim(effect.claim), effect.copy * 4_096);
    }
    if (life !== host.life || host.down) return;
    const reading = decodeClaims(disk);
    feed(host, effect.kind === "read" ? { kind: "read", reading } : { kind: "wrote" });
  }

  function chance(host: Host): void {
    if (host.down) {
      if (random.chance(0.002)) host.boot(instant(now));
    } else if (random.chance(0.0004)) {
      host.down = true;
      host.busy = false;
      wanted.delete(host);
    } else if (withPauses && random.chance(0.0006)) {
      host.pausedUntil = now + random.between(50, 3_000);
    } else if (!host.busy && random.chance(0.01)) {
      host.busy = true;
      const stop = random.chance(0.3);
      if (!stop) wanted.set(host, { since: now, blockedUntil: now });
      epoch += random.between(0, 1);
      const start = { kind: "start", epoch, limitMs: 1e9 } as const;
      feed(host, stop ? { kind: "stop", limitMs: 1_000 } : start);
    }
  }

  /** Somebody who holds, or is about to, is a reason to wait; so is not being run. */
  function excuse(host: Host, want: { blockedUntil: number }): void {
    const other = hosts[0] === host ? hosts[1] : hosts[0];
    const rival = !other.down && (other.core.snapshot().phase.name !== "watching" || other.busy);
    if (rival || host.pausedUntil > now) want.blockedUntil = now;
  }

  function judge(): void {
    for (const [host, want] of wanted) excuse(host, want);
    const holders = hosts.filter((host) => !host.down && host.core.isHeld());
    const running = hosts.every((host) => host.pausedUntil <= now);
    if (holders.length < 2) doubledSince = -1;
    else if (!withPauses) assert(false, `Two holders at ${now}`);
    else if (!running) doubledSince = now;
    else if (doubledSince < 0) doubledSince = now;
    const limitMs = 3 * timing.keepaliveMs + 4 * LATENCY_MAX_MS;
    assert(doubledSince < 0 || now - doubledSince <= limitMs, `Two holders for long at ${now}`);
    // A late write of a host that is gone, or a sleep, makes the waiting begin anew.
    const { deadtimeMs, confirmMs, keepaliveMs } = timing;
    const onceMs = deadtimeMs + confirmMs + 3 * keepaliveMs + 6 * LATENCY_MAX_MS;
    const boundMs = withPauses ? 2 * onceMs : onceMs;
    for (const [host, { since, blockedUntil }] of wanted) {
      const waitedMs = now - Math.max(since, blockedUntil);
      assert(waitedMs <= boundMs, `${host.name} waits ${waitedMs} ms for a free disk at ${now}`);
    }
  }

  for (now = 0; now <= 120_000; now += 5) {
    const due = pending.filter(({ at, host }) => at <= now && host.pausedUntil <= now);
    pending = pending.filter((work) => !due.includes(work));
    for (const work of due) complete(work);
    for (const host of hosts) {
      if (host.pausedUntil > now) continue;
      chance(host);
      const wakeAt = host.core.wakeAt();
      if (!host.down && wakeAt !== undefined && wakeAt <= now) feed(host, { kind: "tick" });
    }
    judge();
  }
}

test("no two hosts hold the disk while all run, and a free disk is had in time", () => {
  for (const seed of seeds) replayable(seed, () => simulate(seed, false));
});

test("after pauses of any length at most one host goes on holding the disk", () => {
  for (const seed of seeds) replayable(seed, () => simulate(seed, true));
});

function replayable(seed: number, run: () => void): void {
  try {
    run();
  } catch (error) {
    throw new Error(`Replay with SEED=${seed}`, { cause: error });
  }
}
