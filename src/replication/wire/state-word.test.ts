import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { connectionStates, type DeviceState, diskStates, roles } from "../contract.ts";
import {
  afterSplitBrainNumber,
  afterSplitBrainPolicies,
  mirrorAfterSplitBrain,
  protocolNumber,
  protocolOfNumber,
} from "./enums.ts";
import {
  applyRequest,
  decodeState,
  encodeState,
  mirrorRequest,
  requestState,
} from "./state-word.ts";

const state: fc.Arbitrary<DeviceState> = fc.record(
  {
    role: fc.constantFrom(...roles),
    peer: fc.constantFrom(...roles),
    conn: fc.constantFrom(...connectionStates),
    disk: fc.constantFrom(...diskStates),
    pdsk: fc.constantFrom(...diskStates),
    suspUser: fc.boolean(),
    suspNoData: fc.boolean(),
    suspFencing: fc.boolean(),
    afterPaused: fc.boolean(),
    peerPaused: fc.boolean(),
    userPaused: fc.boolean(),
  },
  { noNullPrototype: true },
);
const short = (word: number): string => {
  const s = decodeState(word);
  return s === undefined ? "none" : `${s.role}/${s.peer} ${s.conn} ${s.disk}/${s.pdsk}`;
};

test("words are those of drbd.md 4.4 and of the captures", () => {
  deepEqual([0xd092, 0x88aa, 0x110a9, 0x9109, 0x10ae6, 0xf0d9, 0xd082].map(short), [
    "Secondary/Unknown WFReportParams UpToDate/DUnknown",
    "Secondary/Secondary Connected Inconsistent/Inconsistent",
    "Primary/Secondary Connected UpToDate/UpToDate",
    "Primary/Secondary SyncSource UpToDate/Inconsistent",
    "Secondary/Primary WFBitMapT Outdated/UpToDate",
    "Primary/Secondary WFBitMapS UpToDate/Consistent",
    "Secondary/Unknown WFConnection UpToDate/DUnknown",
  ]);
});

test("a state survives its word, and a word with a number without a name is none", () => {
  fc.assert(fc.property(state, (value) => deepEqual(decodeState(encodeState(value)), value)));
  deepEqual([0x3, 0xc, 24 << 4, 9 << 9, 15 << 13].map(short), new Array(5).fill("none"));
});

test("a request changes what it names and nothing else", () => {
  deepEqual(requestState({ role: "Primary" }), { mask: 3, value: 1 });
  deepEqual(requestState({ conn: "Disconnecting" }), { mask: 0x1f0, value: 0x10 });
  deepEqual(requestState({ conn: "Disconnecting", disk: "Outdated" }), {
    mask: 0x1ff0,
    value: 0xa10,
  });
  fc.assert(
    fc.property(state, state, (before, wanted) => {
      const request = requestState({
        role: wanted.role,
        disk: wanted.disk,
        userPaused: wanted.userPaused,
      });
      deepEqual(applyRequest(before, request), {
        ...before,
        role: wanted.role,
        disk: wanted.disk,
        userPaused: wanted.userPaused,
      });
    }),
  );
});

test("a request of the peer is read from its side", () => {
  const mirrored = (change: Partial<DeviceState>) => mirrorRequest(requestState(change));
  deepEqual(mirrored({ role: "Primary" }), requestState({ peer: "Primary" }));
  deepEqual(
    mirrored({ conn: "Disconnecting", disk: "Outdated" }),
    requestState({ conn: "TearDown", pdsk: "Outdated" }),
  );
  deepEqual(mirrored({ conn: "VerifyS" }), requestState({ conn: "VerifyT" }));
  deepEqual(mirrored({ conn: "StartingSyncT" }), requestState({ conn: "StartingSyncS" }));
  deepEqual(mirrored({ conn: "SyncSource" }), { mask: 0x1f0, value: 0 });
  deepEqual(mirrored({ userPaused: true }), requestState({ peerPaused: true }));
});

test("numbers of P_PROTOCOL", () => {
  deepEqual(
    ["A", "B", "C"].map((name) => protocolNumber(name as "A")),
    [1, 2, 3],
  );
  deepEqual([0, 1, 2, 3, 4].map(protocolOfNumber), [undefined, "A", "B", "C", undefined]);
  equal(afterSplitBrainNumber("violently-as0p"), 10);
  deepEqual(
    afterSplitBrainPolicies.map(mirrorAfterSplitBrain).map(afterSplitBrainNumber),
    [0, 1, 2, 3, 4, 6, 5, 7, 8, 9, 10],
  );
});
