import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { instant } from "../base/index.ts";
import { Announcer, choosePlace, judgeProbe, type Network } from "./address.ts";

const network: Network = {
  links: [
    { index: 1, name: "lo", up: true, loopback: true },
    { index: 2, name: "eth0", up: true, loopback: false },
    { index: 3, name: "eth1", up: true, loopback: false },
  ],
  addresses: [
    { index: 1, address: "127.0.0.1", prefixLength: 8 },
    { index: 2, address: "192.168.0.157", prefixLength: 24 },
    { index: 2, address: "2001:db8::157", prefixLength: 64 },
    { index: 3, address: "192.168.1.157", prefixLength: 24 },
  ],
  route: undefined,
};
const where = (address: string, more: Partial<Network> = {}, device?: string): string => {
  const choice = choosePlace({ address, prefixLength: undefined, device }, { ...network, ...more });
  if (!choice.ok) return choice.reason;
  return `${choice.place.device}/${choice.place.prefixLength}`;
};

test("the device of the route is taken, with the prefix of its subnet", () => {
  const route = { index: 2, prefixLength: 24, gateway: undefined, local: false };
  equal(where("192.168.0.222", { route }), "eth0/24");
});

test("without a route that helps, the interface whose subnet holds the address is taken", () => {
  equal(where("192.168.1.222"), "eth1/24");
  const byGateway = { index: 2, prefixLength: 0, gateway: "192.168.0.1", local: false };
  equal(where("192.168.1.222", { route: byGateway }), "eth1/24");
  const held = { index: 1, prefixLength: 32, gateway: undefined, local: true };
  equal(where("192.168.0.222", { route: held }), "eth0/24");
  equal(where("2001:DB8::222"), "eth0/64");
});

test("a device that is given is taken though the address fits no subnet; it then stands alone", () => {
  equal(where("10.0.0.1", {}, "eth1"), "eth1/32");
  equal(where("2001:db8:9::1", {}, "eth1"), "eth1/128");
  equal(where("192.168.0.222", {}, "eth0"), "eth0/24");
});

test("an address without a place is refused, not put anywhere", () => {
  const byGateway = { index: 2, prefixLength: 0, gateway: "192.168.0.1", local: false };
  equal(where("10.0.0.1", { route: byGateway }), "BTN-ADDRESS-NO-DEVICE");
  equal(where("192.168.0.222", {}, "eth7"), "BTN-ADDRESS-NO-DEVICE");
  equal(where("192.168.0.256"), "BTN-ADDRESS-INVALID");
});

/** Runs "<ms> <event>" lines; returns "<ms> <effect>" lines. */
function play(script: readonly string[]): readonly string[] {
  const core = new Announcer();
  return script.flatMap((line) => {
    const [ms, kind] = line.split(" ") as [string, "held" | "released" | "tick"];
    return core.step(instant(Number(ms)), { kind }).map((effect) => `${ms} ${effect.kind}`);
  });
}

test("an address is announced five times within two seconds, then each minute, until released", () => {
  const core = new Announcer();
  const log: string[] = [];
  let now = instant(1_000);
  const note = (kind: "held" | "tick"): void => {
    for (const effect of core.step(now, { kind })) log.push(`${now} ${effect.kind}`);
  };
  note("held");
  for (let wake = core.wakeAt(); wake !== undefined && wake < 130_000; wake = core.wakeAt()) {
    now = wake;
    note("tick");
  }
  deepEqual(log, [
    "1000 announce",
    "1200 announce",
    "1500 announce",
    "2000 announce",
    "3000 announce",
    "63000 announce",
    "63000 lookForConflict",
    "123000 announce",
    "123000 lookForConflict",
  ]);
  deepEqual(core.step(instant(130_000), { kind: "released" }), []);
  equal(core.wakeAt(), undefined);
});

test("a loop that was held up announces once for all that it missed", () => {
  deepEqual(play(["0 held", "900 tick", "901 tick", "902 tick", "999 tick", "1000 tick"]), [
    "0 announce",
    "900 announce",
    "901 announce",
    "1000 announce",
  ]);
});

test("at any ticking an address is announced at once, at least five times, and never after release", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 3_000 }), { maxLength: 50 }), (gaps) => {
      const core = new Announcer();
      let now = 0;
      let sent = core.step(instant(0), { kind: "held" }).length;
      equal(sent, 1);
      for (const gap of gaps) {
        now += gap;
        sent += core.step(instant(now), { kind: "tick" }).length;
        const again = Announcer.restore(JSON.parse(JSON.stringify(core.snapshot())));
        equal(again.wakeAt(), core.wakeAt());
        equal((core.wakeAt() ?? 0) > now, true);
      }
      equal(sent <= 5 + Math.floor(now / 60_000), true);
      if (gaps.length >= 5 && now > 20_000) equal(sent >= 5, true);
      core.step(instant(now), { kind: "released" });
      deepEqual(core.step(instant(now + 1e6), { kind: "tick" }), []);
    }),
  );
});

test("the answer to a probe counts by who gave it, and only for a while", () => {
  const holder = "02:00:00:00:00:01";
  const stranger = "02:00:00:00:00:02";
  const judge = (mac: string | null, holderMayAnswer: boolean, known?: string, now = 0): string => {
    const finding = { at: instant(0), mac, holderMayAnswer };
    const judgement = judgeProbe(finding, known, instant(now));
    return judgement.verdict === "go" ? "go" : `${judgement.verdict} ${judgement.reason}`;
  };
  deepEqual(
    [
      judge(null, true, holder),
      judge(holder, true, holder),
      judge(stranger, true, holder),
      judge(stranger, true),
      judge(stranger, false),
      judge(holder, false, holder),
      judge(stranger, true, holder, 10_001),
    ],
    [
      "go",
      "note BTN-ADDRESS-HOLDER-ANSWERS",
      "refuse BTN-ADDRESS-DUPLICATE",
      "note BTN-ADDRESS-HOLDER-ANSWERS",
      "refuse BTN-ADDRESS-DUPLICATE",
      "refuse BTN-ADDRESS-DUPLICATE",
      "go",
    ],
  );
});
