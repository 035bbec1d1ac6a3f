import { equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BLOCK_BYTES, bitmapBytesFor, type MetadataForm, planLayout } from "./layout.ts";
import { codeOf, expectOk } from "./testing.shell.ts";

const internal: MetadataForm = { kind: "internal" };
const external: MetadataForm = { kind: "external" };
const same = (sectors: number) => ({ backingSectors: sectors, metadataSectors: sectors });

test("layouts are those that drbdmeta reports (drbd.md 7.1)", () => {
  const one = expectOk(planLayout(internal, same(2_097_152)));
  equal(one.superblockOffset, 1_073_737_728);
  equal(one.activityLogOffset, 1_073_704_960);
  equal(one.bitmapOffset, 1_073_672_192);
  equal(one.metadataSizeSectors, 136);
  equal(one.usableSectors, 2_097_016);
  equal(expectOk(planLayout(internal, same(131_072))).metadataSizeSectors, 80);

  const flexible = expectOk(
    planLayout(external, { backingSectors: 1001, metadataSectors: 16_384 }),
  );
  equal(flexible.metadataSizeSectors, 16_384);
  equal(flexible.activityLogOffset, 4096);
  equal(flexible.bitmapOffset, 36_864);
  equal(flexible.usableSectors, 1001);
  equal(flexible.bitmapBytes, BLOCK_BYTES);

  const striped = expectOk(planLayout(internal, same(2_097_152), { stripes: 4, stripeBlocks: 16 }));
  equal(striped.metadataSizeSectors, 584);
  equal(striped.activityLogSectorOffset, -512);
  equal(striped.bitmapSectorOffset, -576);

  const indexed = { backingSectors: 10_485_761, metadataSectors: 2 * 262_144 };
  const slot = expectOk(planLayout({ kind: "indexed", index: 1 }, indexed));
  equal(slot.superblockOffset, 134_217_728);
  equal(slot.activityLogOffset, 134_221_824);
  equal(slot.bitmapOffset, 134_254_592);
  equal(slot.usableSectors, 10_485_761);
});

test("what does not fit is refused by its reason", () => {
  const small = "BTN-DISK-METADATA-DEVICE-TOO-SMALL";
  equal(codeOf(planLayout(internal, same(2047))), small);
  equal(codeOf(planLayout(internal, same(2048))), "ok");
  equal(codeOf(planLayout(internal, same(4096), { stripes: 1, stripeBlocks: 600 })), small);
  equal(codeOf(planLayout({ kind: "indexed", index: 1 }, same(524_287))), small);
  equal(codeOf(planLayout({ kind: "indexed", index: -1 }, same(524_288))), small);
  equal(codeOf(planLayout(external, { backingSectors: 0, metadataSectors: 4096 })), small);
  equal(codeOf(planLayout(internal, same(2 ** 40))), "BTN-DISK-METADATA-TOO-LARGE");
  const log = "BTN-DISK-METADATA-LOG-SIZE";
  equal(codeOf(planLayout(internal, same(2 ** 22), { stripes: 1, stripeBlocks: 4 })), log);
  equal(codeOf(planLayout(internal, same(2 ** 22), { stripes: 0, stripeBlocks: 8 })), log);
  const index = { kind: "indexed", index: 0 } as const;
  equal(codeOf(planLayout(index, same(2 ** 22), { stripes: 2, stripeBlocks: 8 })), log);
});

test("areas lie within the device, do not touch each other, and the bitmap covers what is usable", () => {
  const form = fc.oneof(
    fc.constant(internal),
    fc.constant(external),
    fc.record({ kind: fc.constant("indexed" as const), index: fc.nat(3) }),
  );
  const ring = fc.record({ stripes: fc.integer({ min: 1, max: 4 }), stripeBlocks: fc.nat(40) });
  const sectors = fc.integer({ min: 1, max: 2 ** 34 });
  fc.assert(
    fc.property(form, ring, sectors, sectors, (chosen, shape, backing, metadata) => {
      const metadataSectors = chosen.kind === "internal" ? backing : metadata;
      const planned = planLayout(chosen, { backingSectors: backing, metadataSectors }, shape);
      if (!planned.ok) return;
      const layout = planned.value;
      const areas = [
        [layout.superblockOffset, BLOCK_BYTES],
        [layout.activityLogOffset, layout.activityLogBytes],
        [layout.bitmapOffset, layout.bitmapAreaBytes],
      ].sort((a, b) => (a[0] ?? 0) - (b[0] ?? 0));
      if (chosen.kind === "internal") areas.unshift([0, layout.usableSectors * 512]);
      let end = 0;
      for (const [offset = 0, length = 0] of areas) {
        equal(offset >= end, true);
        end = offset + length;
      }
      equal(end <= metadataSectors * 512, true);
      equal(layout.bitmapBytes <= layout.bitmapAreaBytes, true);
      equal(layout.bitmapBytes, bitmapBytesFor(layout.usableSectors));
      equal(layout.usableSectors <= backing, true);
    }),
  );
});
