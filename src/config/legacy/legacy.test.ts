import { deepEqual, equal, match, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseAuthkeys } from "./authkeys.ts";
import { type ClassicFiles, type ClassicOptions, classicToConfig } from "./classic.ts";
import { defaultInitdeadMs, parseHaCf } from "./ha-cf.ts";
import { haCfDirectives } from "./ha-cf-directives.ts";
import { parseHaresources } from "./haresources.ts";

const chapter = (name: string): string =>
  readFileSync(new URL(`../testdata/chapter/${name}`, import.meta.url), "utf8");
const digest = (text: string): string => `${text.length}`.padStart(32, "0");
const nodes = ["dbm157", "dbm158"];

function files(
  changes: Partial<Record<"haCf" | "authkeys" | "haresources", string>> = {},
): ClassicFiles {
  return {
    directory: "/etc/ha.d",
    haCf: { file: "/etc/ha.d/ha.cf", text: changes.haCf ?? chapter("ha.cf") },
    authkeys: { file: "/etc/ha.d/authkeys", text: changes.authkeys ?? chapter("authkeys") },
    haresources: {
      file: "/etc/ha.d/haresources",
      text: changes.haresources ?? chapter("haresources"),
    },
  };
}

function convert(changes: Parameters<typeof files>[0] = {}, options: Partial<ClassicOptions> = {}) {
  return classicToConfig(files(changes), { self: "dbm157", digest, ...options });
}

/** `<line> <severity> <message>` of ha.cf lines below the least that is needed. */
function complaints(...lines: readonly string[]): readonly string[] {
  const text = ["node a b", "bcast eth0", "auto_failback off", ...lines].join("\n");
  return parseHaCf(text, "ha.cf").findings.map(
    (each) => `${each.line} ${each.severity} ${each.message}`,
  );
}

const allScripts = new Set(["drbddisk", "Filesystem", "mysqld", "IPaddr"]);

test("the chapter's files run unchanged, scripts where they are on disk", () => {
  const { config, findings } = convert({}, { scriptsFound: allScripts });
  deepEqual(
    findings.map((each) => `${each.severity} ${each.code}`),
    ["advice BTN-CONFIG-SPLIT-BRAIN", "advice BTN-CONFIG-PING"],
  );
  deepEqual(config?.timing, {
    profile: "chapter",
    keepaliveMs: 1_000,
    warntimeMs: 5_000,
    deadtimeMs: 15_000,
    initdeadMs: 30_000,
    deadpingMs: 15_000,
    agentGraceMs: 3_000,
  });
  deepEqual(config?.links, [
    {
      medium: "ucast",
      device: "eth0",
      port: 694,
      peers: [{ host: undefined, address: "192.168.0.158" }],
    },
    {
      medium: "ucast",
      device: "eth1",
      port: 694,
      peers: [{ host: undefined, address: "192.168.1.158" }],
    },
  ]);
  deepEqual(config?.failover, {
    autoFailback: "off",
    ipfail: true,
    arbiter: { kind: "none" },
    splitBrainPolicy: "classic",
  });
  const [group] = config?.groups ?? [];
  deepEqual(
    [group?.name, group?.prefers, group?.classicKey],
    ["drbddisk-r0", "dbm157", "drbddisk::r0"],
  );
  deepEqual(
    group?.resources.map((each) =>
      each.kind === "classic-script" ? [each.script, ...each.arguments] : [],
    ),
    [
      ["drbddisk", "r0"],
      ["Filesystem", "/dev/drbd0", "/database"],
      ["mysqld"],
      ["IPaddr", "192.168.0.222/24/eth0"],
    ],
  );
  const [script] = group?.resources ?? [];
  deepEqual(script?.kind === "classic-script" ? script.environment : {}, {
    HA_DIR: "/etc/ha.d",
    HA_FUNCS: "/etc/ha.d/shellfuncs",
    HA_DATEFMT: "%Y/%m/%d_%T\t",
    HA_LOGD: "no",
    OCF_ROOT: "/usr/lib/ocf",
    HA_NICEFAILBACK: "yes",
    HA_LOGFILE: "/var/log/ha-log",
    HA_CURHOST: "dbm157",
  });
});

test("no line of the chapter's files is dropped silently", () => {
  const { rows } = convert({}, { mode: "import" });
  for (const name of ["ha.cf", "authkeys", "haresources"]) {
    for (const [index, line] of chapter(name).split("\n").entries()) {
      if (line.replace(/#.*/u, "").trim() === "") continue;
      ok(
        rows.some((row) => row.file.endsWith(name) && row.line === index + 1 && row.reason !== ""),
        `${name}:${index + 1}`,
      );
    }
  }
  const outcomes = rows.filter((row) => row.directive === "respawn").map((row) => row.outcome);
  deepEqual(outcomes, ["replaced", "replaced"]);
  ok(!JSON.stringify(rows).includes("HA_JACKBILLOW"));
});

test("what has no script on disk and is built in, and a bare address, become built-in kinds", () => {
  const haresources =
    "dbm157 mysqld 192.168.0.222/24/eth0 IPaddr2::192.168.0.223/24/192.168.0.255 Filesystem::/dev/sdb1::/database::ext4::noatime,ro IPv6addr::2001:db8::1/64\n";
  const { config, findings } = convert(
    { haresources },
    { scriptsFound: new Set(["mysqld", "IPaddr"]) },
  );
  const kinds = config?.groups[0]?.resources.map((each) => {
    const { policy: _, ...rest } = each;
    return rest.kind === "classic-script" ? rest.script : rest;
  });
  deepEqual(kinds, [
    "mysqld",
    {
      kind: "address",
      name: "192.168.0.222",
      address: "192.168.0.222",
      prefixLength: 24,
      device: "eth0",
      broadcast: undefined,
    },
    {
      kind: "address",
      name: "192.168.0.223",
      address: "192.168.0.223",
      prefixLength: 24,
      device: undefined,
      broadcast: "192.168.0.255",
    },
    {
      kind: "filesystem",
      name: "/database",
      device: "/dev/sdb1",
      directory: "/database",
      type: "ext4",
      options: ["noatime", "ro"],
      fsck: "auto",
      forceUnmountAfterMs: 10_000,
    },
    "IPv6addr",
  ]);
  deepEqual(
    findings.filter((each) => each.code === "BTN-CONFIG-SCRIPT").map((each) => each.message),
    ['IPv6addr: the script "IPv6addr" is not in /etc/ha.d/resource.d and /etc/init.d'],
  );
});

test("a comment may begin anywhere, list directives take blanks and commas, the last scalar wins", () => {
  const { draft, times } = parseHaCf(
    "node a,b\tC#d\nbcast eth0,eth1\r\nkeepalive 5 2\nkeepalive 200ms # 1\n",
    "ha.cf",
  );
  deepEqual(draft.nodes, ["a", "b", "c"]);
  deepEqual(
    draft.links.map((link) => link.device),
    ["eth0", "eth1"],
  );
  equal(times.keepaliveMs, 200);
});

test("udpport works on the media below it only", () => {
  const { draft, findings } = parseHaCf(
    "node a b\nauto_failback off\nbcast eth0\nudpport 700\nbcast eth1\nucast eth2 10.0.0.1\n",
    "ha.cf",
    { defaultPort: 694 },
  );
  deepEqual(
    draft.links.map((link) => link.port),
    [694, 700, 700],
  );
  deepEqual(
    findings.map((each) => `${each.line} ${each.severity}`),
    ["4 advice"],
  );
});

test("ucast lines of one device are one link; mcast needs all five", () => {
  const text =
    "node a b\nucast eth0 10.0.0.1\nucast eth0 10.0.0.2\nmcast eth1 225.0.0.1 694 1 0\nmcast6 eth1 ff05::1 694 1 1\n";
  deepEqual(parseHaCf(text, "ha.cf").draft.links, [
    {
      medium: "ucast",
      device: "eth0",
      port: 694,
      peers: [
        { host: undefined, address: "10.0.0.1" },
        { host: undefined, address: "10.0.0.2" },
      ],
    },
    { medium: "mcast", device: "eth1", port: 694, group: "225.0.0.1", ttl: 1, loop: false },
    { medium: "mcast6", device: "eth1", port: 694, group: "ff05::1", ttl: 1, loop: true },
  ]);
  match(
    complaints("mcast eth0 225.0.0.1 694 1")[0] ?? "",
    /^4 error mcast: mcast needs device, group, port, ttl and loop/u,
  );
  match(complaints("mcast eth0 225.0.0.1 694 5 0")[0] ?? "", /^4 error mcast: ttl can not be "5"/u);
});

test("absent times have the original's defaults", () => {
  const timesOf = (...lines: readonly string[]) => {
    const { times } = parseHaCf(lines.join("\n"), "ha.cf");
    return [
      times.keepaliveMs,
      times.warntimeMs,
      times.deadtimeMs,
      times.initdeadMs,
      times.deadpingMs,
    ];
  };
  deepEqual(timesOf(), [1_000, 15_000, 30_000, 30_000, 30_000]);
  deepEqual(timesOf("deadtime 7"), [1_000, 3_500, 7_000, 14_000, 7_000]);
  deepEqual(
    [2_000, 5_999, 6_000, 10_000, 10_001].map(defaultInitdeadMs),
    [12_000, 12_000, 12_000, 20_000, 10_001],
  );
});

test("what the original refuses is refused, with the line", () => {
  const refusals: Readonly<Record<string, RegExp>> = {
    "keepalive 1s": /^4 error keepalive: "1s" is not a time$/u,
    "keepalive 0": /^4 error keepalive: keepalive can not be 0$/u,
    "deadtime 2": /^4 error deadtime 2000 ms is too small compared to keepalive/u,
    "initdead 5": /^4 error initdead 5000 ms is below deadtime/u,
    "deadping 1": /^4 error deadping 1000 ms is too small/u,
    "baud 9600 9600": /^4 error baud: baud is multiply specified/u,
    "autojoin any": /^4 error autojoin: autojoin any is a start error/u,
    "crm yes": /^4 error crm: this file is for a cluster with a CRM/u,
    "respawn hacluster ipfail": /^4 error respawn: "ipfail" is not an absolute path$/u,
    "auto_failback maybe": /^4 error auto_failback: auto_failback can not be "maybe"/u,
    "stonith external/ipmi /etc/ha.d/ipmi.cfg":
      /^4 error stonith: fencing with "external\/ipmi" is not built in yet$/u,
    "ucast eth0 192.168.0.300":
      /^4 error ucast: "192.168.0.300" is neither an address nor a host name$/u,
    "msgfmt xml": /^4 error msgfmt: msgfmt can not be "xml"$/u,
  };
  for (const [line, wanted] of Object.entries(refusals)) match(complaints(line).join("\n"), wanted);
  match(
    complaints("apiauth x uid=a", "apiauth x uid=b")[0] ?? "",
    /^5 error apiauth: apiauth "x" is there twice/u,
  );
  deepEqual(
    parseHaCf("", "ha.cf")
      .findings.filter((each) => each.severity === "error")
      .map((each) => each.message),
    ["There is no node line", "There are no heartbeat media that Baton can use"],
  );
});

test("what the original accepts is at most advice", () => {
  const accepted = [
    "serial /dev/ttyS0",
    "watchdog /dev/watchdog",
    "debug 1",
    "use_logd yes",
    "compression bz2",
    "hbgenmethod time",
    "nice_failback on",
    "warntime 40",
    "failfast root /usr/bin/x",
    "stonith null /x",
    "memreserve 100",
    "env A=b,C=d",
    "udp eth1",
    "ping_group g 10.0.0.1 10.0.0.2",
    "logfile",
    "realtime off",
    "autojoin none",
  ];
  for (const line of accepted)
    deepEqual(
      complaints(line).filter((each) => each.includes(" error ")),
      [],
      line,
    );
});

test("every directive of the reference has a row with an outcome and a reason", () => {
  const reference =
    "node keepalive deadtime warntime initdead deadping hopfudge udpport baud ucast ucast6 bcast mcast mcast6 serial ping ping6 ping_group hbaping auto_failback nice_failback stonith stonith_host watchdog respawn failfast apiauth logfile debugfile logfacility use_logd conn_logd_time syslogmsgfmt log_badpack debug msgfmt compression compression_threshold traditional_compression max_rexmit_delay hbgenmethod uuidfrom realtime rtprio memreserve coredumps coreroot env cluster quorum_server autojoin pacemaker crm crm_daemon_dir crmd_spawns_pengine enable_config_writes use_apphbd normalpoll udp";
  for (const name of reference.split(" ")) {
    ok(Object.hasOwn(haCfDirectives, name), name);
    for (const value of ["", "1", "on", "x y z"]) {
      const row = parseHaCf(`${name} ${value}`, "ha.cf").rows.find((each) => each.line === 1);
      ok(row !== undefined && row.directive === name && row.reason !== "", `${name} ${value}`);
    }
  }
});

test("passwords of fencing devices and values of env do not reach the table", () => {
  const { rows } = parseHaCf(
    "stonith_host * ipmi 10.0.0.1 admin SECRET\nenv PASSWORD=SECRET\nrespawn\n",
    "ha.cf",
  );
  ok(!JSON.stringify(rows).includes("SECRET"));
});

test("authkeys: the auth line must stand above its key; all keys are accepted", () => {
  const good = parseAuthkeys(
    "# c\n\n auth 2 rest\n1 md5 a#b ignored\n2 sha1 k\u00e9\n",
    "authkeys",
  );
  deepEqual(
    [
      good.sendIndex,
      good.keys.map(({ index, method, key }) => [index, method, key]),
      good.findings,
    ],
    [
      2,
      [
        [1, "md5", "a#b"],
        [2, "sha1", "ké"],
      ],
      [],
    ],
  );
  const wrong: Readonly<Record<string, RegExp>> = {
    "1 sha1 SECRET\nauth 1\n": /stands below the key/u,
    "auth 1\n": /names key 1, which is not in the file/u,
    "1 sha1 SECRET\n": /There is no auth line/u,
    "auth 16\n16 sha1 SECRET\n": /auth names no key from 0 to 15/u,
    "auth 1\n1 sha1\n": /sha1 must have a key/u,
    "auth 1\n1 crc SECRET\n": /crc must not have a key/u,
    "auth 1\n1 SECRET\n": /unknown method \(not shown\)/u,
    "auth 1\n1 crc\n": /crc is no authentication/u,
    "": /There is no auth line/u,
  };
  for (const [text, wanted] of Object.entries(wrong)) {
    const { findings, rows } = parseAuthkeys(text, "authkeys");
    match(
      findings
        .filter((each) => each.severity === "error")
        .map((each) => each.message)
        .join("\n"),
      wanted,
      text,
    );
    ok(!JSON.stringify({ findings, rows }).includes("SECRET"));
  }
  equal(parseAuthkeys("auth 1\n1 crc\n", "authkeys", { insecure: true }).sendIndex, 1);
});

test("haresources: comments go first, then lines are joined with nothing between", () => {
  const read = (text: string) => parseHaresources(text, "haresources", nodes);
  const { groups } = read(
    "# all\n DBM157  a::1 \\\nb\\\nc # not \\\n\ndbm158\t192.168.0.9/24/eth0::x\n",
  );
  deepEqual(
    groups.map((group) => [group.line, group.node, ...group.resources.map((each) => each.word)]),
    [
      [2, "dbm157", "a::1", "bc"],
      [6, "dbm158", "192.168.0.9/24/eth0::x"],
    ],
  );
  deepEqual(groups[1]?.resources[0], {
    word: "192.168.0.9/24/eth0::x",
    script: "IPaddr",
    arguments: ["192.168.0.9/24/eth0", "x"],
    shorthand: true,
  });
  match(read("dbm159 a\n").findings[0]?.message ?? "", /Bad nodename "dbm159"/u);
  match(
    read("dbm157 a b\ndbm158 a c\n").findings[0]?.message ?? "",
    /"a" is the first resource of two groups \(lines 1 and 2\)/u,
  );
  equal(read("dbm157 a b\ndbm158 c a\n").findings[0]?.severity, "advice");
});

test("the cluster id is the same whatever the order of the nodes, and follows the key", () => {
  const idOf = (changes: Parameters<typeof files>[0]) =>
    convert(changes, { digest: (text) => `${text.length}` }).config?.clusterId;
  const swapped = chapter("ha.cf").replace("node dbm157\nnode dbm158", "node DBM158 dbm157");
  const seen: string[] = [];
  for (const haCf of [chapter("ha.cf"), swapped]) {
    convert(
      { haCf },
      {
        digest: (text) => {
          seen.push(text);
          return "0".repeat(32);
        },
      },
    );
  }
  equal(seen[0], seen[1]);
  const other = "auth 1\n1 sha1 another\n";
  equal(idOf({}) === idOf({ authkeys: other }), false);
});

test("this machine must be a node, three nodes are refused, a missing file is told by name", () => {
  const codes = (outcome: ReturnType<typeof convert>) =>
    outcome.findings.filter((each) => each.severity === "error").map((each) => each.code);
  deepEqual(codes(convert({}, { self: "dbm159" })), ["BTN-CONFIG-SELF"]);
  deepEqual(codes(convert({ haCf: `${chapter("ha.cf")}node dbm159\n` })), ["BTN-CONFIG-HOSTS"]);
  const without = classicToConfig({ ...files(), authkeys: undefined }, { digest });
  deepEqual(
    without.findings.filter((each) => each.severity === "error").map((each) => each.file),
    ["/etc/ha.d/authkeys"],
  );
});

test("timers that the original accepts start; C1 is advice, the lease is shortened or off", () => {
  const timers = (text: string) => chapter("ha.cf").replace(/keepalive[\s\S]*?(?=ucast)/u, text);
  const tight = convert({
    haCf: timers("keepalive 1\nwarntime 2\ndeadtime 2.05\ninitdead 2.05\n"),
  });
  ok(tight.config !== undefined);
  const codes = tight.findings.map((each) => each.code);
  deepEqual(
    [codes.includes("BTN-CONFIG-TIMING"), codes.includes("BTN-CONFIG-LEASE-OFF")],
    [true, true],
  );
});
