import { deepEqual, equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { formatDuration, parseClassicTime, parseDuration } from "./durations.ts";
import { parseAuthkeys } from "./legacy/authkeys.ts";
import { type ClassicFiles, classicToConfig } from "./legacy/classic.ts";
import { parseHaCf } from "./legacy/ha-cf.ts";
import { haCfDirectives } from "./legacy/ha-cf-directives.ts";
import { parseHaresources } from "./legacy/haresources.ts";
import { importClassic } from "./legacy/import.ts";
import type { ClusterConfig, Finding } from "./model.ts";
import { parseClusterYaml } from "./native.ts";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");
const example = read("../../docs/examples/cluster.yaml");
const exampleWithDisk = read("../../docs/examples/cluster-disk.yaml");
const chapter = {
  haCf: read("testdata/chapter/ha.cf"),
  authkeys: read("testdata/chapter/authkeys"),
  haresources: read("testdata/chapter/haresources"),
};
const digest = (text: string): string => text.length.toString(16).padStart(32, "0");
const files = (haCf: string, authkeys: string, haresources: string): ClassicFiles => ({
  directory: "/etc/ha.d",
  haCf: { file: "/etc/ha.d/ha.cf", text: haCf },
  authkeys: { file: "/etc/ha.d/authkeys", text: authkeys },
  haresources: { file: "/etc/ha.d/haresources", text: haresources },
});

/** Any bytes, as a file of them is decoded. */
const bytes = fc
  .uint8Array({ maxLength: 2_000 })
  .map((array) => Buffer.from(array).toString("utf8"));

/** A valid text with a few characters removed, doubled, or replaced by what parsers trip over. */
const mutated = (text: string) =>
  fc
    .array(
      fc.tuple(
        fc.nat(text.length),
        fc.nat(20),
        fc.constantFrom(
          "",
          "\0",
          "\t",
          "'",
          '"',
          "{",
          "[",
          "]",
          "}",
          ": ",
          "- ",
          "#",
          "\\\n",
          "::",
          "&a ",
          "*a",
          "!!x ",
          "\r",
          "\n",
          "9".repeat(30),
          "-1",
          "%",
          "é",
          "|",
          ">",
          "? ",
        ),
      ),
      { minLength: 1, maxLength: 6 },
    )
    .map((changes) =>
      changes.reduce(
        (result, [at, length, insert]) => result.slice(0, at) + insert + result.slice(at + length),
        text,
      ),
    );

function findingsAreWhole(findings: readonly Finding[]): void {
  for (const finding of findings) {
    ok(finding.message !== "" && finding.code.startsWith("BTN-") && finding.fix !== undefined);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not reach a terminal
    ok(!/[\u0000-\u001f\u007f]/u.test(finding.message), JSON.stringify(finding.message));
  }
}

test("cluster.yaml: any bytes and any mutation give a configuration or findings, never an exception", () => {
  const texts = fc.oneof(
    { weight: 1, arbitrary: bytes },
    { weight: 2, arbitrary: mutated(example) },
    { weight: 3, arbitrary: mutated(exampleWithDisk) },
  );
  fc.assert(
    fc.property(texts, (text) => {
      const outcome = parseClusterYaml(text, "cluster.yaml");
      findingsAreWhole(outcome.findings);
      equal(outcome.ok, !outcome.findings.some((finding) => finding.severity === "error"));
    }),
    { numRuns: 400 },
  );
});

test("classic files: any bytes and any mutation give a configuration or findings, and every line of ha.cf a row", () => {
  const texts = fc.tuple(
    fc.oneof(bytes, mutated(chapter.haCf)),
    fc.oneof(bytes, mutated(chapter.authkeys)),
    fc.oneof(bytes, mutated(chapter.haresources)),
  );
  fc.assert(
    fc.property(texts, ([haCf, authkeys, haresources]) => {
      for (const mode of ["run", "import"] as const) {
        const outcome = classicToConfig(files(haCf, authkeys, haresources), { digest, mode });
        findingsAreWhole(outcome.findings);
        equal(
          outcome.config !== undefined,
          !outcome.findings.some((finding) => finding.severity === "error"),
        );
      }
      const { rows, findings } = parseHaCf(haCf, "ha.cf");
      if (findings.some((finding) => finding.code === "BTN-CONFIG-SYNTAX")) return;
      const lines = haCf
        .split("\n")
        .flatMap((line, index) => ((line.split("#", 1)[0] ?? "").trim() === "" ? [] : [index + 1]));
      deepEqual(
        [...new Set(rows.flatMap((row) => row.line ?? []))].toSorted((a, b) => a - b),
        lines,
      );
    }),
    { numRuns: 300 },
  );
});

test("any directive with any words is read without an exception", () => {
  const word = fc.oneof(
    fc.string({ maxLength: 20 }),
    fc.constantFrom(
      "1",
      "0",
      "-1",
      "on",
      "eth0",
      "10.0.0.1",
      "::1",
      "a=b",
      "99999999999999999999",
      "*",
      "/x",
    ),
  );
  const line = fc
    .tuple(
      fc.constantFrom(...Object.keys(haCfDirectives), "toString", "__proto__"),
      fc.array(word, { maxLength: 6 }),
    )
    .map(([name, words]) => [name, ...words].join(" "));
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), (lines) =>
      findingsAreWhole(parseHaCf(lines.join("\n"), "ha.cf").findings),
    ),
    { numRuns: 300 },
  );
});

test("largest inputs end soon: work is bounded, not only memory", () => {
  const mebibyte = 1024 * 1024;
  for (const unit of [
    "a",
    "a ",
    "node a\n",
    "x y\n",
    "a:\n",
    "- ",
    "[",
    "{",
    "? ",
    "'",
    "\\\n",
    "&a ",
    "#\n",
    " ",
    "dbm157 a::b \\\n",
    "1 sha1 k\n",
    "ucast eth0 10.0.0.1\n",
  ]) {
    const text = unit.repeat(Math.floor(mebibyte / unit.length));
    parseClusterYaml(text, "c");
    parseHaCf(text, "h");
    parseAuthkeys(text, "a");
    parseHaresources(text, "r", ["dbm157"]);
  }
});

/** A classic cluster that the original starts. */
const classicFiles = fc
  .record({
    keepalive: fc.integer({ min: 20, max: 2_000 }),
    factor: fc.integer({ min: 3, max: 20 }),
    warntime: fc.option(fc.integer({ min: 1, max: 20_000 })),
    initdead: fc.option(fc.integer({ min: 0, max: 60_000 })),
    media: fc.uniqueArray(
      fc.constantFrom(
        "ucast eth0 10.1.0.158",
        "ucast eth1 10.2.0.158",
        "bcast eth2",
        "mcast eth3 225.0.0.1 694 1 0",
        "mcast6 eth4 ff05::1 694 1 1",
        "ucast6 eth5 fd00::158",
        "udpport 700",
      ),
      { minLength: 1, maxLength: 7 },
    ),
    failback: fc.constantFrom("on", "off", "legacy"),
    others: fc.subarray([
      "ping 10.1.0.1",
      "ping_group gw 10.1.0.2 10.1.0.3",
      "respawn hacluster /x/ipfail",
      "msgfmt netstring",
      "hopfudge 3",
      "cluster my cluster",
      "logfile /var/log/ha-log",
      'env X=y"z',
      "debug 1",
    ]),
    words: fc.uniqueArray(
      fc.constantFrom(
        "drbddisk::r0",
        "Filesystem::/dev/sdb1::/database",
        "Filesystem::/dev/sdb2::/data::ext4::noatime,ro",
        "mysqld",
        "IPaddr::10.1.0.222/24/eth0",
        "10.1.0.223",
        "IPaddr2::10.1.0.224/24/10.1.0.255",
        "IPv6addr::fd00::22/64",
        "Raid1::/etc/md.conf::md0",
        "mysqld::a:b",
        "1script::#",
      ),
      { minLength: 1, maxLength: 8 },
    ),
    split: fc.nat(8),
  })
  .map(({ keepalive, factor, warntime, initdead, media, failback, others, words, split }) => {
    const deadtime = keepalive * factor;
    const lines = [
      "node dbm157 DBM158",
      `keepalive ${keepalive}ms`,
      `deadtime ${deadtime}ms`,
      ...(warntime === null ? [] : [`warntime ${warntime}ms`]),
      ...(initdead === null ? [] : [`initdead ${deadtime + initdead}ms`]),
      ...media,
      "bcast eth9",
      `auto_failback ${failback}`,
      ...others,
    ];
    const groups = [
      `dbm157 ${words.slice(0, split + 1).join(" ")}`,
      ...(words.length > split + 1 ? [`dbm158 ${words.slice(split + 1).join(" ")}`] : []),
    ];
    return files(lines.join("\n"), "auth 2\n1 md5 SECRET1\n2 sha1 SECRET2\n", groups.join("\n"));
  });

test("what is imported reads back as the same configuration, and no secret is in it", () => {
  fc.assert(
    fc.property(classicFiles, (classic) => {
      const { yaml, findings, table } = importClassic(classic, { digest });
      ok(yaml !== undefined, JSON.stringify(findings, null, 1));
      ok(!yaml.includes("SECRET") && !JSON.stringify(table).includes("SECRET"));
      const again = parseClusterYaml(yaml, "cluster.yaml");
      ok(again.ok);
      const direct = classicToConfig(classic, { digest, mode: "import" }).config;
      ok(direct !== undefined);
      // Timers may have been moved into our own constraints: only deadtime is promised.
      const comparable = ({ origin: _, timing, ...rest }: ClusterConfig) => ({
        ...rest,
        deadtimeMs: timing.deadtimeMs,
      });
      deepEqual(comparable(again.config), comparable(direct));
    }),
    { numRuns: 300 },
  );
});

test("durations are written so that they read back", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 7 * 86_400_000 }), (ms) => {
      deepEqual(parseDuration(formatDuration(ms)), { ok: true, ms });
      equal(parseClassicTime(`${ms}ms`), ms);
    }),
  );
});
