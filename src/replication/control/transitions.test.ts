import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { connectionStates, type DeviceState, diskStates, roles } from "../contract.ts";
import { noFlags } from "../metadata/index.ts";
import { codes } from "./result-codes.ts";
import {
  flagsOfState,
  forbidden,
  impossible,
  initialState,
  invalid,
  judge,
  type StateRules,
  sanitise,
} from "./transitions.ts";

const plain: StateRules = {
  fencing: "dont-care",
  twoPrimaries: false,
  suspendWithoutData: false,
  hasVerifyAlgorithm: true,
  openers: 0,
  handshaking: false,
  postponedDisk: "Diskless",
};
/** "Connected Primary/Secondary UpToDate/UpToDate" */
function state(text: string, more: Partial<DeviceState> = {}): DeviceState {
  const [conn, pair, disks] = text.split(" ");
  const [role, peer] = (pair ?? "").split("/");
  const [disk, pdsk] = (disks ?? "").split("/");
  return { ...initialState, conn, role, peer, disk, pdsk, ...more } as DeviceState;
}
const text = (of: DeviceState): string => `${of.conn} ${of.role}/${of.peer} ${of.disk}/${of.pdsk}`;

const sanitised: readonly (readonly [string, string, string, Partial<DeviceState>?])[] = [
  [
    "a lost connection forgets the peer",
    "NetworkFailure Primary/Secondary UpToDate/UpToDate",
    "NetworkFailure Primary/Unknown UpToDate/DUnknown",
  ],
  [
    "that the peer is outdated is not forgotten",
    "Unconnected Primary/Secondary UpToDate/Outdated",
    "Unconnected Primary/Unknown UpToDate/Outdated",
  ],
  [
    "nor that it is inconsistent",
    "Unconnected Primary/Secondary UpToDate/Inconsistent",
    "Unconnected Primary/Unknown UpToDate/Inconsistent",
  ],
  [
    "a peer without a disk is unknown later",
    "WFConnection Primary/Secondary UpToDate/Diskless",
    "WFConnection Primary/Unknown UpToDate/DUnknown",
  ],
  [
    "a failed disk ends the resync",
    "SyncTarget Secondary/Primary Failed/UpToDate",
    "Connected Secondary/Primary Failed/UpToDate",
  ],
  [
    "the peer's failed disk ends the resync",
    "SyncSource Primary/Secondary UpToDate/Diskless",
    "Connected Primary/Secondary UpToDate/Diskless",
  ],
  [
    "connected, nothing is merely consistent",
    "Connected Secondary/Secondary Consistent/Outdated",
    "Connected Secondary/Secondary UpToDate/UpToDate",
  ],
  [
    "a bitmap target is outdated at best",
    "WFBitMapT Secondary/Primary UpToDate/UpToDate",
    "WFBitMapT Secondary/Primary Outdated/UpToDate",
  ],
  [
    "a bitmap source's peer is consistent at best",
    "WFBitMapS Primary/Secondary UpToDate/UpToDate",
    "WFBitMapS Primary/Secondary UpToDate/Consistent",
  ],
  [
    "a sync target is inconsistent",
    "SyncTarget Secondary/Primary Outdated/UpToDate",
    "SyncTarget Secondary/Primary Inconsistent/UpToDate",
  ],
  [
    "a sync source's peer is inconsistent",
    "SyncSource Primary/Secondary UpToDate/Consistent",
    "SyncSource Primary/Secondary UpToDate/Inconsistent",
  ],
  [
    "a pause of ours pauses",
    "SyncSource Primary/Secondary UpToDate/Inconsistent",
    "PausedSyncS Primary/Secondary UpToDate/Inconsistent",
    { userPaused: true },
  ],
  [
    "a pause of the peer pauses",
    "SyncTarget Secondary/Primary Inconsistent/UpToDate",
    "PausedSyncT Secondary/Primary Inconsistent/UpToDate",
    { peerPaused: true },
  ],
  [
    "nobody pauses: it runs",
    "PausedSyncT Secondary/Primary Outdated/UpToDate",
    "SyncTarget Secondary/Primary Inconsistent/UpToDate",
  ],
];
for (const [name, wish, expected, more] of sanitised) {
  test(`sanitise: ${name}`, () => {
    const from = state("Connected Secondary/Secondary UpToDate/UpToDate");
    equal(text(sanitise(from, state(wish, more), plain)), expected);
  });
}

test("sanitise: a Primary that loses its peer freezes, except with dont-care", () => {
  const from = state("Connected Primary/Secondary UpToDate/UpToDate");
  const wish = state("NetworkFailure Primary/Secondary UpToDate/UpToDate");
  const frozen = (["dont-care", "resource-only", "resource-and-stonith", "native"] as const).map(
    (fencing) => sanitise(from, wish, { ...plain, fencing }).suspFencing,
  );
  deepEqual(frozen, [false, true, true, true]);
  const left = state("TearDown Primary/Secondary UpToDate/Outdated");
  equal(sanitise(from, left, { ...plain, fencing: "native" }).suspFencing, false);
});

test("sanitise: an attach that is cut off takes the disk state that waited", () => {
  const from = state("Connected Primary/Secondary Negotiating/UpToDate");
  const wish = { ...from, conn: "NetworkFailure" } as const;
  equal(sanitise(from, wish, { ...plain, postponedDisk: "Consistent" }).disk, "Consistent");
});

test("sanitise: without data anywhere I/O waits if on-no-data-accessible says so", () => {
  const from = state("Connected Primary/Secondary Diskless/UpToDate");
  const wish = state("NetworkFailure Primary/Unknown Diskless/UpToDate");
  equal(sanitise(from, wish, { ...plain, suspendWithoutData: true }).suspNoData, true);
  equal(sanitise(from, wish, plain).suspNoData, false);
});

const invalidStates: readonly (readonly [string, number, Partial<StateRules>?])[] = [
  ["Connected Primary/Primary UpToDate/UpToDate", codes.twoPrimaries],
  ["Connected Primary/Primary UpToDate/UpToDate", codes.success, { twoPrimaries: true }],
  ["Connected Secondary/Secondary UpToDate/UpToDate", codes.deviceInUse, { openers: 1 }],
  ["WFConnection Primary/Unknown Consistent/DUnknown", codes.noUpToDateDisk],
  ["WFConnection Primary/Unknown UpToDate/DUnknown", codes.success],
  [
    "WFConnection Primary/Unknown UpToDate/DUnknown",
    codes.primaryNop,
    { fencing: "resource-only" },
  ],
  ["WFConnection Primary/Unknown UpToDate/DUnknown", codes.primaryNop, { fencing: "native" }],
  ["WFConnection Primary/Unknown UpToDate/Outdated", codes.success, { fencing: "resource-only" }],
  ["Connected Primary/Secondary Inconsistent/Inconsistent", codes.noUpToDateDisk],
  ["SyncTarget Secondary/Secondary Diskless/UpToDate", codes.noLocalDisk],
  ["SyncSource Secondary/Secondary UpToDate/Diskless", codes.noRemoteDisk],
  ["SyncSource Secondary/Secondary Inconsistent/Inconsistent", codes.noUpToDateDisk],
  ["Connected Secondary/Secondary Outdated/UpToDate", codes.connectedOutdates],
  [
    "VerifyS Secondary/Secondary UpToDate/UpToDate",
    codes.noVerifyAlgorithm,
    { hasVerifyAlgorithm: false },
  ],
  ["Connected Primary/Secondary Diskless/Outdated", codes.noUpToDateDisk],
  ["StartingSyncS Secondary/Secondary UpToDate/DUnknown", codes.needConnection],
  ["Connected Secondary/Secondary UpToDate/DUnknown", codes.connectedOutdates],
  ["Connected Primary/Secondary Diskless/UpToDate", codes.success],
];
for (const [judged, code, rules] of invalidStates) {
  test(`${judged} is ${code} with ${JSON.stringify(rules ?? {})}`, () => {
    equal(invalid(state(judged), { ...plain, ...rules }), code);
  });
}

const changes: readonly (readonly [string, string, number, Partial<StateRules>?])[] = [
  [
    "SyncSource Secondary/Secondary UpToDate/Inconsistent",
    "StartingSyncS Secondary/Secondary UpToDate/Inconsistent",
    codes.resyncRunning,
  ],
  [
    "StandAlone Secondary/Unknown UpToDate/DUnknown",
    "Disconnecting Secondary/Unknown UpToDate/DUnknown",
    codes.alreadyStandAlone,
  ],
  [
    "StandAlone Secondary/Unknown Diskless/DUnknown",
    "StandAlone Secondary/Unknown Failed/DUnknown",
    codes.isDiskless,
  ],
  [
    "StandAlone Secondary/Unknown Inconsistent/DUnknown",
    "StandAlone Secondary/Unknown Outdated/DUnknown",
    codes.lowerThanOutdated,
  ],
  [
    "StandAlone Secondary/Unknown UpToDate/DUnknown",
    "StandAlone Secondary/Unknown Outdated/DUnknown",
    codes.success,
  ],
  [
    "Unconnected Secondary/Unknown UpToDate/DUnknown",
    "Disconnecting Secondary/Unknown UpToDate/DUnknown",
    codes.inTransientState,
  ],
  [
    "WFReportParams Secondary/Unknown UpToDate/DUnknown",
    "WFReportParams Primary/Unknown UpToDate/DUnknown",
    codes.inTransientState,
    { handshaking: true },
  ],
  [
    "WFReportParams Secondary/Unknown UpToDate/DUnknown",
    "Connected Secondary/Secondary UpToDate/UpToDate",
    codes.success,
    { handshaking: true },
  ],
  [
    "WFBitMapT Secondary/Secondary Outdated/UpToDate",
    "WFBitMapT Primary/Secondary Outdated/UpToDate",
    codes.inTransientState,
  ],
  [
    "SyncTarget Secondary/Secondary Inconsistent/UpToDate",
    "SyncTarget Primary/Secondary Inconsistent/UpToDate",
    codes.success,
  ],
  [
    "WFConnection Secondary/Unknown UpToDate/DUnknown",
    "VerifyS Secondary/Unknown UpToDate/DUnknown",
    codes.needConnection,
  ],
  [
    "SyncSource Secondary/Secondary UpToDate/Inconsistent",
    "VerifyS Secondary/Secondary UpToDate/UpToDate",
    codes.resyncRunning,
  ],
  [
    "WFConnection Secondary/Unknown UpToDate/DUnknown",
    "StartingSyncT Secondary/Unknown UpToDate/DUnknown",
    codes.needConnection,
  ],
  [
    "WFConnection Primary/Unknown UpToDate/DUnknown",
    "Disconnecting Primary/Unknown UpToDate/Outdated",
    codes.outdateWithoutConnection,
  ],
];
for (const [from, to, code, rules] of changes) {
  test(`from ${from} to ${to} is ${code}`, () => {
    equal(forbidden(state(from), state(to), { ...plain, ...rules }), code);
  });
}

test("StandAlone ends by connect only, Disconnecting in StandAlone only, failures are cleaned up first", () => {
  const at = (conn: DeviceState["conn"]) => ({ ...initialState, conn });
  const possible = (from: DeviceState["conn"]) =>
    connectionStates.filter((to) => to !== from && impossible(at(from), at(to)) === codes.success);
  deepEqual(possible("StandAlone"), ["Unconnected"]);
  deepEqual(possible("Disconnecting"), ["StandAlone"]);
  deepEqual(
    possible("BrokenPipe").filter((conn) => conn === "WFConnection" || conn === "Connected"),
    [],
  );
  equal(impossible(at("WFConnection"), at("Connected")), codes.needConnection);
});

test("a rule that is broken already does not stop a change that repairs something else", () => {
  const from = state("WFConnection Primary/Unknown UpToDate/DUnknown");
  const rules = { ...plain, fencing: "native" } as const;
  equal(judge(from, { ...from, userPaused: true }, rules), codes.success);
});

test("every wish from every state is sanitised to a state that is its own sanitised form", () => {
  for (const conn of connectionStates) {
    for (const disk of diskStates) {
      for (const pdsk of diskStates) {
        for (const role of roles) {
          const from = state("Connected Secondary/Secondary UpToDate/UpToDate");
          const once = sanitise(from, { ...from, conn, disk, pdsk, role }, plain);
          deepEqual(sanitise(once, once, plain), once, `${conn} ${disk} ${pdsk}`);
        }
      }
    }
  }
});

test("flags of the metadata follow the state", () => {
  const on = (of: DeviceState, crashed = false): string =>
    Object.entries(flagsOfState(of, crashed, noFlags))
      .filter(([, set]) => set)
      .map(([name]) => name)
      .sort()
      .join(" ");
  equal(
    on(state("Connected Primary/Secondary UpToDate/UpToDate")),
    "connected consistent primary wasUpToDate",
  );
  equal(
    on(state("WFConnection Primary/Unknown UpToDate/Outdated")),
    "consistent peerOutdated primary wasUpToDate",
  );
  equal(on(state("SyncTarget Secondary/Primary Inconsistent/UpToDate")), "connected");
  equal(
    on(state("StandAlone Secondary/Unknown Outdated/DUnknown"), true),
    "consistent crashedPrimary",
  );
  equal(
    on(state("Connected Secondary/Primary UpToDate/Diskless")),
    "connected consistent primary wasUpToDate",
  );
});
