import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import { after, instant } from "../base/index.ts";
import { EventQueue } from "./event-queue.ts";
import { SimProcess } from "./process.ts";

/** A started process, whose host booted at 1000 ms before the origin, and the log of what it was told. */
function scene() {
  const events = new EventQueue();
  const process = new SimProcess(events, () => -1_000);
  const log: string[] = [];
  process.start();
  const say = (what: string) => (): void => {
    log.push(`${events.now.toFixed(1)} ${what}`);
  };
  return { events, process, log, say };
}

test("after a pause the backlog comes first, in its order, and the late timers after it", () => {
  const { events, process, log, say } = scene();
  process.clock().at(instant(1_020), say("timer of 20"));
  process.clock().at(instant(1_060), say("timer of 60"));
  events.schedule(10, () => process.pause(40));
  process.deliver(30, say("datagram of 30"));
  process.deliver(25, say("datagram of 25"));
  while (events.advance(100));
  deepEqual(log, [
    "50.0 datagram of 25",
    "50.0 datagram of 30",
    "50.0 timer of 20",
    "60.0 timer of 60",
  ]);
});

test("a longer pause that begins within one goes on; a shorter one changes nothing", () => {
  const { events, process, log, say } = scene();
  events.schedule(10, () => process.pause(20));
  events.schedule(20, () => process.pause(50));
  events.schedule(30, () => process.pause(10));
  process.deliver(15, say("read"));
  while (events.advance(100));
  deepEqual(log, ["70.0 read"]);
});

test("what was meant for a killed process does not reach the one that is started in its place", () => {
  const { events, process, log, say } = scene();
  process.clock().at(instant(1_050), say("old timer"));
  process.deliver(50, say("old datagram"));
  events.schedule(20, () => {
    process.kill();
    process.start();
    process.deliver(60, say("new datagram"));
  });
  while (events.advance(100));
  deepEqual(log, ["60.0 new datagram"]);
});

test("a process that is killed while it works off its backlog reads no more of it", () => {
  const { events, process, log, say } = scene();
  events.schedule(1, () => process.pause(10));
  process.deliver(2, () => {
    say("first")();
    process.kill();
  });
  process.deliver(3, say("second"));
  while (events.advance(100));
  deepEqual(log, ["11.0 first"]);
});

test("its clock is that of the host since boot, and a timer is never due at once", () => {
  const { events, process, log, say } = scene();
  const clock = process.clock();
  events.schedule(5, () => {
    log.push(`${clock.now()}`);
    clock.at(after(clock.now(), -3), say("due in the past"));
  });
  while (events.advance(100));
  deepEqual(log, ["1005", "5.1 due in the past"]);
});
