import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../base/index.ts";
import { EventQueue } from "./event-queue.ts";
import { Network } from "./network.ts";

const links = ["eth0", "eth1"];
const newNetwork = (): Network => new Network(new EventQueue(), new Prng(1), links);

/** Links on which a datagram of `from` gets through to `to`. */
function arrivals(network: Network, from: string, to: string): string[] {
  const seen: string[] = [];
  network.send({ from, bytes: new Uint8Array(1) }, to, (link) => seen.push(link));
  return seen;
}

test("a cable that is cut in one direction carries the other", () => {
  const network = newNetwork();
  network.cut("dbm157", "eth0", "out");
  deepEqual(arrivals(network, "dbm157", "dbm158"), ["eth1"]);
  deepEqual(arrivals(network, "dbm158", "dbm157"), ["eth0", "eth1"]);
  network.cut("dbm157", "eth1", "out");
  equal(network.connected("dbm157", "dbm158"), false);
  equal(network.connected("dbm158", "dbm157"), true);
  network.heal("dbm157", "eth0", "out");
  deepEqual(arrivals(network, "dbm157", "dbm158"), ["eth0"]);
  network.healAll();
  deepEqual(arrivals(network, "dbm157", "dbm158"), ["eth0", "eth1"]);
});

test("an end that receives nothing is cut for all who send to it", () => {
  const network = newNetwork();
  network.cut("dbm158", "eth0", "in");
  deepEqual(arrivals(network, "dbm157", "dbm158"), ["eth1"]);
  deepEqual(arrivals(network, "dbm158", "dbm157"), ["eth0", "eth1"]);
});

test("the switch answers on the first link, if both directions of its cable are whole", () => {
  const network = newNetwork();
  equal(network.pings("dbm157"), true);
  network.cut("dbm157", "eth1", "in");
  equal(network.pings("dbm157"), true);
  network.cut("dbm157", "eth0", "in");
  equal(network.pings("dbm157"), false);
  equal(network.pings("dbm158"), true);
  network.pingAnswers = false;
  equal(network.pings("dbm158"), false);
});

test("weather loses, doubles and delays within its bounds", () => {
  const events = new EventQueue();
  const network = new Network(events, new Prng(7), ["eth0"]);
  const bytes = new Uint8Array(1);
  network.weather = { loss: 0.3, duplication: 0.2, delayMinMs: 1, delayMaxMs: 5, spikeMs: 100 };
  const delays: number[] = [];
  for (let sent = 0; sent < 2_000; sent++) {
    network.send({ from: "dbm157", bytes }, "dbm158", (_link, at) => delays.push(at - events.now));
  }
  const spikes = delays.filter((delay) => delay > 5);
  equal(delays.length > 1_500 && delays.length < 1_860, true, `${delays.length} of 2000 x 0.84`);
  equal(spikes.length > 10 && spikes.length < 80, true, `${spikes.length} spikes`);
  equal(
    delays.every((delay) => delay >= 1 && delay <= 105),
    true,
  );
});
