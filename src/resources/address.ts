/**
 * The floating address: where it goes, when it is announced, and what an answer to a probe means.
 * Pure; `address.shell.ts` asks the kernel and sends the frames.
 *
 *   place     given device, else the device of the route to the address, else the interface whose subnet holds it
 *   announce  0, 200, 500, 1000, 2000 ms after the start, then each minute while held (R20, reliability case 29)
 *   probe     made at verdict `late`, never waited for by a start; an answer counts for `PROBE_FRESH_MS`
 *
 *   answer of a fresh probe          before a takeover      with no holder to take over from
 *   nobody                           go on                  go on
 *   the MAC of the known holder      go on, with a note     (there is none) refuse
 *   another MAC than the holder's    refuse                 refuse
 *   a MAC, the holder's not known    go on, with a note     refuse
 *
 * A holder that was declared dead and still answers is a kernel whose cluster software is gone: the original takes the
 * address over then, and so do we; a stranger is refused (reliability case 30).
 */
import {
  after,
  type Instant,
  type IpBytes,
  instant,
  parseIp,
  samePrefix,
  unreachable,
} from "../base/index.ts";
import type { ResourcesReason } from "./reasons.ts";
import type { AddressSpec } from "./spec.ts";

/** When an address is announced, counted from the moment it was added (mysql.md 8, R20). */
export const ANNOUNCE_AT_MS = [0, 200, 500, 1_000, 2_000] as const;
/** And after the last of those again and again: caches expire (R20). */
export const ANNOUNCE_EVERY_MS = 60_000;
/** How long the result of a probe says something about now. */
export const PROBE_FRESH_MS = 10_000;

/** An interface as the kernel describes it; the subset that choosing needs. */
export interface PlaceLink {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  readonly loopback: boolean;
}
export interface PlaceAddress {
  readonly index: number;
  readonly address: string;
  readonly prefixLength: number;
}
export interface PlaceRoute {
  readonly index: number;
  readonly prefixLength: number;
  readonly gateway: string | undefined;
  readonly local: boolean;
}
/** What the kernel said. `route` is the one that leads to the address. */
export interface Network {
  readonly links: readonly PlaceLink[];
  readonly addresses: readonly PlaceAddress[];
  readonly route: PlaceRoute | undefined;
}
export interface Place {
  readonly index: number;
  readonly device: string;
  readonly prefixLength: number;
}
export type Choice =
  | { readonly ok: true; readonly place: Place }
  | { readonly ok: false; readonly reason: ResourcesReason; readonly detail: string };

/** Where the address of `spec` belongs on this host. */
export function choosePlace(
  spec: Pick<AddressSpec, "address" | "prefixLength" | "device">,
  network: Network,
): Choice {
  const address = parseIp(spec.address);
  if (address === undefined) {
    return refuse("BTN-ADDRESS-INVALID", `Cannot read "${spec.address}" as an address`);
  }
  const link = chooseLink(spec.device, address, network);
  if (link === undefined) {
    return spec.device === undefined
      ? refuse("BTN-ADDRESS-NO-DEVICE", `No route and no subnet of this host holds ${spec.address}`)
      : refuse("BTN-ADDRESS-NO-DEVICE", `There is no device ${spec.device}`);
  }
  const prefixLength = spec.prefixLength ?? choosePrefix(link, address, network);
  return { ok: true, place: { index: link.index, device: link.name, prefixLength } };
}

function chooseLink(
  device: string | undefined,
  address: IpBytes,
  { links, addresses, route }: Network,
): PlaceLink | undefined {
  if (device !== undefined) return links.find(({ name }) => name === device);
  // A route that leads out through a gateway says only that the address is elsewhere.
  const onLink = route !== undefined && !route.local && route.gateway === undefined;
  const byRoute = onLink ? links.find(({ index }) => index === route.index) : undefined;
  if (byRoute !== undefined && !byRoute.loopback) return byRoute;
  const bySubnet = longest(subnetsWith(address, addresses, links));
  return links.find(({ index }) => index === bySubnet?.index);
}

function choosePrefix(
  link: PlaceLink,
  address: IpBytes,
  { links, addresses, route }: Network,
): number {
  const subnets = subnetsWith(address, addresses, links);
  const subnet = longest(subnets.filter(({ index }) => index === link.index));
  if (subnet !== undefined) return subnet.prefixLength;
  const routed = route !== undefined && !route.local && route.index === link.index;
  // A default route says nothing of the subnet: then the address stands alone.
  return routed && route.gateway === undefined && route.prefixLength > 0
    ? route.prefixLength
    : address.length * 8;
}

/** The addresses of real interfaces in whose subnet `address` lies, itself apart. */
function subnetsWith(
  address: IpBytes,
  addresses: readonly PlaceAddress[],
  links: readonly PlaceLink[],
): readonly PlaceAddress[] {
  const usable = new Set(
    links.filter((link) => link.up && !link.loopback).map((link) => link.index),
  );
  return addresses.filter((candidate) => {
    const bytes = parseIp(candidate.address);
    if (bytes === undefined || bytes.length !== address.length) return false;
    const itself = samePrefix(bytes, address, address.length * 8);
    const alone = candidate.prefixLength === address.length * 8;
    return (
      usable.has(candidate.index) &&
      !itself &&
      !alone &&
      samePrefix(bytes, address, candidate.prefixLength)
    );
  });
}

function longest(addresses: readonly PlaceAddress[]): PlaceAddress | undefined {
  return addresses.reduce<PlaceAddress | undefined>(
    (best, one) => (best === undefined || one.prefixLength > best.prefixLength ? one : best),
    undefined,
  );
}

function refuse(reason: ResourcesReason, detail: string): Choice {
  return { ok: false, reason, detail };
}

export type AnnouncerEvent =
  | { readonly kind: "held" }
  | { readonly kind: "released" }
  | { readonly kind: "tick" };
export type AnnouncerEffect =
  | { readonly kind: "announce" }
  /** Look whether somebody else answers for the address that we hold. */
  | { readonly kind: "lookForConflict" };
type AnnouncerState =
  | { readonly phase: "idle" }
  | {
      readonly phase: "held";
      readonly since: Instant;
      readonly sent: number;
      readonly next: Instant;
    };

/** When to announce a held address. `held` twice announces anew: a start that is repeated is a wish. */
export class Announcer {
  #state: AnnouncerState = { phase: "idle" };

  step(now: Instant, event: AnnouncerEvent): readonly AnnouncerEffect[] {
    switch (event.kind) {
      case "held":
        this.#state = { phase: "held", since: now, sent: 0, next: now };
        return this.#due(now);
      case "released":
        this.#state = { phase: "idle" };
        return [];
      case "tick":
        return this.#due(now);
      default:
        return unreachable(event);
    }
  }

  /** When `step` must next be called; undefined while nothing is held. */
  wakeAt(): Instant | undefined {
    return this.#state.phase === "held" ? this.#state.next : undefined;
  }

  /** Plain data; `restore` makes the same announcer of it. */
  snapshot(): AnnouncerState {
    return this.#state;
  }

  static restore(snapshot: AnnouncerState): Announcer {
    const announcer = new Announcer();
    announcer.#state = snapshot;
    return announcer;
  }

  /** One announcement however late it is: what was missed is not made up for. */
  #due(now: Instant): readonly AnnouncerEffect[] {
    const state = this.#state;
    if (state.phase === "idle" || now < state.next) return [];
    const sent = state.sent + 1;
    const offset = ANNOUNCE_AT_MS[sent];
    const planned = offset === undefined ? undefined : after(state.since, offset);
    const next =
      planned === undefined
        ? after(now, ANNOUNCE_EVERY_MS)
        : instant(Math.max(planned, after(now, 1)));
    this.#state = { ...state, sent, next };
    const settled = sent > ANNOUNCE_AT_MS.length;
    return settled ? [{ kind: "announce" }, { kind: "lookForConflict" }] : [{ kind: "announce" }];
  }
}

/** What a probe for the address found, and what was known when it was made. */
export interface ProbeFinding {
  readonly at: Instant;
  /** MAC that answered, as text; null: nobody. */
  readonly mac: string | null;
  /** Another host held, or may have held, the address when the probe was made. */
  readonly holderMayAnswer: boolean;
}
export type ProbeJudgement =
  | { readonly verdict: "go" }
  | {
      readonly verdict: "note" | "refuse";
      readonly reason: ResourcesReason;
      readonly detail: string;
    };

/**
 * Whether a start may go on in the light of an earlier probe (table at the head of this file).
 * @param holderMac the MAC that answered while the other host was known to hold it; undefined: not known
 */
export function judgeProbe(
  finding: ProbeFinding | undefined,
  holderMac: string | undefined,
  now: Instant,
): ProbeJudgement {
  if (finding === undefined || now > after(finding.at, PROBE_FRESH_MS) || finding.mac === null) {
    return { verdict: "go" };
  }
  const { mac, holderMayAnswer } = finding;
  if (holderMayAnswer && (holderMac === undefined || holderMac === mac)) {
    return {
      verdict: "note",
      reason: "BTN-ADDRESS-HOLDER-ANSWERS",
      detail: `${mac} still answers for the address`,
    };
  }
  return {
    verdict: "refuse",
    reason: "BTN-ADDRESS-DUPLICATE",
    detail: `${mac} answers for the address and is not its holder`,
  };
}
