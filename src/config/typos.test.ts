import { deepEqual, equal } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseHaCf } from "./legacy/ha-cf.ts";
import { parseHaresources } from "./legacy/haresources.ts";
import { parseClusterYaml } from "./native.ts";
import { editDistance, nearest } from "./suggest.ts";

const example = readFileSync(new URL("../../docs/examples/cluster.yaml", import.meta.url), "utf8");

/** What is replaced, by what, and the word that the message must suggest. */
const yamlMistakes: readonly (readonly [from: string, to: string, meant: string])[] = [
  ["profile: default", "profil: default", "profile"],
  ["profile: default", "profile: defualt", "default"],
  ["profile: default", "profile: chapther", "chapter"],
  ["profile: default", "timing: {keepalife: 200ms}", "keepalive"],
  ["profile: default", "timing: {dead_time: 2s}", "deadtime"],
  ["profile: default", "timing: {init-dead: 20s}", "initdead"],
  ["profile: default", "timing: {wartime: 600ms}", "warntime"],
  ["profile: default", "timing: {deadtimee: 2s}", "deadtime"],
  ["cluster:\n", "clutser:\n", "cluster"],
  ["hosts: ", "host: ", "hosts"],
  ["hosts: ", "nodes: ", "hosts"],
  ["dbm157: {roles: [data]}", "dbm157: {role: [data]}", "roles"],
  ["auth:\n", "auht:\n", "auth"],
  ["  mode: sha256", "  mode: sha-256", "sha256"],
  ["  mode: sha256", "  mode: clasic\n", "classic"],
  ["  send: 1", "  sned: 1", "send"],
  ["      file: /etc", "      fiel: /etc", "file"],
  ["links: ", "link: ", "links"],
  ["- medium: ucast\n    device: eth0", "- medium: acast\n    device: eth0", "ucast"],
  ["- medium: ucast\n    device: eth0", "- medium: unicast\n    device: eth0", "ucast"],
  ["    device: eth0\n    port", "    interface: eth0\n    port", "device"],
  ["    device: eth0\n    port: 694", "    device: eth0\n    prot: 694", "port"],
  ["    addresses: {dbm157: 192.168.0.157", "    adresses: {dbm157: 192.168.0.157", "addresses"],
  ["{dbm157: 192.168.0.157", "{dbm175: 192.168.0.157", "dbm157"],
  ["  - address: 192.168.0.1\n", "  - adress: 192.168.0.1\n", "address"],
  ["failover:\n", "fail-over:\n", "failover"],
  ["auto_failback: false", "autofailback: false", "auto_failback"],
  ["auto_failback: false", "auto_failback: legasy", "legacy"],
  ["ipfail: true", "ipfial: true", "ipfail"],
  ["arbiter: none", "arbiter: nnoe", "none"],
  ["split_brain_policy: classic", "split-brain-policy: classic", "split_brain_policy"],
  ["split_brain_policy: classic", "split_brain_policy: save", "safe"],
  ["groups:\n", "group:\n", "groups"],
  ["prefers: dbm157", "preferes: dbm157", "prefers"],
  ["prefers: dbm157", "prefers: dmb157", "dbm157"],
  ["    resources: ", "    resource: ", "resources"],
  ["- shared_disk: ", "- shared-disk: ", "shared_disk"],
  ["claim_device: ", "claimdevice: ", "claim_device"],
  ["- filesystem:\n", "- filesytem:\n", "filesystem"],
  ["          directory: /database\n", "          mountpoint: /database\n", "directory"],
  ["- mysqld:\n", "- mysql:\n", "mysqld"],
  ["data_directory: ", "datadir: ", "data_directory"],
  ["defaults_file: ", "default_file: ", "defaults_file"],
  ["monitor_interval: 1s", "monitor_intervall: 1s", "monitor_interval"],
  ["local_restarts: 1", "local_restart: 1", "local_restarts"],
  ["start_timeout: 15m", "strat_timeout: 15m", "start_timeout"],
  ["directories:\n", "directorys:\n", "directories"],
];

for (const [from, to, meant] of yamlMistakes) {
  test(`cluster.yaml: ${JSON.stringify(to.trim())} suggests ${meant}, at its line`, () => {
    const at = example.indexOf(from);
    equal(at === -1, false, `the example no longer holds ${from}`);
    const text = example.replace(from, () => to);
    const { ok, findings } = parseClusterYaml(text, "cluster.yaml");
    equal(ok, false);
    const suggested = findings.find((finding) =>
      finding.message.includes(`did you mean ${meant}?`),
    );
    equal(suggested === undefined, false, JSON.stringify(findings, null, 1));
    const first = text.slice(0, at).split("\n").length;
    const last = first + to.split("\n").length;
    equal(
      (suggested?.line ?? 0) >= first && (suggested?.line ?? 0) <= last,
      true,
      `line ${suggested?.line}`,
    );
  });
}

/** Mistyped directives of ha.cf, among them the misreadings of the chapter's scan. */
const haCfMistakes: Readonly<Record<string, string>> = {
  "1ogfile /var/log/ha-log": "logfile",
  "leadtime 15": "deadtime",
  "acast eth0 192.168.0.158": "ucast",
  "keepalife 1": "keepalive",
  "warmtime 5": "warntime",
  "init_dead 30": "initdead",
  "autofailback off": "auto_failback",
  "auto-failback off": "auto_failback",
  "nodes dbm157": "node",
  "Node dbm157": "node",
  "respwan hacluster /x/ipfail": "respawn",
  "apiauht ipfail uid=hacluster": "apiauth",
  "pinggroup a 192.168.0.1": "ping_group",
  "brcast eth0": "bcast",
  "upd eth0": "udp",
  "logfacilty local0": "logfacility",
  "wathdog /dev/watchdog": "watchdog",
  "dead-ping 5": "deadping",
};

for (const [line, meant] of Object.entries(haCfMistakes)) {
  test(`ha.cf: ${line} suggests ${meant}`, () => {
    const { findings } = parseHaCf(`\n${line}\n`, "ha.cf");
    const illegal = findings.find((finding) => finding.line === 2);
    equal(illegal?.message, `Illegal directive "${line.split(" ")[0]}"; did you mean ${meant}?`);
    equal(illegal?.severity, "error");
  });
}

test("haresources: a mistyped node suggests the node that was meant", () => {
  const { findings } = parseHaresources("dbm175 mysqld\n", "haresources", ["dbm157", "dbm158"]);
  equal(
    findings[0]?.message,
    'Bad nodename "dbm175": it is not a node of ha.cf; did you mean dbm157?',
  );
});

test("nothing is suggested for a word that resembles nothing", () => {
  deepEqual(
    ["zzzzzz", "", "x".repeat(100_000), "constructor", "__proto__"].map((word) =>
      nearest(word, ["keepalive", "deadtime"]),
    ),
    [undefined, undefined, undefined, undefined, undefined],
  );
});

test("a swap of neighbours is one mistake", () => {
  equal(editDistance("hosts", "hsots"), 1);
  equal(editDistance("", "abc"), 3);
  equal(editDistance("kitten", "sitting"), 3);
});
