/** One simulated run of a replicated disk: two hosts, a schedule of faults, then a calm in which all must become whole. */
import { AssertionFailure, Prng } from "../../base/index.ts";
import type { DiskCommand } from "../../replication/index.ts";
import { EventQueue } from "../event-queue.ts";
import { Truth } from "../truth.ts";
import { type Heartbeat, SimAgent } from "./agent.ts";
import { Application } from "./application.ts";
import { Checks } from "./checks.ts";
import { SimDevice } from "./device.ts";
import { type Death, DiskProcess, type Observer } from "./disk-process.ts";
import { History } from "./history.ts";
import type { DiskFault, DiskSchedule } from "./schedule.ts";
import { DISK, deviceSectors, hostNames, simDigests, specOf } from "./spec.ts";
import { otherSide, type Side, Wire } from "./wire.ts";

export interface DiskRunResult {
  readonly seed: number;
  readonly hash: string;
  readonly events: number;
  readonly simulatedMs: number;
  readonly settledMs: number | undefined;
  readonly violations: readonly {
    readonly checker: string;
    readonly atMs: number;
    readonly message: string;
  }[];
  readonly counts: ReadonlyMap<string, number>;
  readonly story: readonly string[];
}

const EVENTS_MAX = 3_000_000;
const LOOK_MS = 500;
/** Whole for so long, and then verified. */
const WHOLE_MS = 1_500;
/** A person looks at what stands alone this often, once the storm is over. */
const PERSON_MS = 3_000;
const sides = [0, 1] as const;

/** Runs a schedule to its end or to the first violation. The same schedule gives the same hash. */
export function runDiskSchedule(schedule: DiskSchedule, storyLines = 60): DiskRunResult {
  return new DiskWorld(schedule).run(storyLines);
}

interface Host {
  readonly side: Side;
  readonly name: string;
  readonly device: SimDevice;
  readonly process: DiskProcess;
  readonly application: Application;
  readonly agent: SimAgent;
  powered: boolean;
  bootAt: number;
}

class DiskWorld {
  readonly schedule: DiskSchedule;
  readonly #events = new EventQueue();
  readonly #truth = new Truth();
  readonly #random: Prng;
  readonly #history = new History();
  readonly #hosts: readonly [Host, Host];
  readonly #wire: Wire;
  readonly #heartbeatCut: [boolean, boolean] = [false, false];
  readonly #checks: Checks;
  readonly #violations: { checker: string; atMs: number; message: string }[] = [];
  readonly #places: readonly number[];
  #preferred: Side;
  #calm = false;
  #wholeSince: number | undefined;
  #ending: "no" | "stopping" | "verifying" | "repairing" | "done" = "no";
  #shooter: Side | undefined;
  #verified: { readonly reason: string; readonly detail: string } | undefined;
  #splitBrain: [boolean, boolean] = [false, false];
  #repairs = 0;

  constructor(schedule: DiskSchedule) {
    this.schedule = schedule;
    this.#random = new Prng(schedule.seed).fork("disk world");
    const sectors = deviceSectors(schedule);
    const devices = [new SimDevice(sectors, 11n), new SimDevice(sectors, 12n)] as const;
    for (const device of devices) device.makeUpToDate(0x1234_5678_9abc_def0n);
    const usable = devices[0].layout.usableSectors;
    this.#places = Array.from({ length: schedule.large ? 90 : 10 }, (_, at) =>
      schedule.large
        ? Math.min(at * 8_192, usable - 64)
        : Math.min(usable - 1, this.#random.between(0, 4_000) * 8),
    );
    this.#preferred = this.#random.between(0, 1) as Side;
    const hosts = sides.map((side) => this.#host(side, devices[side]));
    this.#hosts = [hosts[0] as Host, hosts[1] as Host];
    this.#wire = new Wire({
      events: this.#events,
      random: this.#random.fork("wire"),
      codec: schedule.codec,
      ends: [this.#hosts[0].process, this.#hosts[1].process],
      count: (name) => this.#truth.count(name),
    });
    this.#checks = new Checks({
      processes: () => [this.#hosts[0].process, this.#hosts[1].process],
      devices,
      history: this.#history,
      strict: schedule.strict,
      protocol: schedule.protocol,
      fences: schedule.fencing === "native" || schedule.fencing === "resource-and-stonith",
      violation: (checker, message) => this.#violation(checker, message),
      count: (name) => this.#truth.count(name),
    });
  }

  #host(side: Side, device: SimDevice): Host {
    const { schedule } = this;
    const name = hostNames[side];
    const random = this.#random.fork(name);
    const process = new DiskProcess({
      side,
      host: name,
      events: this.#events,
      random,
      device,
      options: {
        spec: specOf(schedule),
        host: name,
        digests: simDigests,
        secret: undefined,
        random64: () => (BigInt(random.next()) << 32n) | BigInt(random.next()),
      },
      wire: () => this.#wire,
      observer: this.#observer(),
    });
    const application = new Application({
      events: this.#events,
      random: random.fork("application"),
      history: this.#history,
      process,
      everyMs: schedule.everyMs,
      most: schedule.most,
      places: this.#places,
      usable: () => process.sectors,
      strict: schedule.strict,
      written: (write) => this.#checks.acknowledged(process, write),
      powerLost: () => Math.max(...this.#checks.accounts.map(({ since }) => since)),
      isSpoilt: (sector) => this.#checks.isSpoilt(sector),
      violation: (checker, message) => this.#violation(checker, message),
      count: (what) => this.#truth.count(what),
    });
    const agent = new SimAgent({
      side,
      host: name,
      peer: hostNames[otherSide(side)],
      disk: DISK,
      events: this.#events,
      process,
      application,
      policy: schedule.fencing,
      strict: schedule.strict,
      epochs: schedule.epochs,
      send: (message) => this.#beat(side, message),
      shoot: (done) => this.#shoot(side, done),
      preferred: () => this.#preferred,
      prefer: (wanted) => {
        this.#preferred = wanted;
      },
      tell: (what, count) => this.#tell(side, what, count),
      supervised: () => true,
    });
    return { side, name, device, process, application, agent, powered: false, bootAt: 0 };
  }

  #observer(): Observer {
    const hostOf = (process: DiskProcess): Host => this.#hosts[process.parts.side];
    return {
      died: (process, how) => this.#died(hostOf(process), how),
      stepped: (process, before) => {
        const { state, parts } = process;
        this.#checks.stepped(process, before);
        hostOf(process).agent.diskChanged();
        if (before === state) return;
        const said = say(state);
        if (said !== say(before)) this.#tell(parts.side, said);
      },
      localWrite: (process, sector, sectors, tags) => {
        this.#checks.localWrite(process, sector, sectors);
        this.#truth.mix(sector + (tags[0] ?? 0));
      },
      answered: (process, answer) =>
        hostOf(process).application.answered(
          answer.id,
          answer.ok,
          answer.ok ? answer.data : undefined,
        ),
      device: (process, size, writable) => {
        this.#tell(process.parts.side, `device of ${size} sectors${writable ? ", writable" : ""}`);
      },
      decided: (process, reason, detail) => this.#decided(hostOf(process), reason, detail),
      fencePeer: (process) => hostOf(process).agent.diskChanged(),
      crashPoint: (_process, site) => this.#checks.crashPoint(site),
      violation: (checker, message) => this.#violation(checker, message),
    };
  }

  // -- the run ------------------------------------------------------------------------------------------------------

  run(storyLines: number): DiskRunResult {
    const { schedule } = this;
    for (const host of this.#hosts) {
      this.#events.schedule(this.#random.between(0, 200), () => this.#boot(host));
    }
    for (const { atMs, fault } of schedule.steps) {
      this.#events.schedule(atMs, () => this.#apply(fault));
    }
    this.#events.schedule(schedule.calmAtMs, () => this.#becomeCalm());
    this.#look();
    let events = 0;
    try {
      while (this.#violations.length === 0 && this.#ending !== "done") {
        if (!this.#events.advance(schedule.endMs)) {
          this.#violation(
            "L5",
            `not whole again: ${this.#hosts.map(({ name, process }) => `${name} ${say(process.state)} ${JSON.stringify(process.core?.view().resync ?? null)}`).join("; ")}`,
          );
          break;
        }
        events += 1;
        if (events > EVENTS_MAX) this.#violation("S13", `${events} events, and no end`);
      }
    } catch (error) {
      const what = error instanceof AssertionFailure ? "assertion" : "exception";
      this.#violation(
        what,
        `${(error as Error).message} ${((error as Error).stack ?? "").split("\n").slice(1, 8).join(" | ")}`,
      );
    }
    return {
      seed: schedule.seed,
      hash: this.#truth.hash,
      events,
      simulatedMs: this.#events.now,
      settledMs:
        this.#wholeSince === undefined
          ? undefined
          : Math.max(0, this.#wholeSince - schedule.calmAtMs),
      violations: this.#violations,
      counts: this.#truth.counts,
      story: this.#truth.story(storyLines),
    };
  }

  #tell(side: Side, what: string, count?: string): void {
    this.#truth.tell(this.#events.now, hostNames[side], what, count);
  }

  #violation(checker: string, message: string): void {
    this.#truth.tell(this.#events.now, "judge", `${checker}: ${message}`);
    this.#violations.push({ checker, atMs: this.#events.now, message });
  }

  #decided(host: Host, reason: string, detail: string): void {
    this.#tell(host.side, `${reason} ${detail}`, `decision ${reason}`);
    if (reason === "BTN-DISK-SPLIT-BRAIN") {
      this.#splitBrain[host.side] = true;
      if (this.schedule.strict) {
        this.#violation(
          "S1",
          `${host.name} sees a split brain under a policy that excludes it: ${detail}`,
        );
      }
    }
    if (reason === "BTN-DISK-VERIFIED" || reason === "BTN-DISK-VERIFY-DIFFERENCES") {
      this.#verified = { reason, detail };
    }
  }

  // -- power --------------------------------------------------------------------------------------------------------

  #boot(host: Host): void {
    if (host.powered) return;
    host.powered = true;
    this.#tell(host.side, "boots", "boots");
    host.agent.start();
  }

  #bootIn(host: Host, ms: number): void {
    const at = this.#events.now + ms;
    host.bootAt = Math.max(host.bootAt, at);
    this.#events.schedule(at, () => {
      if (this.#events.now >= host.bootAt) this.#boot(host);
    });
  }

  /** The process of a disk ended, or its host lost power. */
  #died(host: Host, how: Death): void {
    const { agent, application } = host;
    this.#tell(
      host.side,
      how === "power" ? "has no power" : "its disk process ends",
      `deaths by ${how}`,
    );
    application.died();
    if (how === "power") {
      host.powered = false;
      agent.die();
      if (host.bootAt <= this.#events.now)
        this.#bootIn(host, this.#random.pick([200, 1_500, 2_500, 5_000]));
    } else agent.diskDied();
    this.#checks.died(host.process, how);
  }

  #die(host: Host, how: Death, ms: number): void {
    if (!host.powered) return;
    if (how === "power") this.#bootIn(host, ms);
    if (how === "power" && !host.process.alive) {
      // The host goes although the process is gone already.
      host.process.die("power");
      this.#died(host, "power");
      return;
    }
    host.process.die(how);
  }

  /** The device for STONITH: one order at a time, and whoever gave it must live to see it. */
  #shoot(side: Side, done: (ok: boolean) => void): void {
    if (this.#shooter !== undefined) {
      done(false);
      return;
    }
    this.#shooter = side;
    const { generation } = this.#hosts[side].process;
    this.#events.schedule(this.#events.now + this.#random.between(50, 600), () => {
      this.#shooter = undefined;
      const [own, peer] = [this.#hosts[side], this.#hosts[otherSide(side)]];
      if (!own.powered || own.process.generation !== generation) return;
      if (this.#random.chance(0.1)) {
        done(false);
        return;
      }
      this.#tell(side, `cuts the power of ${peer.name}`, "shots");
      this.#die(peer, "power", this.#random.pick([500, 2_000, 6_000]));
      this.#events.schedule(this.#events.now + 1, () => done(true));
    });
  }

  // -- heartbeat ----------------------------------------------------------------------------------------------------

  #beat(side: Side, message: Heartbeat): void {
    const peer = this.#hosts[otherSide(side)];
    if (this.#heartbeatCut[side]) return;
    this.#events.schedule(this.#events.now + 0.1 + this.#random.between(0, 10) / 10, () => {
      if (this.#heartbeatCut[side] || !peer.powered) return;
      if (!peer.process.paused) peer.agent.heard(message);
      else this.#events.schedule(this.#events.now + 5, () => this.#heardLate(peer, message));
    });
  }

  #heardLate(peer: Host, message: Heartbeat): void {
    if (!peer.powered) return;
    if (!peer.process.paused) peer.agent.heard(message);
    else this.#events.schedule(this.#events.now + 5, () => this.#heardLate(peer, message));
  }

  // -- faults -------------------------------------------------------------------------------------------------------

  #apply(fault: DiskFault): void {
    if (this.#calm) return;
    this.#truth.tell(this.#events.now, "fault", JSON.stringify(fault), `fault ${fault.kind}`);
    const host = "side" in fault ? this.#hosts[fault.side] : undefined;
    switch (fault.kind) {
      case "die":
        if (host !== undefined) this.#die(host, fault.how, fault.ms);
        return;
      case "dieAt":
        if (host?.process.alive === true) {
          host.process.armed = { site: fault.site, left: fault.nth, how: fault.how };
        }
        return;
      case "pause":
        host?.process.pause(fault.ms);
        return;
      case "cut":
        if (fault.what === "replication") this.#wire.cut[fault.side] = true;
        else this.#heartbeatCut[fault.side] = true;
        return;
      case "heal":
        if (fault.what === "heartbeat") this.#heartbeatCut[fault.side] = false;
        else {
          this.#wire.cut[fault.side] = false;
          this.#wire.healed();
        }
        return;
      case "slowLink":
        this.#wire.weather.delayMaxMs = fault.delayMs;
        return;
      case "slowDisk":
        if (host !== undefined) host.process.diskMs = fault.delayMs;
        return;
      case "sick":
        if (host !== undefined) this.#sicken(host, fault.what);
        return;
      case "rot":
        if (host !== undefined) this.#rot(host, fault.count);
        return;
      case "misdirect":
        if (host !== undefined) host.device.ailments.misdirected += fault.count;
        return;
      case "switch":
        this.#preferred = otherSide(this.#preferred);
        return;
      case "command":
        if (host !== undefined) this.#order(host, fault.verb);
        return;
      default:
        fault satisfies never;
    }
  }

  /** Only where the other copy is good: a budget of faults, as in reliability 7.2. */
  #sicken(host: Host, what: "reads" | "writes" | "flushes" | "dead"): void {
    const other = this.#hosts[otherSide(host.side)];
    const { ailments } = host.device;
    const good = (one: Host): boolean =>
      one.process.alive &&
      one.process.state.conn === "Connected" &&
      one.process.state.disk === "UpToDate";
    if (!good(host) || !good(other) || isSick(other.device)) return;
    this.#truth.count(`sick ${what}`);
    if (what === "reads") {
      for (const block of host.device.blocks())
        if (this.#random.chance(0.3)) ailments.unreadable.add(block * 8);
    } else ailments[what] = true;
    this.#events.schedule(this.#events.now + this.#random.pick([500, 2_000, 5_000]), () =>
      this.#mend(host),
    );
  }

  #mend(host: Host): void {
    const { ailments } = host.device;
    ailments.unreadable.clear();
    ailments.writes = false;
    ailments.flushes = false;
    ailments.dead = false;
    const { process } = host;
    if (process.alive && process.state.disk === "Diskless") process.command({ verb: "attach" });
  }

  #rot(host: Host, count: number): void {
    const blocks = [...host.device.blocks()];
    for (let at = 0; at < count && blocks.length > 0; at++) {
      const sector = this.#random.pick(blocks) * 8 + this.#random.between(0, 7);
      host.device.spoil(sector, 0xdead_0000 + this.#random.between(1, 65_000));
      this.#truth.count("rotten sectors");
    }
  }

  #order(host: Host, verb: Extract<DiskFault, { kind: "command" }>["verb"]): void {
    const { process } = host;
    if (!process.alive) return;
    const { state } = process;
    const tell = (what: DiskCommand): void =>
      process.command(what, ({ outcome, reason }) =>
        this.#tell(host.side, `${what.verb}: ${outcome} ${reason}`, `${what.verb} ${outcome}`),
      );
    const whole =
      state.conn === "Connected" && state.disk === "UpToDate" && state.pdsk === "UpToDate";
    switch (verb) {
      case "verify":
        tell({ verb, start: undefined, stop: undefined });
        return;
      case "invalidate":
        // Throws a copy away: only where a person sees the other one.
        if (whole && state.role === "Secondary") tell({ verb });
        return;
      case "invalidate-remote":
        if (whole && state.role === "Primary") tell({ verb });
        return;
      case "reconnect":
        tell({ verb: "disconnect", force: false });
        this.#events.schedule(this.#events.now + this.#random.between(1, 1_500), () =>
          this.#connect(host, false),
        );
        return;
      case "reattach":
        if (!whole) return;
        tell({ verb: "detach", force: false });
        this.#events.schedule(this.#events.now + this.#random.between(1, 1_500), () => {
          if (process.alive && process.state.disk === "Diskless")
            process.command({ verb: "attach" });
        });
        return;
      case "down":
        if (state.role === "Primary") return;
        tell({ verb });
        this.#events.schedule(this.#events.now + this.#random.between(1, 1_500), () => {
          if (!process.alive) return;
          if (process.state.disk === "Diskless") process.command({ verb: "attach" });
          this.#connect(host, false);
        });
        return;
      default:
        tell({ verb });
    }
  }

  #connect(host: Host, discardMyData: boolean): void {
    const { process } = host;
    if (process.alive && process.state.conn === "StandAlone")
      process.command({ verb: "connect", discardMyData });
  }

  // -- calm ---------------------------------------------------------------------------------------------------------

  #becomeCalm(): void {
    this.#calm = true;
    this.#truth.tell(this.#events.now, "fault", "all is healed");
    for (const side of sides) {
      this.#wire.cut[side] = false;
      this.#heartbeatCut[side] = false;
    }
    this.#wire.weather.delayMaxMs = 0.6;
    this.#wire.healed();
    for (const host of this.#hosts) {
      const { process, device, application, agent } = host;
      process.armed = undefined;
      device.ailments.misdirected = 0;
      process.resume();
      process.diskMs = 1;
      application.calm = true;
      this.#mend(host);
      host.bootAt = 0;
      this.#boot(host);
      agent.startDisk();
      if (process.alive) process.command({ verb: "resume-sync" });
    }
    this.#person();
  }

  /** Connects what stands alone; after a real split brain, and only then, gives one copy up. */
  #person(): void {
    this.#events.schedule(this.#events.now + PERSON_MS, () => {
      for (const host of this.#hosts) this.#help(host);
      this.#person();
    });
  }

  #help(host: Host): void {
    const { process, side } = host;
    if (!process.alive || this.#ending !== "no") return;
    if (process.state.disk === "Diskless") process.command({ verb: "attach" });
    if (process.state.conn.startsWith("PausedSync")) process.command({ verb: "resume-sync" });
    if (process.state.conn !== "StandAlone") return;
    const isVictim = this.#splitBrain[0] || this.#splitBrain[1] ? side !== this.#preferred : false;
    if (!isVictim || this.schedule.strict) {
      this.#connect(host, false);
      return;
    }
    if (process.state.role === "Primary") {
      this.#preferred = otherSide(side);
      host.application.stop(() => process.command({ verb: "secondary" }));
      return;
    }
    this.#truth.tell(
      this.#events.now,
      "person",
      `gives up the copy of ${host.name}`,
      "copies given up",
    );
    this.#checks.accounts[side].givenUp = true;
    this.#connect(host, true);
  }

  // -- whole? -------------------------------------------------------------------------------------------------------

  #look(): void {
    this.#events.schedule(this.#events.now + LOOK_MS, () => {
      this.#checks.unmarked();
      if (this.#calm) this.#judgeCalm();
      this.#look();
    });
  }

  #judgeCalm(): void {
    const isWhole = this.#hosts.every(
      ({ process: { alive, state } }) =>
        alive &&
        state.conn === "Connected" &&
        state.disk === "UpToDate" &&
        state.pdsk === "UpToDate",
    );
    const primary = this.#hosts.find(({ process }) => process.state.role === "Primary");
    switch (this.#ending) {
      case "no":
        if (!isWhole || primary === undefined || !primary.process.writable) {
          this.#wholeSince = undefined;
          return;
        }
        this.#wholeSince ??= this.#events.now;
        if (this.#events.now - this.#wholeSince < WHOLE_MS) return;
        this.#ending = "stopping";
        for (const { agent } of this.#hosts) agent.die();
        for (const { application } of this.#hosts) application.stop(() => undefined);
        return;
      case "stopping":
        if (
          this.#hosts.some(({ application, process }) => application.pending > 0 || process.isBusy)
        )
          return;
        this.#compare();
        return;
      case "verifying":
        this.#judgeVerify();
        return;
      case "repairing":
        this.#judgeRepair(isWhole);
        return;
      case "done":
    }
  }

  /** L5: equal, and what is there is allowed. */
  #compare(): void {
    const differing = this.#checks.differences();
    const [block] = differing;
    const spoilt = this.#hosts.some(({ device }) => device.spoilt.size > 0);
    if (block !== undefined && !spoilt) {
      this.#violation(
        "L5",
        `both are UpToDate, and ${differing.length} blocks differ, such as ${block} (${this.#checks.tellBlock(block)})`,
      );
      return;
    }
    if (this.schedule.strict)
      for (const side of sides) this.#checks.allowed(side, `the end of ${hostNames[side]}`);
    // Eighty thousand blocks: compared above.
    if (this.schedule.large && !spoilt) this.#ending = "done";
    else this.#verify();
  }

  #verify(): void {
    this.#ending = "verifying";
    this.#verified = undefined;
    const host = this.#random.pick(this.#hosts);
    host.process.command({ verb: "verify", start: 0, stop: undefined }, ({ outcome, reason }) => {
      if (outcome !== "done") this.#violation("L5", `a verify was refused: ${reason}`);
    });
  }

  #judgeVerify(): void {
    const verified = this.#verified;
    if (
      verified === undefined ||
      this.#hosts.some(({ process }) => process.state.conn !== "Connected")
    )
      return;
    this.#truth.count("verified");
    const differing = this.#checks.differences().length;
    const found =
      verified.reason === "BTN-DISK-VERIFIED" ? 0 : Number.parseInt(verified.detail, 10);
    if (found !== differing) {
      this.#violation("FM25", `a verify found ${found} blocks that differ; there are ${differing}`);
      return;
    }
    if (differing === 0) {
      this.#ending = "done";
      return;
    }
    this.#truth.count("differences found", found);
    if (this.#repairs > 0)
      this.#violation("FM25", `${found} blocks differ after they were repaired`);
    this.#repairs += 1;
    this.#ending = "repairing";
    this.#wholeSince = undefined;
    const primary = this.#hosts.find(({ process }) => process.state.role === "Primary");
    // As an operator does it: what the verify marked is copied from the Primary at the next connection.
    primary?.process.command({ verb: "disconnect", force: false }, () => {
      for (const host of this.#hosts) this.#connect(host, false);
    });
  }

  #judgeRepair(isWhole: boolean): void {
    for (const host of this.#hosts) this.#connect(host, false);
    if (!isWhole) {
      this.#wholeSince = undefined;
      return;
    }
    this.#wholeSince ??= this.#events.now;
    if (this.#events.now - this.#wholeSince >= WHOLE_MS) this.#verify();
  }
}

const isSick = ({ ailments }: SimDevice): boolean =>
  ailments.dead || ailments.flushes || ailments.writes || ailments.unreadable.size > 0;

function say(state: {
  conn: string;
  role: string;
  peer: string;
  disk: string;
  pdsk: string;
  suspFencing: boolean;
  suspNoData: boolean;
  suspUser: boolean;
}): string {
  const frozen = state.suspFencing || state.suspNoData || state.suspUser ? " frozen" : "";
  return `${state.conn} ${state.role}/${state.peer} ${state.disk}/${state.pdsk}${frozen}`;
}
