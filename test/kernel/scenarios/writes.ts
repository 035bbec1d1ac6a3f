/** Writes of all kinds in both directions, roles, protocols, digests, discards, and a Primary without a disk. */
import { equal, match, ok } from "node:assert/strict";
import type { Arrangement } from "../arrangement.ts";
import { demand, type Side } from "../side.ts";
import {
  asPrimary,
  checkFiles,
  disconnect,
  eachWay,
  promote,
  type Scenario,
  writeFiles,
} from "./scenario.ts";

/** Small, large, unaligned to 4 KiB, buffered, synced, with FUA. */
const mixedWrites = `for bytes in 512 1536 4096 12288 65536 524288 1048576; do
    head -c $bytes /dev/urandom | dd of=$D bs=$bytes count=1 seek=3 oflag=direct iflag=fullblock conv=notrunc,nocreat status=none
  done
  head -c 4096 /dev/urandom | dd of=$D bs=4k seek=2000 oflag=direct,dsync iflag=fullblock conv=notrunc,nocreat status=none
  head -c 3000000 /dev/urandom | dd of=$D bs=64k seek=100 iflag=fullblock conv=notrunc,nocreat,fsync status=none`;

async function everyKind(pair: Arrangement): Promise<void> {
  await eachWay(pair, async (writer) => {
    await asPrimary(writer, async () => {
      await writer.shell(mixedWrites);
      await writer.fill(3_000, 40, writer.name);
    });
    await pair.equal();
    pair.expectBlocks(3_000, 40, writer.name);
  });
}

const protocolScenario = (protocol: "A" | "B" | "C"): Scenario => ({
  name: `writes of all sizes under protocol ${protocol}, both ways`,
  setting: { protocol },
  async play(pair) {
    await pair.ready();
    await everyKind(pair);
    // During these no resync ran: each acknowledgement has its one reason.
    equal(pair.packets("P_RECV_ACK") > 0, protocol === "B");
    equal(pair.packets("P_WRITE_ACK") > 0, protocol === "C");
    ok(pair.packets("P_BARRIER_ACK") > 0);
  },
});

const integrityScenario = (integrity: "sha1" | "crc32c"): Scenario => ({
  name: `every write carries a ${integrity} digest (data-integrity-alg), also in a resync`,
  setting: { integrity },
  async play(pair) {
    await pair.ready();
    await everyKind(pair);
    await promote(pair.first);
    await disconnect(pair, pair.second);
    await pair.first.fill(10, 5, "digest");
    await demand(pair.second, "connect");
    await pair.inSync();
    await demand(pair.first, "secondary");
    await pair.equal();
    pair.expectBlocks(10, 5, "digest");
  },
});

/** blkdiscard of aligned and unaligned ranges, and zeroes; what lay beside them stays. */
async function discards(pair: Arrangement, side: Side): Promise<void> {
  await asPrimary(side, async () => {
    await side.fill(0, 600, "kept");
    await side.shell(`blkdiscard -o 1048576 -l 1048576 $D
      blkdiscard -o 4096 -l 8192 $D
      blkdiscard -z -o 65536 -l 131072 $D`);
    const zeroes = "cmp -n LENGTH /dev/zero - >&2 && echo zero";
    const read = (skip: number, count: number): string =>
      `dd if=$D bs=4k skip=${skip} count=${count} iflag=direct status=none | ${zeroes.replace("LENGTH", `${count * 4_096}`)}`;
    for (const [skip, count] of [
      [256, 256],
      [1, 2],
      [16, 32],
    ] as const) {
      equal((await side.shell(read(skip, count))).trim(), "zero", `${side.name} at ${skip}`);
    }
  });
  await pair.equal();
  pair.expectBlocks(0, 1, "kept");
  pair.expectBlocks(3, 13, "kept");
  pair.expectBlocks(48, 208, "kept");
  pair.expectBlocks(512, 88, "kept");
}

export const writeScenarios: readonly Scenario[] = [
  protocolScenario("C"),
  protocolScenario("B"),
  protocolScenario("A"),
  integrityScenario("sha1"),
  integrityScenario("crc32c"),
  {
    name: "file systems made on either side are whole on the other; roles change hands",
    setting: {},
    async play(pair) {
      await pair.ready();
      await eachWay(pair, async (writer, reader) => {
        const words = writer === pair.first ? "" : "-b 1024 -E nodiscard";
        await promote(writer);
        await writer.shell(writeFiles(words));
        const refused = await reader.try("primary");
        equal(refused.done, false);
        match(refused.detail, /Multiple primaries|-1\b|BTN-DISK/);
        await demand(writer, "secondary");
        await asPrimary(reader, () => reader.shell(checkFiles));
      });
      await pair.equal();
    },
  },
  {
    name: "discards and zeroes, both ways",
    setting: {},
    async play(pair) {
      await pair.ready();
      await eachWay(pair, (side) => discards(pair, side));
      ok(pair.packets("P_TRIM") > 0);
      ok(pair.packets("P_ZEROES") > 0);
    },
  },
  {
    name: "a Primary that detaches its disk reads and writes through the other; attached again it is resynced",
    setting: {},
    async play(pair) {
      await pair.ready();
      await eachWay(pair, async (side) => {
        await promote(side);
        await side.fill(0, 4, "local");
        await demand(side, "detach");
        await side.until("ds:Diskless/UpToDate");
        const read = await side.shell("dd if=$D bs=16k count=1 iflag=direct status=none");
        match(read, /^local block 0\n/);
        match(read, /local block 3\n/);
        await side.fill(4, 4, "remote");
        await demand(side, "attach");
        await pair.inSync();
        await demand(side, "secondary");
        await pair.equal();
        pair.expectBlocks(4, 4, "remote");
      });
      ok(pair.packets("P_DATA_REPLY") > 0);
    },
  },
];
