/**
 * The questions of `cl_status`, answered from a status report (heartbeat.md 10.1). Pure; the agent
 * answers its socket with it, and `cl_status` itself a report that it fetched.
 */
import { unreachable } from "../base/index.ts";
import type { ClassicQuery, HostReport, QueryAnswer, StatusReport } from "./control.ts";

/** @param parameters what ha.cf, or the configuration in its words, says: `hbparameter` reads it */
export function answerQuery(
  report: StatusReport,
  parameters: Readonly<Record<string, string>>,
  query: ClassicQuery,
): QueryAnswer {
  switch (query.verb) {
    case "rscstatus":
      return text(report.rscStatus);
    case "listnodes":
      return { kind: "list", items: nodeNames(report, query.args.only) };
    case "nodestatus":
      return textOr(nodeStatus(report, query.args.host), query.args.host);
    case "nodetype":
      return text(nodeType(report, query.args.host));
    case "listhblinks": {
      const links = linksOf(report, query.args.host);
      if (links === undefined) return { kind: "unknown", what: query.args.host };
      return { kind: "list", items: links.map((link) => link.name) };
    }
    case "hblinkstatus": {
      const { host, link } = query.args;
      const found = linksOf(report, host)?.find((candidate) => candidate.name === link);
      return textOr(found === undefined ? undefined : upOrDead(found.up), `${host}:${link}`);
    }
    case "hbparameter": {
      const { name } = query.args;
      return textOr(Object.hasOwn(parameters, name) ? parameters[name] : undefined, name);
    }
    default:
      return unreachable(query);
  }
}

/** Names of hosts and ping nodes, in the reverse order of the configuration, as the original lists them. */
function nodeNames(report: StatusReport, only: "all" | "normal" | "ping"): readonly string[] {
  const hosts = only === "ping" ? [] : report.hosts;
  const pings = only === "normal" ? [] : report.pings;
  return [...hosts, ...pings].map((node) => node.name).reverse();
}

/** heartbeat's word for a node; undefined: no such node. A host that said goodbye is `dead` there. */
function nodeStatus(report: StatusReport, name: string): string | undefined {
  const host = hostOf(report, name);
  if (host !== undefined) {
    if (host.verdict === "dead" || host.verdict === "left") return "dead";
    return host.status ?? "init";
  }
  const ping = pingOf(report, name);
  if (ping === undefined) return undefined;
  return ping.up ? "ping" : "dead";
}

function nodeType(report: StatusReport, name: string): "normal" | "ping" | "unknown" {
  if (hostOf(report, name) !== undefined) return "normal";
  return pingOf(report, name) === undefined ? "unknown" : "ping";
}

/** The links of a host; a ping node has one, of its own name. */
function linksOf(
  report: StatusReport,
  name: string,
): readonly { readonly name: string; readonly up: boolean }[] | undefined {
  const host = hostOf(report, name);
  if (host !== undefined)
    return host.self && host.links.length === 0 ? ownLinks(report) : host.links;
  const ping = pingOf(report, name);
  return ping === undefined ? undefined : [{ name: ping.name, up: ping.up }];
}

/** This host's own links are those to its peers; one is up while any peer is heard on it. */
function ownLinks(
  report: StatusReport,
): readonly { readonly name: string; readonly up: boolean }[] {
  const up = new Map<string, boolean>();
  for (const link of report.hosts.flatMap((host) => host.links)) {
    up.set(link.name, up.get(link.name) === true || link.up);
  }
  return [...up].map(([name, isUp]) => ({ name, up: isUp }));
}

function hostOf(report: StatusReport, name: string): HostReport | undefined {
  return report.hosts.find((host) => host.name === name.toLowerCase());
}

function pingOf(report: StatusReport, name: string): StatusReport["pings"][number] | undefined {
  return report.pings.find((ping) => ping.name === name);
}

function upOrDead(up: boolean): string {
  return up ? "up" : "dead";
}

function text(value: string): QueryAnswer {
  return { kind: "text", text: value };
}

function textOr(value: string | undefined, what: string): QueryAnswer {
  return value === undefined ? { kind: "unknown", what } : text(value);
}
