/**
 * The floating address on this host: asks and changes the kernel over netlink, sends the announcements.
 * No fork and no wait between the call of `start` and the address in the kernel.
 */
import { broadcastOf, canonicalIp, type Instant, type IpBytes, parseIp } from "../base/index.ts";
import {
  addressFlag,
  announceAddress,
  askForAddress,
  formatMac,
  type InterfaceAddress,
  type Link,
  linkFlag,
  RouteNetlink,
} from "../system/index.ts";
import {
  Announcer,
  type AnnouncerEvent,
  type Choice,
  choosePlace,
  judgeProbe,
  type Network,
  type ProbeFinding,
} from "./address.ts";
import type { ActionContext, ActionResult, ProbeResult, ResourceAgent } from "./agent.ts";
import type { ResourceEnvironment } from "./environment.ts";
import type { ResourcesReason } from "./reasons.ts";
import type { AddressSpec } from "./spec.ts";

/** How long the look for a conflict, each minute while held, listens. */
const CONFLICT_LISTEN_MS = 500;

/** What `probeDuplicate` found. */
export interface DuplicateAnswer {
  /** MAC that answered for the address, as text; null: nobody. */
  readonly mac: string | null;
  /** The device that was asked on; null: it has no neighbours, such as lo. */
  readonly device: string | null;
}

/** A resource agent that can also look for other holders of its address before it is started. */
export interface AddressAgent extends ResourceAgent {
  readonly spec: AddressSpec;
  /**
   * Asks the network who has the address and keeps the answer for a start that follows soon. Call it at
   * verdict `late`, beside other work; a start never waits for it.
   * @param holderMayAnswer another host holds the address, or may
   */
  prepare(options: {
    readonly timeoutMs: number;
    readonly holderMayAnswer: boolean;
  }): Promise<DuplicateAnswer>;
  /** Remembers who answers now as the rightful holder. Call it when a live peer has taken the group. */
  learnHolder(timeoutMs: number): Promise<void>;
}

/** @param spec the address; `environment.notify` is told of conflicts */
export function createAddressAgent(
  spec: AddressSpec,
  environment: ResourceEnvironment,
): AddressAgent {
  return new KernelAddress(spec, environment);
}

/**
 * Asks on the device of the address who has it, three times within `timeoutMs`.
 * @throws {SystemCallError} if the network can not be asked; the reason of `signal` if aborted
 */
export async function probeDuplicate(
  spec: AddressSpec,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<DuplicateAnswer> {
  const address = parseIp(spec.address);
  if (address === undefined) return { mac: null, device: null };
  const link = findLink(spec, address);
  if (link?.mac === undefined || !hasNeighbours(link)) return { mac: null, device: null };
  const answer = await askForAddress(
    address,
    { index: link.index, mac: link.mac },
    { timeoutMs, ...(signal === undefined ? {} : { signal }) },
  );
  return { mac: answer === undefined ? null : formatMac(answer), device: link.name };
}

/** An address that was removed. */
export interface SweptAddress {
  readonly address: string;
  readonly device: string;
}

/**
 * Removes the addresses of groups that this host is not to hold, left behind by an earlier run.
 * Call it at the start of the agent, with the groups that were not found to be held here.
 * @throws {SystemCallError} if the kernel refuses
 */
export function sweepLeftovers(specs: readonly AddressSpec[]): readonly SweptAddress[] {
  using netlink = new RouteNetlink();
  const links = netlink.links();
  const held = netlink.addresses();
  return specs.flatMap((spec) =>
    found(spec, links, held).map(({ entry, link }) => {
      remove(netlink, entry);
      return { address: entry.address, device: link.name };
    }),
  );
}

class KernelAddress implements AddressAgent {
  readonly spec: AddressSpec;
  readonly #environment: ResourceEnvironment;
  readonly #announcer = new Announcer();
  readonly #abort = new AbortController();
  #cancelTimer = (): void => undefined;
  #finding: ProbeFinding | undefined;
  #holderMac: string | undefined;
  #toldNotAnnounced = false;
  #toldConflict: string | undefined;

  constructor(spec: AddressSpec, environment: ResourceEnvironment) {
    this.spec = spec;
    this.#environment = environment;
  }

  probe(_context: ActionContext): Promise<ProbeResult> {
    return Promise.resolve(this.#look());
  }

  monitor(_context: ActionContext): Promise<ProbeResult> {
    const result = this.#look();
    if (result.state !== "running") return Promise.resolve(result);
    // Found running by an agent that was started anew: go on announcing.
    if (this.#announcer.wakeAt() === undefined) this.#feed({ kind: "held" });
    return Promise.resolve(result);
  }

  start(context: ActionContext): Promise<ActionResult> {
    try {
      return Promise.resolve(this.#add(context));
    } catch (error) {
      return Promise.resolve(kernelRefused(error));
    }
  }

  stop(_context: ActionContext): Promise<ActionResult> {
    this.#feed({ kind: "released" });
    try {
      using netlink = new RouteNetlink();
      for (const { entry } of found(this.spec, netlink.links(), netlink.addresses())) {
        remove(netlink, entry);
      }
      return Promise.resolve({ ok: true });
    } catch (error) {
      return Promise.resolve(kernelRefused(error));
    }
  }

  async prepare(options: {
    readonly timeoutMs: number;
    readonly holderMayAnswer: boolean;
  }): Promise<DuplicateAnswer> {
    const answer = await probeDuplicate(this.spec, options.timeoutMs, this.#abort.signal);
    const at = this.#now();
    this.#finding = { at, mac: answer.mac, holderMayAnswer: options.holderMayAnswer };
    return answer;
  }

  async learnHolder(timeoutMs: number): Promise<void> {
    const answer = await probeDuplicate(this.spec, timeoutMs, this.#abort.signal);
    this.#holderMac = answer.mac ?? undefined;
  }

  dispose(): void {
    this.#cancelTimer();
    this.#abort.abort(new Error("The agent lets go of the address"));
  }

  #add(context: ActionContext): ActionResult {
    const judgement = judgeProbe(this.#finding, this.#holderMac, this.#now());
    if (judgement.verdict === "refuse") return refused(judgement.reason, judgement.detail, true);
    using netlink = new RouteNetlink();
    const links = netlink.links();
    const addresses = netlink.addresses();
    const held = found(this.spec, links, addresses);
    const choice = choose(this.spec, { netlink, links, addresses });
    if (!choice.ok) return refused(choice.reason, choice.detail, false);
    const { place } = choice;
    const link = links.find(({ index }) => index === place.index);
    if (((link?.flags ?? 0) & linkFlag.up) === 0) {
      return refused("BTN-ADDRESS-DEVICE-DOWN", `${place.device} is down`, true);
    }
    for (const { entry } of held) if (entry.index !== place.index) remove(netlink, entry);
    const here = held.some(({ entry }) => entry.index === place.index);
    if (!here) {
      const address = bytesOf(this.spec.address);
      netlink.addAddress({
        ...place,
        address,
        broadcast: broadcast(this.spec, place.prefixLength),
      });
    }
    this.#holderMac = undefined;
    this.#feed({ kind: "held" });
    if (judgement.verdict === "note") {
      this.#tell(judgement.reason, judgement.detail);
      context.progress(`${this.spec.address}: ${judgement.detail}`);
    }
    const where = `${this.spec.address}/${place.prefixLength} on ${place.device}`;
    return { ok: true, detail: here ? `${where} was there already` : where };
  }

  #look(): ProbeResult {
    try {
      using netlink = new RouteNetlink();
      const links = netlink.links();
      return judgeHeld(this.spec, found(this.spec, links, netlink.addresses()));
    } catch (error) {
      return { state: "unknown", reason: "BTN-ADDRESS-KERNEL", detail: describe(error) };
    }
  }

  #feed(event: AnnouncerEvent): void {
    for (const effect of this.#announcer.step(this.#now(), event)) {
      if (effect.kind === "announce") this.#announce();
      else void this.#lookForConflict();
    }
    this.#cancelTimer();
    const wakeAt = this.#announcer.wakeAt();
    this.#cancelTimer =
      wakeAt === undefined || this.#abort.signal.aborted
        ? () => undefined
        : this.#environment.clock.at(wakeAt, () => this.#feed({ kind: "tick" }));
  }

  /** A failure is told once and again after a success; the next announcement tries anew. */
  #announce(): void {
    try {
      const address = bytesOf(this.spec.address);
      const link = findLink(this.spec, address);
      if (link?.mac !== undefined && hasNeighbours(link)) {
        announceAddress(address, { index: link.index, mac: link.mac });
      }
      this.#toldNotAnnounced = false;
    } catch (error) {
      if (!this.#toldNotAnnounced) this.#tell("BTN-ADDRESS-NOT-ANNOUNCED", describe(error));
      this.#toldNotAnnounced = true;
    }
  }

  async #lookForConflict(): Promise<void> {
    try {
      const { mac } = await probeDuplicate(this.spec, CONFLICT_LISTEN_MS, this.#abort.signal);
      const held = this.#announcer.wakeAt() !== undefined;
      if (held && mac !== null && mac !== this.#toldConflict) {
        this.#tell("BTN-ADDRESS-CONFLICT", `${mac} answers for ${this.spec.address}`);
      }
      this.#toldConflict = mac ?? undefined;
    } catch {
      // Not being able to look is no conflict; a device that is down shows in the monitor.
    }
  }

  #tell(reason: ResourcesReason, detail: string): void {
    const { group, notify } = this.#environment;
    notify({ group, resource: this.spec.name, reason, detail });
  }

  #now(): Instant {
    return this.#environment.clock.now();
  }
}

interface Held {
  readonly entry: InterfaceAddress;
  readonly link: Link;
}

/** Where the address is held. On lo it is a real server's copy of a read address: not ours to touch. */
function found(
  spec: AddressSpec,
  links: readonly Link[],
  addresses: readonly InterfaceAddress[],
): readonly Held[] {
  const wanted = canonicalIp(spec.address);
  return addresses.flatMap((entry) => {
    if (entry.address !== wanted) return [];
    const link = links.find(({ index }) => index === entry.index);
    const counts = link !== undefined && (!isLoopback(link) || link.name === spec.device);
    return counts ? [{ entry, link }] : [];
  });
}

function judgeHeld(spec: AddressSpec, held: readonly Held[]): ProbeResult {
  const [first] = held;
  if (first === undefined) return { state: "stopped" };
  const elsewhere = held.find(({ link }) => spec.device !== undefined && link.name !== spec.device);
  if (elsewhere !== undefined) {
    const detail = `${spec.address} is on ${elsewhere.link.name}, not on ${spec.device}`;
    return { state: "failed", reason: "BTN-ADDRESS-WRONG-DEVICE", detail };
  }
  if ((first.entry.flags & addressFlag.dadFailed) !== 0) {
    const detail = `The kernel found ${spec.address} in use by another host`;
    return { state: "failed", reason: "BTN-ADDRESS-CONFLICT", detail };
  }
  if ((first.link.flags & linkFlag.up) === 0) {
    const detail = `${first.link.name} is down`;
    return { state: "failed", reason: "BTN-ADDRESS-DEVICE-DOWN", detail };
  }
  return { state: "running" };
}

interface Asked {
  readonly netlink: RouteNetlink;
  readonly links: readonly Link[];
  readonly addresses: readonly InterfaceAddress[];
}

function choose(spec: AddressSpec, { netlink, links, addresses }: Asked): Choice {
  const address = parseIp(spec.address);
  const network: Network = {
    links: links.map((link) => ({
      index: link.index,
      name: link.name,
      up: (link.flags & linkFlag.up) !== 0,
      loopback: isLoopback(link),
    })),
    addresses,
    route: address === undefined ? undefined : netlink.route(address),
  };
  return choosePlace(spec, network);
}

/** The device that holds the address, or else would. */
function findLink(spec: AddressSpec, address: IpBytes): Link | undefined {
  using netlink = new RouteNetlink();
  const links = netlink.links();
  const addresses = netlink.addresses();
  const [held] = found(spec, links, addresses);
  if (held !== undefined) return held.link;
  if (address.length === 0) return undefined;
  const choice = choose(spec, { netlink, links, addresses });
  return links.find(({ index }) => choice.ok && index === choice.place.index);
}

function remove(netlink: RouteNetlink, entry: InterfaceAddress): void {
  const { index, prefixLength } = entry;
  netlink.deleteAddress({ index, prefixLength, address: bytesOf(entry.address) });
}

function broadcast(spec: AddressSpec, prefixLength: number): IpBytes | undefined {
  const given = spec.broadcast === undefined ? undefined : parseIp(spec.broadcast);
  return given ?? broadcastOf(bytesOf(spec.address), prefixLength);
}

const isLoopback = (link: Link): boolean => (link.flags & linkFlag.loopback) !== 0;
const hasNeighbours = (link: Link): boolean =>
  link.ethernet && (link.flags & linkFlag.noArp) === 0 && (link.flags & linkFlag.up) !== 0;
const bytesOf = (text: string): IpBytes => parseIp(text) ?? new Uint8Array();
const describe = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

function refused(reason: ResourcesReason, detail: string, retryable: boolean): ActionResult {
  return { ok: false, reason, detail, retryable };
}

function kernelRefused(error: unknown): ActionResult {
  return refused("BTN-ADDRESS-KERNEL", describe(error), true);
}
