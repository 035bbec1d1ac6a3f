/**
 * An address of the configuration as the kernel wants it. Classic files may name a host: it is looked up once, when
 * it first can be (heartbeat.md 2.2 `ucast`), and never on the way of a beat.
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { socketAddress } from "../system/sockets.ts";

/** Where a link sends to: an address, or a name that is looked up beside the beats. */
export class Destination {
  readonly text: string;
  readonly #port: number;
  readonly #family: 4 | 6;
  #numeric: string | undefined;
  #looking = false;

  constructor(text: string, port: number, family: 4 | 6) {
    this.text = text;
    this.#port = port;
    this.#family = family;
    this.#numeric = isIP(text) === 0 ? undefined : text;
  }

  /**
   * Socket address; undefined while the name is not known yet: asks for it again then.
   * @param defaultScope device index for link-local addresses
   */
  address(defaultScope = 0): Buffer | undefined {
    if (this.#numeric === undefined) {
      void this.#look();
      return undefined;
    }
    return socketAddress(this.#numeric, this.#port, defaultScope);
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      this.#numeric = (await lookup(this.text, { family: this.#family })).address;
    } catch {
      // Not known now: the link says so with every beat that it can not send, and asks again.
    } finally {
      this.#looking = false;
    }
  }
}
