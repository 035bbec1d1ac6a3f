import { deepEqual, equal, rejects } from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BatonError } from "../base/index.ts";
import { connectLines, type LineServerOptions, serveLines } from "./lines.ts";

/** Runs `body` with a server in a directory of its own. */
async function withServer(
  options: Partial<LineServerOptions>,
  body: (path: string, server: Awaited<ReturnType<typeof serveLines>>) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "btn-lines-"));
  const path = join(directory, "run", "test.sock");
  const server = await serveLines({
    path,
    mode: 0o600,
    software: "server/1",
    onRequest: async (request) => request.args,
    ...options,
  });
  try {
    await body(path, server);
  } finally {
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

test("a request is answered with progress first, then its result", async () => {
  await withServer(
    {
      onRequest: async (request, _connection, progress) => {
        progress("half");
        return { echoed: request.args };
      },
    },
    async (path) => {
      const client = await connectLines(path, { software: "client/1" });
      const lines: unknown[] = [];
      const result = await client.request("echo", { a: 1 }, { onProgress: (v) => lines.push(v) });
      deepEqual(lines, ["half"]);
      deepEqual(result, { echoed: { a: 1 } });
      equal(client.greeting?.software, "server/1");
      client.close();
    },
  );
});

test("an error keeps its reason code across the socket", async () => {
  await withServer(
    {
      onRequest: async () => {
        throw new BatonError({ code: "BTN-TEST-NO", message: "Cannot do it", fix: "Do not ask" });
      },
    },
    async (path) => {
      const client = await connectLines(path, { software: "client/1" });
      await rejects(client.request("x", {}), { code: "BTN-TEST-NO", fix: "Do not ask" });
      client.close();
    },
  );
});

test("events reach every client, and the mode of the socket is what was asked", async () => {
  await withServer({}, async (path, server) => {
    equal(statSync(path).mode & 0o777, 0o600);
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const client = await connectLines(path, { software: "client/1", onEvent: resolve });
    server.broadcast({ hello: true });
    deepEqual(await promise, { hello: true });
    client.close();
  });
});

test("a client that talks nonsense is disconnected and others go on", async () => {
  await withServer({}, async (path) => {
    const good = await connectLines(path, { software: "client/1" });
    const bad = createConnection(path);
    const closed = new Promise((resolve) => bad.once("close", resolve));
    bad.resume();
    bad.write("GET / HTTP/1.1\r\n\r\n");
    await closed;
    const flood = createConnection(path);
    const floodClosed = new Promise((resolve) => flood.once("close", resolve));
    flood.on("error", () => undefined);
    flood.resume();
    flood.write("x".repeat(100_000));
    await floodClosed;
    deepEqual(await good.request("still", { there: 1 }), { there: 1 });
    good.close();
  });
});

test("a second server on the same path is refused, a stale socket is replaced", async () => {
  await withServer({}, async (path) => {
    await rejects(
      serveLines({ path, mode: 0o600, software: "second", onRequest: async () => null }),
      { code: "BTN-SOCKET-IN-USE" },
    );
  });
});

test("nobody there gives BTN-SOCKET-UNREACHABLE with a remedy", async () => {
  await rejects(connectLines("/nonexistent/x.sock", { software: "client/1" }), {
    code: "BTN-SOCKET-UNREACHABLE",
  });
});

test("a connection that ends fails what was asked on it and says so once", async () => {
  await withServer({ onRequest: () => new Promise(() => undefined) }, async (path, server) => {
    let closed = 0;
    const client = await connectLines(path, { software: "c/1", onClose: () => closed++ });
    const asked = client.request("never", {});
    setTimeout(() => void server.close(), 20);
    await rejects(asked, { code: "BTN-SOCKET-UNREACHABLE" });
    equal(closed, 1);
  });
});

test("no socket is put where others could replace it", async () => {
  const directory = mkdtempSync(join(tmpdir(), "btn-lines-"));
  try {
    chmodSync(directory, 0o1777);
    const path = join(directory, "test.sock");
    const options = { path, mode: 0o600, software: "server/1", onRequest: async () => null };
    await rejects(serveLines(options), { code: "BTN-SOCKET-DIRECTORY-UNSAFE" });
    equal(existsSync(path), false);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
