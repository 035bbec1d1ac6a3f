/**
 * `btnheard`: what a Baton host tells in its statuses of whom it hears (DESIGN 7.5), so that a host
 * whose beats arrive nowhere learns of it. One entry per sender and receiving link:
 *
 *   btnheard=dbm157:eth0=1f,dbm157:eth1=1f      last sequence number, hex
 *   btnheard=-                                  nobody was heard
 */
import { parseHex } from "./control-fields.ts";

export interface HeardEntry {
  readonly host: string;
  readonly link: string;
  readonly sequence: number;
}

/** Bounds what is read of a peer's statement. */
const entriesMax = 64;

/** The value of `btnheard`. Names with a separator in them can not be told and are left out. */
export function formatHeard(entries: readonly HeardEntry[]): string {
  const told = entries.filter(({ host, link }) => !/[:=,]/.test(host + link));
  if (told.length === 0) return "-";
  return told
    .map(({ host, link, sequence }) => `${host}:${link}=${sequence.toString(16)}`)
    .join(",");
}

/** By link, the last sequence number of `host` that the peer heard; null if it tells nothing. */
export function parseHeard(
  value: string | undefined,
  host: string,
): Readonly<Record<string, number>> | null {
  if (value === undefined) return null;
  const heard: [string, number][] = [];
  for (const entry of value.split(",", entriesMax)) {
    const match = /^([^:=,]+):([^:=,]+)=([0-9a-f]+)$/.exec(entry);
    const sequence = parseHex(match?.[3]);
    if (match?.[1] !== host || match[2] === undefined || sequence === undefined) continue;
    heard.push([match[2], sequence]);
  }
  return Object.fromEntries(heard);
}
