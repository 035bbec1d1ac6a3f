import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import type { FuseRequest } from "./fuse-codec.ts";
import { type FuseFile, fuseErrno, judge, SMALL_REPLY_BYTES } from "./fuse-file.ts";

const disk: FuseFile = { name: "r0", sizeBytes: 1_048_576, writable: true };
const asked = { unique: 6, node: 2 };

/** `0` or `-5` with the body length of a reply; the request of the device; `silent`. */
function play(request: FuseRequest, file: FuseFile = disk): unknown {
  const reply = new DataView(new ArrayBuffer(SMALL_REPLY_BYTES));
  const judgement = judge(request, file, reply, 128);
  if (judgement.kind === "device") return judgement.request;
  if (judgement.kind === "silent") return "silent";
  equal(reply.getUint32(0, true), judgement.length);
  equal(reply.getBigUint64(8, true), BigInt(request.unique));
  return [reply.getInt32(4, true), judgement.length - 16];
}

test("data requests within the device go to the disk", () => {
  deepEqual(play({ kind: "read", ...asked, offset: 4096, length: 8192 }), {
    op: "read",
    unique: 6,
    offset: 4096,
    length: 8192,
  });
  deepEqual(play({ kind: "write", ...asked, offset: 512, length: 512 }), {
    op: "write",
    unique: 6,
    offset: 512,
    length: 512,
  });
  deepEqual(play({ kind: "fsync", ...asked, dataOnly: true }), { op: "flush", unique: 6 });
  for (const mode of ["punch", "zero"] as const) {
    deepEqual(play({ kind: "fallocate", ...asked, mode, offset: 0, length: 4096 }), {
      op: "zero",
      unique: 6,
      offset: 0,
      length: 4096,
      mayUnmap: mode === "punch",
    });
  }
});

test("a read ends with the device, a write beyond it is refused", () => {
  deepEqual(play({ kind: "read", ...asked, offset: 1_048_064, length: 4096 }), {
    op: "read",
    unique: 6,
    offset: 1_048_064,
    length: 512,
  });
  deepEqual(play({ kind: "read", ...asked, offset: 1_048_576, length: 4096 }), [0, 0]);
  deepEqual(play({ kind: "write", ...asked, offset: 1_048_064, length: 1024 }), [
    -fuseErrno.EFBIG,
    0,
  ]);
  deepEqual(play({ kind: "fallocate", ...asked, mode: "punch", offset: 0, length: 2_097_152 }), [
    -fuseErrno.EFBIG,
    0,
  ]);
});

test("what is no whole number of sectors, or not of the file, is refused", () => {
  const refused = [-fuseErrno.EINVAL, 0];
  deepEqual(play({ kind: "read", ...asked, offset: 1, length: 512 }), refused);
  deepEqual(play({ kind: "write", ...asked, offset: 0, length: 100 }), refused);
  deepEqual(play({ kind: "write", ...asked, offset: 0, length: 0 }), refused);
  deepEqual(play({ kind: "write", unique: 6, node: 1, offset: 0, length: 512 }), refused);
  deepEqual(play({ kind: "fallocate", ...asked, mode: "zero", offset: 3, length: 512 }), refused);
  deepEqual(play({ kind: "fallocate", ...asked, mode: "other", offset: 0, length: 512 }), [
    -fuseErrno.EOPNOTSUPP,
    0,
  ]);
});

test("a secondary's device can be read but not written, one that is not there can not be opened", () => {
  const secondary = { ...disk, writable: false };
  const rofs = [-fuseErrno.EROFS, 0];
  deepEqual(play({ kind: "write", ...asked, offset: 0, length: 512 }, secondary), rofs);
  deepEqual(
    play({ kind: "fallocate", ...asked, mode: "punch", offset: 0, length: 512 }, secondary),
    rofs,
  );
  deepEqual(play({ kind: "open", ...asked, flags: 2 }, secondary), rofs);
  deepEqual(play({ kind: "open", ...asked, flags: 0 }, secondary), [0, 16]);
  deepEqual(play({ kind: "open", ...asked, flags: 0 }, { ...disk, sizeBytes: 0 }), [
    -fuseErrno.ENXIO,
    0,
  ]);
  deepEqual(play({ kind: "open", unique: 6, node: 1, flags: 0 }), [-fuseErrno.ENOENT, 0]);
});

test("questions about the file are answered, and nothing else is offered", () => {
  deepEqual(play({ kind: "lookup", unique: 6, node: 1, name: "r0.57" }), [0, 128]);
  deepEqual(play({ kind: "lookup", unique: 6, node: 1, name: "r1.57" }), [-fuseErrno.ENOENT, 0]);
  deepEqual(play({ kind: "getattr", unique: 6, node: 1 }), [0, 104]);
  deepEqual(play({ kind: "getattr", ...asked }), [0, 104]);
  deepEqual(play({ kind: "getattr", unique: 6, node: 3 }), [-fuseErrno.ENOENT, 0]);
  deepEqual(play({ kind: "setattr", ...asked, valid: 8, sizeBytes: 1_048_576 }), [0, 104]);
  deepEqual(play({ kind: "setattr", ...asked, valid: 8, sizeBytes: 0 }), [-fuseErrno.EPERM, 0]);
  deepEqual(play({ kind: "setattr", ...asked, valid: 1, sizeBytes: 0 }), [-fuseErrno.EPERM, 0]);
  deepEqual(play({ kind: "statfs", ...asked }), [0, 80]);
  for (const kind of ["flush", "release", "access", "destroy"] as const) {
    deepEqual(play({ kind, ...asked }), [0, 0]);
  }
  deepEqual(play({ kind: "lseek", ...asked }), [-fuseErrno.ENOSYS, 0]);
  deepEqual(play({ kind: "interrupt", ...asked, interrupted: 4 }), [-fuseErrno.ENOSYS, 0]);
  deepEqual(play({ kind: "unknown", ...asked, opcode: 22 }), [-fuseErrno.ENOSYS, 0]);
  deepEqual(play({ kind: "malformed", ...asked, opcode: 15, why: "" }), [-fuseErrno.EINVAL, 0]);
  equal(play({ kind: "malformed", unique: 0, node: 0, opcode: 15, why: "" }), "silent");
  equal(play({ kind: "forget", ...asked }), "silent");
});

test("INIT is agreed, and refused to a kernel of before 3.15", () => {
  const offer = { kind: "init", unique: 6, node: 0, flags: 0, maxReadaheadBytes: 0 } as const;
  deepEqual(play({ ...offer, major: 7, minor: 45 }), [0, 64]);
  deepEqual(play({ ...offer, major: 7, minor: 12 }), [-fuseErrno.EPROTO, 0]);
});
