import { deepEqual, equal, match, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { configurationDigestInput } from "./digest-input.ts";
import { parseClassicTime, parseDuration } from "./durations.ts";
import { parseClusterYaml } from "./native.ts";
import { addressLeaseMs, profileTiming, timingViolations } from "./timing.ts";

const example = readFileSync(new URL("../../docs/examples/cluster.yaml", import.meta.url), "utf8");

/** `<line> <code>` of each finding of the example with replacements. */
function findingsOf(
  ...replacements: readonly (readonly [from: string, to: string])[]
): readonly string[] {
  let text = example;
  for (const [from, to] of replacements) {
    ok(text.includes(from), `the example holds ${from}`);
    text = text.replace(from, () => to);
  }
  return parseClusterYaml(text, "cluster.yaml").findings.map(
    (each) => `${each.severity} ${each.code}`,
  );
}

function configOf(text: string, self?: string) {
  const outcome = parseClusterYaml(text, "cluster.yaml", { self });
  if (!outcome.ok) throw new Error(JSON.stringify(outcome.findings, null, 1));
  return outcome.config;
}

test("the example of the documentation is fine, on either host and on none", () => {
  for (const self of [undefined, "dbm157", "DBM158"]) {
    deepEqual(parseClusterYaml(example, "cluster.yaml", { self }).findings, []);
  }
});

test("on a host the peers of a link are the other hosts", () => {
  const peers = configOf(example, "dbm158").links.map((link) =>
    "peers" in link ? link.peers : [],
  );
  deepEqual(peers, [
    [{ host: "dbm157", address: "192.168.0.157" }],
    [{ host: "dbm157", address: "192.168.1.157" }],
  ]);
});

test("the three profiles are those of the design and meet C1 and C2", () => {
  const figures = (["default", "fast", "chapter"] as const).map((name) => {
    const timing = profileTiming(name);
    deepEqual(timingViolations(timing), []);
    return [
      timing.keepaliveMs,
      timing.warntimeMs,
      timing.deadtimeMs,
      timing.initdeadMs,
      addressLeaseMs(timing),
      timing.agentGraceMs,
    ];
  });
  deepEqual(figures, [
    [200, 600, 1_200, 10_000, 400, 3_000],
    [100, 300, 400, 5_000, 133, 3_000],
    [1_000, 5_000, 15_000, 30_000, 5_000, 3_000],
  ]);
});

test("a timing of its own is custom, one equal to a profile is that profile, deadping follows deadtime", () => {
  const own = configOf(example.replace("profile: default", "timing: {deadtime: 2s}")).timing;
  deepEqual(
    [own.profile, own.deadtimeMs, own.deadpingMs, own.keepaliveMs],
    ["custom", 2_000, 2_000, 200],
  );
  const same = configOf(
    example.replace(
      "profile: default",
      "timing: {keepalive: 100ms, warntime: 0.3s, deadtime: 400ms, initdead: 5s}",
    ),
  );
  equal(same.timing.profile, "fast");
});

test("C1 and C2 broken in cluster.yaml are refused", () => {
  deepEqual(findingsOf(["profile: default", "timing: {warntime: 500ms}"]), [
    "error BTN-CONFIG-TIMING",
  ]);
  deepEqual(findingsOf(["profile: default", "timing: {deadtime: 600ms}"]), [
    "error BTN-CONFIG-TIMING",
  ]);
  deepEqual(findingsOf(["profile: default", "timing: {initdead: 2s}"]), [
    "error BTN-CONFIG-TIMING",
  ]);
  deepEqual(
    timingViolations({ ...profileTiming("default"), keepaliveMs: 500 }).map((each) => each.rule),
    ["C1", "C2"],
  );
});

test("what contradicts itself across the file is refused", () => {
  const cases: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
    "BTN-CONFIG-ADDRESS-CONFLICT": [["192.168.0.222/24", "192.168.0.158/24"]],
    "BTN-CONFIG-HOSTS": [["  dbm158: {roles: [data]}", "  dbm158: {roles: [director]}"]],
    "BTN-CONFIG-UNKNOWN-HOST": [["prefers: dbm157", "prefers: dbm160"]],
    "BTN-CONFIG-DUPLICATE": [["device: eth1", "device: eth0"]],
    "BTN-CONFIG-MISSING": [
      ["{dbm157: 192.168.1.157, dbm158: 192.168.1.158}", "{dbm157: 192.168.1.157}"],
    ],
    "BTN-CONFIG-VALUE": [["/dev/disk/by-id/scsi-data-claim ", "/dev/disk/by-id/scsi-data "]],
  };
  for (const [code, replacements] of Object.entries(cases)) {
    ok(
      findingsOf(...replacements).includes(`error ${code}`),
      `${code}: ${findingsOf(...replacements)}`,
    );
  }
});

test("one address in two groups is refused, also in another spelling", () => {
  const second = "\n  - name: read\n    prefers: dbm158\n    resources:\n      - address: ";
  const withV6 = example.replace(
    "      - address: 192.168.0.222/24",
    "      - address: 2001:db8::1/64",
  );
  const texts = [`${second}192.168.0.222`, `${second}2001:DB8:0::0:1/64`];
  const outcomes = [example, withV6].map((text, index) =>
    parseClusterYaml(
      text.replace("\ndirectories:", () => `${texts[index]}\ndirectories:`),
      "c",
    ).findings.map((each) => each.code),
  );
  deepEqual(outcomes, [["BTN-CONFIG-ADDRESS-CONFLICT"], ["BTN-CONFIG-ADDRESS-CONFLICT"]]);
});

test("order and places of resources are looked at", () => {
  deepEqual(findingsOf(["data_directory: /database/mysql", "data_directory: /var/lib/mysql"]), [
    "advice BTN-CONFIG-DATA-DIRECTORY",
  ]);
  const address = "      - address: 192.168.0.222/24\n        device: eth0\n";
  deepEqual(findingsOf([address, ""], ["    resources:  ", `    resources:\n${address}#`]), [
    "advice BTN-CONFIG-ORDER",
  ]);
  const late = "      - filesystem: {device: /dev/sdb1, directory: /database/mysql}\n";
  deepEqual(findingsOf([address, late + address]), ["error BTN-CONFIG-ORDER"]);
});

test("one device for all links, ipfail without ping, and an unsaid arbiter are advice", () => {
  const second = example.slice(
    example.indexOf("  - medium: ucast\n    device: eth1"),
    example.indexOf("ping: "),
  );
  deepEqual(findingsOf([second, ""]), ["advice BTN-CONFIG-LINKS"]);
  deepEqual(findingsOf(["ping:  ", "#"], ["  - address: 192.168.0.1\n", ""]), [
    "advice BTN-CONFIG-PING",
  ]);
  deepEqual(findingsOf(["  arbiter: none", "  # none"]), ["advice BTN-CONFIG-SPLIT-BRAIN"]);
});

test("this machine must be a member where it is asked", () => {
  const { findings } = parseClusterYaml(example, "c", { self: "dbm159" });
  match(
    findings[0]?.message ?? "",
    /"dbm159", which is not among the hosts; did you mean dbm15[78]\?/u,
  );
});

test("secrets are named, never written, and exactly one place each", () => {
  const key = "file: /etc/baton/cluster.key";
  const sources = [
    "environment: BATON_KEY",
    "credential: cluster.key",
    "authkeys: /etc/ha.d/authkeys\n      index: 2",
  ];
  const kinds = sources.map(
    (source) => configOf(example.replace(key, source)).auth.keys[0]?.secret,
  );
  deepEqual(kinds, [
    { kind: "environment", variable: "BATON_KEY" },
    { kind: "credential", name: "cluster.key" },
    { kind: "authkeys", path: "/etc/ha.d/authkeys", index: 2 },
  ]);
  deepEqual(findingsOf([key, `${key}\n      environment: X #`]), ["error BTN-CONFIG-VALUE"]);
  deepEqual(findingsOf([key, "#"]), ["error BTN-CONFIG-MISSING"]);
});

test("digest crc is refused unless it is asked for by name", () => {
  const text = example
    .replace("mode: sha256", "mode: classic")
    .replace("      file: /etc", "      method: crc\n      file: /etc");
  deepEqual(
    parseClusterYaml(text, "c").findings.map((each) => each.code),
    ["BTN-CONFIG-WEAK"],
  );
  equal(parseClusterYaml(text, "c", { insecure: true }).ok, true);
});

test("bad input of earlier years is refused in bounded time (reliability 9.3 item 14)", () => {
  const inputs: Readonly<Record<string, string>> = {
    empty: "",
    "zero-length name": example.replace("name: shop", 'name: ""'),
    "unterminated quote": example.replace("name: shop", 'name: "shop'),
    "unterminated block": example.replace("{dbm157: 192.168.1.157,", "{dbm157: 192.168.1.157, ["),
    NUL: `${example}\0`,
    "1 MiB line": `x: ${"y".repeat(1024 * 1024)}`,
    "100000 blocks": "a:\n".repeat(100_000),
    "deep nesting": "[".repeat(100_000),
    aliases: "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n",
    "prefix /33": example.replace("192.168.0.222/24", "192.168.0.222/33"),
    "prefix /0": example.replace("192.168.0.222/24", "192.168.0.222/0"),
    "negative timer": example.replace("profile: default", "timing: {deadtime: -1s}"),
    "overflowed timer": example.replace("profile: default", "timing: {deadtime: 99999999999h}"),
    "timer without unit": example.replace("profile: default", "timing: {deadtime: 2}"),
    "duplicate host": example.replace("  dbm158: {roles", "  DBM157: {roles"),
    "duplicate key": example.replace("profile: default", "profile: default\nprofile: fast"),
    "port 0": example.replace("port: 694", "port: 0"),
    "port 65536": example.replace("port: 694", "port: 65536"),
    "path upwards": example.replace("directory: /database\n", "directory: /database/../etc\n"),
    "second document": `${example}\n---\na: 1\n`,
    "constructor as key": `${example}\nconstructor: 1\n__proto__: 2\n`,
    "list instead of map": "- a\n- b\n",
    "text instead of map": "hello",
  };
  for (const [name, text] of Object.entries(inputs)) {
    const { ok: accepted, findings } = parseClusterYaml(text, "cluster.yaml");
    equal(accepted, false, name);
    for (const finding of findings) {
      ok(
        finding.consequence !== undefined &&
          finding.fix !== undefined &&
          finding.message.length < 600,
        `${name}: ${finding.message}`,
      );
    }
  }
});

test("CRLF and a byte order mark change nothing", () => {
  deepEqual(configOf(`\uFEFF${example.replaceAll("\n", "\r\n")}`), configOf(example));
});

test("durations need a unit and are whole milliseconds", () => {
  const read = (text: string) => {
    const reading = parseDuration(text);
    return reading.ok ? reading.ms : reading.fix;
  };
  deepEqual(["200ms", "1.2s", "1m", "2h", "0.5ms", "200", "1 s", "1d", "-1s"].map(read), [
    200,
    1_200,
    60_000,
    7_200_000,
    "write whole milliseconds",
    "write 200ms for milliseconds or 200s for seconds",
    1_000,
    "write a number and its unit, such as 200ms, 1.2s or 1m",
    "write a number and its unit, such as 200ms, 1.2s or 1m",
  ]);
});

test("times of ha.cf are seconds unless they say otherwise", () => {
  deepEqual(
    ["1", "0.2", ".5", "200ms", "200 msec", "1500us", "1500 usec", "1s", "", ".", "-1", "1e3"].map(
      parseClassicTime,
    ),
    [1_000, 200, 500, 200, 200, 2, 2, undefined, undefined, undefined, undefined, undefined],
  );
});

test("both hosts have the same digest input; a policy changes it", () => {
  const here = configurationDigestInput(configOf(example, "dbm157"));
  equal(here, configurationDigestInput(configOf(example, "dbm158")));
  const there = configurationDigestInput(
    configOf(example.replace("local_restarts: 1", "local_restarts: 2")),
  );
  equal(here === there, false);
});

test("a setting that nothing acts upon yet is refused, never ignored", () => {
  const reset = "local_restarts: 1\n        on_stop_failure: reset-host";
  deepEqual(findingsOf(["local_restarts: 1", reset]), ["error BTN-CONFIG-VALUE"]);
  deepEqual(findingsOf(["local_restarts: 1", reset.replace("reset-host", "block")]), []);
});
