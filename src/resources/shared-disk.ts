/**
 * The claim on a shared disk: who may use it, as far as a record beside the data can tell (DESIGN 7.10).
 *
 *   watching --start--> claiming --own claim confirmed--> held --stop--> releasing --written--> watching
 *      ^                   |                               |
 *      |                   '--refused, contested----.      '--a foreign claim of this epoch or a higher--> lost
 *      '---------------withdrawing <---------------'                                                        |
 *      '<--------------------------------------------------------------------------------stop---------------'
 *
 *   claiming   reads; waits while another host holds it and renews; writes once that claim stood still for its
 *              deadtime, or was released, or is ours; reads again after a pause: still ours, then held
 *   held       each keepalive: read, then renew; the read comes first so that a host that slept sees that it was replaced
 *   every      reads each keepalive, so that a takeover knows at once whether the claim stood still
 *
 * A claim stands still when it reads the same again and again. Between two reads at most two keepalives count, so that
 * a sleep of this host alone is not taken for stillness of the other. It guards against mistakes, not against a frozen
 * holder: a write that is on its way while its host freezes arrives whenever it wakes.
 *
 * One read or write is under way at most. One that does not end is waited for; what depends on it is `unknown`.
 */
import { after, assert, earliest, type Instant, unreachable } from "../base/index.ts";
import type { ActionResult, ProbeResult } from "./agent.ts";
import type { Claim, ClaimReading } from "./claim.ts";
import type { ResourcesReason } from "./reasons.ts";

/** Durations in milliseconds. */
export interface SharedDiskOptions {
  readonly host: string;
  /** 32 hexadecimal digits, other ones after each boot of this host. */
  readonly incarnation: string;
  readonly keepaliveMs: number;
  /** Of this host; a foreign claim says its own, and the longer one counts. */
  readonly deadtimeMs: number;
  /** From the write of a claim to the read that confirms it: longer than a healthy device takes. */
  readonly confirmMs: number;
}

export type SharedDiskEvent =
  | { readonly kind: "tick" }
  | { readonly kind: "start"; readonly epoch: number; readonly limitMs: number }
  | { readonly kind: "stop"; readonly limitMs: number }
  /** After an agent restart: go on with the claim that this boot of the host wrote. */
  | { readonly kind: "adopt"; readonly limitMs: number }
  /** Read now; every read is answered by `looked`. */
  | { readonly kind: "look" }
  /** Break off a start, a stop or an adoption. */
  | { readonly kind: "cancel" }
  | { readonly kind: "read"; readonly reading: ClaimReading }
  | { readonly kind: "wrote" }
  | { readonly kind: "failed"; readonly detail: string };

export type SharedDiskEffect =
  | { readonly kind: "read" }
  /** `durable`: past the cache of the device too, before it counts as written. */
  | {
      readonly kind: "write";
      readonly copy: 0 | 1;
      readonly claim: Claim;
      readonly durable: boolean;
    }
  /** The answer to the newest start, stop or adopt. */
  | { readonly kind: "done"; readonly result: ActionResult }
  | { readonly kind: "looked" }
  | { readonly kind: "notice"; readonly reason: ResourcesReason; readonly detail: string }
  | { readonly kind: "proofChanged" };

/** The claim as far as it is known, for the comparison before serving (R5). */
export type ClaimProof =
  | {
      readonly kind: "claim";
      readonly holder: string | null;
      readonly epoch: number;
      readonly still: boolean;
    }
  | { readonly kind: "unreadable"; readonly detail: string };

interface Problem {
  readonly reason: ResourcesReason;
  readonly detail: string;
}
/** What the newest read said, and for how long it has said so. */
interface View {
  readonly reading: ClaimReading | null;
  readonly problem: Problem | null;
  /** How long the claim has read the same. */
  readonly stillMs: number;
  readonly readAt: Instant | null;
}
type Phase =
  | { readonly name: "watching" }
  | {
      readonly name: "claiming";
      readonly epoch: number;
      readonly giveUpAt: Instant;
      readonly step: "looking" | "writing" | "settling" | "confirming";
      readonly claim: Claim | null;
      readonly confirmAt: Instant | null;
    }
  | { readonly name: "adopting"; readonly giveUpAt: Instant }
  | {
      readonly name: "held";
      readonly epoch: number;
      readonly renewedAt: Instant;
      readonly overdueTold: boolean;
    }
  | {
      readonly name: "releasing";
      readonly giveUpAt: Instant | null;
      /** Somebody waits for the answer; a withdrawal after a failed start is waited for by nobody. */
      readonly answers: boolean;
      /** Tries that ended in an error of the device. */
      readonly errors: number;
    }
  | { readonly name: "lost"; readonly detail: string };
type Work =
  | { readonly kind: "none" }
  | { readonly kind: "read" | "write"; readonly since: Instant; readonly hungTold: boolean };

/** Plain data of `snapshot`. */
export interface SharedDiskSnapshot {
  readonly now: Instant;
  readonly phase: Phase;
  readonly view: View;
  readonly work: Work;
  readonly nextReadAt: Instant;
  readonly toldProof: string;
}

/** A release that the device refuses this often, one keepalive apart, is given up. */
const RELEASE_TRIES = 3;
/** Between two reads this many keepalives count as stillness at most. */
const GAP_KEEPALIVES = 2;

/** The claim on one shared disk, as this host sees and keeps it (DESIGN 7.10). */
export class SharedDisk {
  readonly #options: SharedDiskOptions;
  #now: Instant;
  #phase: Phase = { name: "watching" };
  #view: View = { reading: null, problem: null, stillMs: 0, readAt: null };
  #work: Work = { kind: "none" };
  #nextReadAt: Instant;
  #toldProof = "";

  constructor(options: SharedDiskOptions, now: Instant) {
    this.#options = options;
    this.#now = now;
    this.#nextReadAt = now;
  }

  /** Takes one event; returns what to do, in order. `read` and `write` are answered before the next of them. */
  step(now: Instant, event: SharedDiskEvent): readonly SharedDiskEffect[] {
    assert(now >= this.#now, `Clock went back from ${this.#now} to ${now}`);
    this.#now = now;
    return [...this.#handle(event), ...this.#timers(), ...this.#begin(), ...this.#tellProof()];
  }

  /** When `step` must next be called if nothing happens. */
  wakeAt(): Instant | undefined {
    const phase = this.#phase;
    const giveUpAt = "giveUpAt" in phase ? (phase.giveUpAt ?? undefined) : undefined;
    const overdueAt =
      phase.name === "held" && !phase.overdueTold
        ? after(phase.renewedAt, this.#options.deadtimeMs)
        : undefined;
    const work = this.#work;
    if (work.kind === "none") return earliest(giveUpAt, overdueAt, this.#readDueAt());
    const hungAt = work.hungTold ? undefined : after(work.since, this.#options.deadtimeMs);
    return earliest(giveUpAt, overdueAt, hungAt);
  }

  /** What a probe or monitor answers. */
  state(): ProbeResult {
    const phase = this.#phase;
    if (phase.name === "lost") {
      return { state: "failed", reason: "BTN-CLAIM-LOST", detail: phase.detail };
    }
    if (phase.name === "held") return this.#heldState(phase.renewedAt);
    const problem = this.#problem();
    if (problem !== null) return { state: "unknown", ...problem };
    const claim = this.#claim();
    const ours = claim?.held === true && this.#isThisBoot(claim);
    return ours ? { state: "running" } : { state: "stopped" };
  }

  /** True while this process renews the claim. */
  isHeld(): boolean {
    return this.#phase.name === "held";
  }

  proof(): ClaimProof {
    const problem = this.#problem();
    if (problem !== null) return { kind: "unreadable", detail: problem.detail };
    const claim = this.#claim();
    const holder = claim?.held === true ? claim.host : null;
    return { kind: "claim", holder, epoch: claim?.epoch ?? 0, still: this.#isStill() };
  }

  snapshot(): SharedDiskSnapshot {
    return {
      now: this.#now,
      phase: this.#phase,
      view: this.#view,
      work: this.#work,
      nextReadAt: this.#nextReadAt,
      toldProof: this.#toldProof,
    };
  }

  static restore(options: SharedDiskOptions, snapshot: SharedDiskSnapshot): SharedDisk {
    const core = new SharedDisk(options, snapshot.now);
    core.#phase = snapshot.phase;
    core.#view = snapshot.view;
    core.#work = snapshot.work;
    core.#nextReadAt = snapshot.nextReadAt;
    core.#toldProof = snapshot.toldProof;
    return core;
  }

  #handle(event: SharedDiskEvent): readonly SharedDiskEffect[] {
    switch (event.kind) {
      case "tick":
        return [];
      case "start":
        return this.#start(event.epoch, after(this.#now, event.limitMs));
      case "stop":
        return this.#stop(after(this.#now, event.limitMs));
      case "adopt":
        return this.#adopt(after(this.#now, event.limitMs));
      case "look":
        this.#nextReadAt = this.#now;
        return [];
      case "cancel":
        return this.#giveUp("BTN-RESOURCE-CANCELLED", "The order was broken off");
      case "read":
        return this.#read(event.reading);
      case "wrote":
        return this.#wrote();
      case "failed":
        return this.#failed(event.detail);
      default:
        return unreachable(event);
    }
  }

  #start(epoch: number, giveUpAt: Instant): readonly SharedDiskEffect[] {
    if (this.#phase.name === "held") return [done({ ok: true, detail: "was held already" })];
    this.#nextReadAt = this.#now;
    this.#phase = {
      name: "claiming",
      epoch,
      giveUpAt,
      step: "looking",
      claim: null,
      confirmAt: null,
    };
    return [];
  }

  #stop(giveUpAt: Instant): readonly SharedDiskEffect[] {
    this.#nextReadAt = this.#now;
    this.#phase = { name: "releasing", giveUpAt, answers: true, errors: 0 };
    return [];
  }

  #adopt(giveUpAt: Instant): readonly SharedDiskEffect[] {
    if (this.#phase.name === "held") return [done({ ok: true, detail: "is held" })];
    if (this.#phase.name !== "watching") return [done(failure("BTN-RESOURCE-BUSY", "In use"))];
    this.#nextReadAt = this.#now;
    this.#phase = { name: "adopting", giveUpAt };
    return [];
  }

  #read(reading: ClaimReading): readonly SharedDiskEffect[] {
    assert(this.#work.kind === "read", "A read was answered that was not asked for");
    const issuedAt = this.#work.since;
    this.#work = { kind: "none" };
    this.#see(reading, issuedAt);
    return [...this.#judge(reading), { kind: "looked" }];
  }

  /** Counts for how long the claim has stood still, by reads alone. */
  #see(reading: ClaimReading, issuedAt: Instant): void {
    const { readAt, stillMs } = this.#view;
    const same = readAt !== null && identity(reading) === identity(this.#view.reading);
    const capMs = GAP_KEEPALIVES * this.#options.keepaliveMs;
    const gapMs = readAt === null ? 0 : Math.min(Math.max(0, issuedAt - readAt), capMs);
    this.#view = {
      reading,
      problem: problemOf(reading),
      stillMs: same ? stillMs + gapMs : 0,
      readAt: this.#now,
    };
  }

  #judge(reading: ClaimReading): readonly SharedDiskEffect[] {
    const phase = this.#phase;
    switch (phase.name) {
      case "watching":
      case "lost":
        return [];
      case "claiming":
        return phase.step === "looking" ? this.#claimIfFree(reading) : this.#confirm(reading);
      case "adopting":
        return this.#adoptIfOurs();
      case "held":
        return this.#renew(reading, phase.epoch);
      case "releasing":
        return this.#releaseIfOurs(reading);
      default:
        return unreachable(phase);
    }
  }

  #claimIfFree(reading: ClaimReading): readonly SharedDiskEffect[] {
    const phase = this.#phase;
    assert(phase.name === "claiming", "A claim was judged that nobody wants");
    const problem = problemOf(reading);
    if (problem !== null) return this.#giveUp(problem.reason, problem.detail);
    if (reading.kind === "damaged" || reading.kind === "not-a-claim") return [];
    const found = reading.kind === "claim" ? reading.claim : undefined;
    const foreign = found !== undefined && found.host !== this.#options.host;
    if (found?.held === true && foreign && !this.#isStill()) return [];
    const least = found === undefined ? 0 : found.epoch + (foreign ? 1 : 0);
    const claim = this.#own(true, Math.max(phase.epoch, least), found);
    this.#phase = { ...phase, step: "writing", claim };
    const effects: SharedDiskEffect[] = [];
    if (found?.held === true && foreign) {
      const detail = `${found.host} held it with epoch ${found.epoch} and stood still for ${Math.round(this.#view.stillMs)} ms`;
      effects.push({ kind: "notice", reason: "BTN-CLAIM-TAKEN-OVER", detail });
    }
    if (claim.epoch !== phase.epoch) {
      const detail = `asked for ${phase.epoch}, wrote ${claim.epoch}`;
      effects.push({ kind: "notice", reason: "BTN-CLAIM-EPOCH-RAISED", detail });
    }
    return [...effects, ...this.#write(reading.writeTo, claim, true)];
  }

  #confirm(reading: ClaimReading): readonly SharedDiskEffect[] {
    const phase = this.#phase;
    assert(phase.name === "claiming" && phase.claim !== null, "Nothing was claimed");
    // A read that was under way when the claim was written says nothing yet.
    if (phase.step !== "confirming") return [];
    const found = reading.kind === "claim" ? reading.claim : undefined;
    if (found === undefined || identity(reading) !== claimIdentity(phase.claim)) {
      const by = found === undefined ? reading.kind : `${found.host} with epoch ${found.epoch}`;
      return this.#giveUp("BTN-CLAIM-CONTESTED", `The claim read back is of ${by}`);
    }
    this.#phase = {
      name: "held",
      epoch: phase.claim.epoch,
      renewedAt: this.#now,
      overdueTold: false,
    };
    return [done({ ok: true, detail: `claimed with epoch ${phase.claim.epoch}` })];
  }

  #adoptIfOurs(): readonly SharedDiskEffect[] {
    const claim = this.#claim();
    if (claim?.held === true && this.#isThisBoot(claim)) {
      const { epoch } = claim;
      this.#phase = { name: "held", epoch, renewedAt: this.#now, overdueTold: false };
      return [done({ ok: true, detail: `goes on with epoch ${epoch}` })];
    }
    const problem = this.#view.problem;
    this.#phase = { name: "watching" };
    if (problem !== null) return [done(failure(problem.reason, problem.detail))];
    const by = claim?.held === true ? claim.host : "nobody";
    return [done(failure("BTN-CLAIM-LOST", `The claim is held by ${by}`))];
  }

  #renew(reading: ClaimReading, epoch: number): readonly SharedDiskEffect[] {
    const claim = reading.kind === "claim" ? reading.claim : undefined;
    if (reading.kind === "not-a-claim") return this.#lose(`The claim device: ${reading.detail}`);
    if (claim !== undefined && !this.#isThisBoot(claim) && claim.epoch >= epoch) {
      const what = claim.held ? "holds" : "released";
      return this.#lose(`${claim.host} ${what} it with epoch ${claim.epoch}, ours was ${epoch}`);
    }
    const write = this.#write(reading.writeTo, this.#own(true, epoch, claim), false);
    if (claim !== undefined && this.#isThisBoot(claim)) return write;
    const by = claim === undefined ? reading.kind : `of ${claim.host} with epoch ${claim.epoch}`;
    const detail = `Found ${by}, ours has epoch ${epoch}`;
    return [{ kind: "notice", reason: "BTN-CLAIM-OVERWRITTEN", detail }, ...write];
  }

  #releaseIfOurs(reading: ClaimReading): readonly SharedDiskEffect[] {
    const claim = reading.kind === "claim" ? reading.claim : undefined;
    const ours = claim?.held === true && claim.host === this.#options.host;
    if (!ours || reading.kind === "not-a-claim") return this.#released();
    return this.#write(reading.writeTo, this.#own(false, claim.epoch, claim), true);
  }

  #released(): readonly SharedDiskEffect[] {
    const phase = this.#phase;
    this.#phase = { name: "watching" };
    return phase.name === "releasing" && phase.answers ? [done({ ok: true })] : [];
  }

  #wrote(): readonly SharedDiskEffect[] {
    assert(this.#work.kind === "write", "A write was answered that was not asked for");
    this.#work = { kind: "none" };
    const phase = this.#phase;
    if (phase.name === "claiming" && phase.step === "writing") {
      const confirmAt = after(this.#now, this.#options.confirmMs);
      this.#phase = { ...phase, step: "settling", confirmAt };
    } else if (phase.name === "held") {
      this.#phase = { ...phase, renewedAt: this.#now, overdueTold: false };
    } else if (phase.name === "releasing") {
      // What was written may be a claim or renewal that was under way when the stop came: look again.
      this.#nextReadAt = this.#now;
    }
    return [];
  }

  #failed(detail: string): readonly SharedDiskEffect[] {
    assert(this.#work.kind !== "none", "Something failed that was not asked for");
    const looked: readonly SharedDiskEffect[] =
      this.#work.kind === "read" ? [{ kind: "looked" }] : [];
    this.#work = { kind: "none" };
    const problem: Problem = { reason: "BTN-CLAIM-DISK-ERROR", detail };
    const first = this.#view.problem === null;
    this.#view = { reading: null, problem, stillMs: 0, readAt: null };
    const phase = this.#phase;
    if (phase.name === "claiming" || phase.name === "adopting") {
      return [...this.#giveUp(problem.reason, detail), ...looked];
    }
    if (phase.name === "releasing") {
      this.#phase = { ...phase, errors: phase.errors + 1 };
      if (phase.errors + 1 >= RELEASE_TRIES) return [...this.#leaveBehind(detail), ...looked];
    }
    // A stop tries again a few times; a holder until it is overdue; both tell the first error.
    return first ? [{ kind: "notice", ...problem }, ...looked] : looked;
  }

  /**
   * The device says no: the claim stays behind unrenewed. That is safe: the other host waits until it has stood still.
   * A device that does not answer is another matter, since what was written may still arrive.
   */
  #leaveBehind(detail: string): readonly SharedDiskEffect[] {
    return [{ kind: "notice", reason: "BTN-CLAIM-NOT-RELEASED", detail }, ...this.#released()];
  }

  /** What time brings: limits, an overdue renewal, work that does not end. */
  #timers(): readonly SharedDiskEffect[] {
    const effects: SharedDiskEffect[] = [];
    const phase = this.#phase;
    if (phase.name === "held" && !phase.overdueTold && this.#isOverdue(phase.renewedAt)) {
      this.#phase = { ...phase, overdueTold: true };
      const detail = `The last renewal was ${Math.round(this.#now - phase.renewedAt)} ms ago`;
      effects.push({ kind: "notice", reason: "BTN-CLAIM-NOT-RENEWED", detail });
    }
    const work = this.#work;
    if (work.kind !== "none" && !work.hungTold && this.#isHung()) {
      this.#work = { ...work, hungTold: true };
      effects.push({ kind: "notice", ...this.#hung() }, { kind: "looked" });
    }
    if ("giveUpAt" in phase && phase.giveUpAt !== null && this.#now >= phase.giveUpAt) {
      const { reason, detail } = this.#whyNotYet();
      effects.push(...this.#giveUp(reason, detail));
    }
    return effects;
  }

  #whyNotYet(): Problem {
    const problem = this.#problem();
    if (problem !== null) return problem;
    const claim = this.#claim();
    if (claim?.held === true && claim.host !== this.#options.host) {
      const detail = `${claim.host} holds it with epoch ${claim.epoch} and renews it`;
      return { reason: "BTN-CLAIM-HELD-ELSEWHERE", detail };
    }
    return this.#hung();
  }

  /** Ends what was asked for without success. What may have been written is taken back. */
  #giveUp(reason: ResourcesReason, detail: string): readonly SharedDiskEffect[] {
    const phase = this.#phase;
    switch (phase.name) {
      case "claiming":
        this.#phase =
          phase.step === "looking"
            ? { name: "watching" }
            : { name: "releasing", giveUpAt: null, answers: false, errors: 0 };
        this.#nextReadAt = this.#now;
        return [done(failure(reason, detail))];
      case "adopting":
        this.#phase = { name: "watching" };
        return [done(failure(reason, detail))];
      case "releasing":
        // The wish stays: as soon as the device answers, the claim is released.
        if (!phase.answers) return [];
        this.#phase = { name: "releasing", giveUpAt: null, answers: false, errors: 0 };
        return [done(failure(reason, detail))];
      default:
        return [];
    }
  }

  #lose(detail: string): readonly SharedDiskEffect[] {
    this.#phase = { name: "lost", detail };
    return [{ kind: "notice", reason: "BTN-CLAIM-LOST", detail }];
  }

  /** Starts the next read if it is due and nothing else is under way. */
  #begin(): readonly SharedDiskEffect[] {
    if (this.#work.kind !== "none" || this.#now < this.#readDueAt()) return [];
    const phase = this.#phase;
    if (phase.name === "claiming" && phase.step === "settling") {
      this.#phase = { ...phase, step: "confirming" };
    }
    this.#nextReadAt = after(this.#now, this.#options.keepaliveMs);
    this.#work = { kind: "read", since: this.#now, hungTold: false };
    return [{ kind: "read" }];
  }

  #readDueAt(): Instant {
    const phase = this.#phase;
    const settling = phase.name === "claiming" && phase.step === "settling";
    if (settling && phase.confirmAt !== null) return phase.confirmAt;
    return earliest(this.#stillAt(), this.#nextReadAt) ?? this.#nextReadAt;
  }

  /** When a foreign claim will have stood still for long enough, if it goes on: a takeover may be waiting for it. */
  #stillAt(): Instant | undefined {
    const { stillMs, readAt } = this.#view;
    const claim = this.#claim();
    if (claim?.held !== true || readAt === null || this.#phase.name === "held") return undefined;
    if (claim.host === this.#options.host || this.#isStill()) return undefined;
    const leftMs = Math.max(this.#options.deadtimeMs, claim.deadtimeMs) - stillMs;
    return after(readAt, leftMs);
  }

  #write(copy: 0 | 1, claim: Claim, durable: boolean): readonly SharedDiskEffect[] {
    assert(this.#work.kind === "none", "Two things were done to the claim device at a time");
    this.#work = { kind: "write", since: this.#now, hungTold: false };
    return [{ kind: "write", copy, claim, durable }];
  }

  #tellProof(): readonly SharedDiskEffect[] {
    if (this.#view.readAt === null && this.#view.problem === null) return [];
    const proof = JSON.stringify(this.proof());
    if (proof === this.#toldProof) return [];
    this.#toldProof = proof;
    return [{ kind: "proofChanged" }];
  }

  #own(held: boolean, epoch: number, found: Claim | undefined): Claim {
    const { host, incarnation, deadtimeMs } = this.#options;
    return { host, held, epoch, counter: (found?.counter ?? 0) + 1, deadtimeMs, incarnation };
  }

  #heldState(renewedAt: Instant): ProbeResult {
    if (!this.#isOverdue(renewedAt)) return { state: "running" };
    const detail = `The last renewal was ${Math.round(this.#now - renewedAt)} ms ago`;
    return { state: "unknown", reason: "BTN-CLAIM-NOT-RENEWED", detail };
  }

  #claim(): Claim | undefined {
    const { reading } = this.#view;
    return reading?.kind === "claim" ? reading.claim : undefined;
  }

  /** Why the claim is not known; null if it is. */
  #problem(): Problem | null {
    if (this.#view.problem !== null) return this.#view.problem;
    if (this.#isHung()) return this.#hung();
    const detail = "The claim device was not read yet";
    return this.#view.reading === null ? { reason: "BTN-CLAIM-DISK-HUNG", detail } : null;
  }

  #hung(): Problem {
    const what = this.#work.kind === "none" ? "answer" : this.#work.kind;
    const detail = `The claim device did not ${what} in time`;
    return { reason: "BTN-CLAIM-DISK-HUNG", detail };
  }

  #isHung(): boolean {
    const work = this.#work;
    return work.kind !== "none" && this.#now >= after(work.since, this.#options.deadtimeMs);
  }

  #isOverdue(renewedAt: Instant): boolean {
    return this.#now >= after(renewedAt, this.#options.deadtimeMs);
  }

  #isStill(): boolean {
    const claim = this.#claim();
    if (claim?.held !== true || this.#phase.name === "held") return false;
    return this.#view.stillMs >= Math.max(this.#options.deadtimeMs, claim.deadtimeMs);
  }

  #isThisBoot(claim: Claim): boolean {
    return claim.host === this.#options.host && claim.incarnation === this.#options.incarnation;
  }
}

function problemOf(reading: ClaimReading): Problem | null {
  switch (reading.kind) {
    case "none":
    case "claim":
      return null;
    case "damaged":
      return { reason: "BTN-CLAIM-DAMAGED", detail: "Both copies of the claim are damaged" };
    case "not-a-claim":
      return { reason: "BTN-CLAIM-NOT-A-CLAIM", detail: `The claim device: ${reading.detail}` };
    default:
      return unreachable(reading);
  }
}

/** Equal for two readings between which nobody wrote. */
function identity(reading: ClaimReading | null): string {
  return reading?.kind === "claim" ? claimIdentity(reading.claim) : (reading?.kind ?? "");
}

const claimIdentity = (claim: Claim): string =>
  [claim.host, claim.incarnation, claim.held, claim.epoch, claim.counter].join(" ");

const done = (result: ActionResult): SharedDiskEffect => ({ kind: "done", result });

function failure(reason: ResourcesReason, detail: string): ActionResult {
  const hopeless = reason === "BTN-CLAIM-NOT-A-CLAIM" || reason === "BTN-CLAIM-DAMAGED";
  return { ok: false, reason, detail, retryable: !hopeless };
}
