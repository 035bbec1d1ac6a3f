/** I9: what is not durable is not visible. */
import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { instant } from "../../base/index.ts";
import type { DiskEffect } from "../contract.ts";
import { Output } from "./output.ts";

const answer = (id: number): DiskEffect => ({ kind: "answer", id, ok: true });
const send = (command: "P_UNPLUG_REMOTE" | "P_PING" | "P_PING_ACK"): DiskEffect => ({
  kind: "send",
  socket: "data",
  packet: { command, volume: 0 },
});
const superblock = [{ offset: 0, bytes: new Uint8Array(4096) }];
const page = [{ offset: 8192, bytes: new Uint8Array(4096) }];
const said = (output: Output): readonly string[] =>
  output.take().map((effect) => {
    if (effect.kind === "send") return effect.packet.command;
    if (effect.kind === "metadata") return `metadata ${effect.token}`;
    if (effect.kind === "answer") return `answer ${effect.id} ${effect.ok}`;
    return effect.kind;
  });
const fresh = (): Output => new Output(instant(0));

test("what is emitted after a superblock write waits for it, in order; before it and pings do not", () => {
  const output = fresh();
  output.emit(answer(1));
  output.writeMetadata(superblock, true);
  output.emit(answer(2));
  output.emit(send("P_UNPLUG_REMOTE"));
  output.emit({ kind: "hangUp" });
  output.emit(send("P_PING_ACK"));
  output.emit(send("P_PING"));
  deepEqual(said(output), ["answer 1 true", "P_PING_ACK", "P_PING", "metadata 1"]);
  output.emit({ kind: "establish" });
  deepEqual(said(output), []);
  output.metadataDone(1, true);
  deepEqual(said(output), ["answer 2 true", "P_UNPLUG_REMOTE", "hangUp", "establish"]);
  output.emit(answer(3));
  deepEqual(said(output), ["answer 3 true"]);
});

test("each effect waits for the newest superblock before it, not for later ones", () => {
  const output = fresh();
  output.writeMetadata(superblock, true);
  output.emit(answer(1));
  deepEqual(said(output), ["metadata 1"]);
  output.writeMetadata(superblock, true);
  output.emit(answer(2));
  deepEqual(said(output), []);
  output.metadataDone(1, true);
  deepEqual(said(output), ["answer 1 true", "metadata 2"]);
  output.metadataDone(2, true);
  deepEqual(said(output), ["answer 2 true"]);
});

test("bitmap and log writes hold nothing back, and what comes meanwhile goes out together", () => {
  const output = fresh();
  equal(output.writeMetadata(page, false), 1);
  output.emit(answer(1));
  deepEqual(said(output), ["answer 1 true", "metadata 1"]);
  output.writeMetadata(page, false);
  output.writeMetadata(page, false);
  deepEqual(said(output), [], "one is in flight");
  deepEqual(output.metadataDone(1, true).tokens, [1]);
  const [both] = output.take();
  equal(both?.kind === "metadata" ? both.writes.length : 0, 2);
  deepEqual(output.metadataDone(3, true).tokens, [2, 3]);
});

test("what waits keeps bytes of its own, also if they were a Buffer", () => {
  const output = fresh();
  output.writeMetadata(superblock, true);
  const data = Buffer.from([1, 2, 3]);
  output.emit({ kind: "localWrite", io: 1, sector: 0, data, fua: false });
  data.fill(9);
  output.take();
  output.metadataDone(1, true);
  const [write] = output.take();
  deepEqual(write?.kind === "localWrite" ? [...write.data] : [], [1, 2, 3]);
});

test("metadata that is gone: no answer says done, no write is made, packets go", () => {
  const output = fresh();
  output.writeMetadata(superblock, true);
  output.emit(answer(1));
  output.emit({ kind: "localFlush", io: 7 });
  output.emit(send("P_UNPLUG_REMOTE"));
  output.take();
  deepEqual(output.abandonMetadata(), { tokens: [1], abandonedIo: [7] });
  deepEqual(said(output), ["answer 1 false", "P_UNPLUG_REMOTE"]);
  equal(output.busy(), false);
});
