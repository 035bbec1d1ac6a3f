/** Resources that are scripts: heartbeat's own, LSB init scripts and OCF agents. */
import { join } from "node:path";
import { delay } from "../system/index.ts";
import type { ActionContext, ActionResult, ProbeResult, ResourceAgent } from "./agent.ts";
import type { ResourceEnvironment } from "./environment.ts";
import type { ResourcesReason } from "./reasons.ts";
import {
  findScript,
  runScript,
  type ScriptRefusal,
  type ScriptRun,
  trustScript,
} from "./script-process.shell.ts";
import {
  classicStatus,
  endOf,
  lsbStatus,
  ocfStarted,
  ocfStatus,
  ocfStopped,
  type ScriptEnd,
  scriptActed,
  statusByText,
} from "./script-rules.ts";
import type { ClassicScriptSpec, LsbSpec, OcfSpec } from "./spec.ts";

/** heartbeat.md 2.5: a stop that fails is tried again once per second, HA_STOPRETRYMAX times. */
const STOP_RETRY_MS = 1_000;
const STOP_RETRIES = 10;
const INIT_DIRECTORIES = ["/etc/init.d"];

/** A script of haresources, by heartbeat's rules (heartbeat.md 2.4, 2.5). */
export function createScriptAgent(
  spec: ClassicScriptSpec,
  environment: ResourceEnvironment,
): ResourceAgent {
  return new ScriptAgent(spec, environment, {
    name: spec.script,
    directories: spec.searchPath,
    arguments: spec.arguments,
    variables: () => ({ HA_CURHOST: environment.host, ...spec.environment }),
    statusAction: "status",
    status: classicStatus,
    started: scriptActed,
    stopped: scriptActed,
    stopRetries: STOP_RETRIES,
  });
}

/** Options for tests. */
export interface LsbOptions {
  /** @default /etc/init.d */
  readonly directories?: readonly string[];
}

/** An init script, by the exit codes of LSB and by its text where they mislead. */
export function createLsbAgent(
  spec: LsbSpec,
  environment: ResourceEnvironment,
  options: LsbOptions = {},
): ResourceAgent {
  return new ScriptAgent(spec, environment, {
    name: spec.script,
    directories: options.directories ?? INIT_DIRECTORIES,
    arguments: [],
    variables: () => ({}),
    statusAction: "status",
    status: lsbStatus,
    started: scriptActed,
    stopped: scriptActed,
    stopRetries: 0,
  });
}

export interface OcfOptions {
  /** @default /usr/lib/ocf */
  readonly root?: string;
}

/** An OCF resource agent, started and stopped plainly; nothing is promoted (mysql.md 6.1). */
export function createOcfAgent(
  spec: OcfSpec,
  environment: ResourceEnvironment,
  options: OcfOptions = {},
): ResourceAgent {
  const root = options.root ?? "/usr/lib/ocf";
  return new ScriptAgent(spec, environment, {
    name: spec.type,
    directories: [join(root, "resource.d", spec.provider)],
    arguments: [],
    variables: (action, context) => ocfVariables(spec, root, action, context),
    statusAction: "monitor",
    status: ocfStatus,
    started: ocfStarted,
    stopped: ocfStopped,
    stopRetries: 0,
  });
}

function ocfVariables(
  spec: OcfSpec,
  root: string,
  action: Action,
  context: ActionContext,
): Readonly<Record<string, string>> {
  const parameters = Object.entries(spec.parameters).map(
    ([name, value]) => [`OCF_RESKEY_${name}`, value] as const,
  );
  return {
    ...Object.fromEntries(parameters),
    OCF_ROOT: root,
    OCF_RA_VERSION_MAJOR: "1",
    OCF_RA_VERSION_MINOR: "0",
    OCF_RESOURCE_INSTANCE: spec.name,
    OCF_RESOURCE_TYPE: spec.type,
    OCF_RESOURCE_PROVIDER: spec.provider,
    OCF_CHECK_LEVEL: String(action === "monitor" ? spec.checkLevel : 0),
    OCF_RESKEY_CRM_meta_timeout: String(context.timeoutMs ?? 20_000),
    // An interval of 0 with the action monitor is a probe.
    OCF_RESKEY_CRM_meta_interval: String(action === "monitor" ? spec.policy.monitorIntervalMs : 0),
    OCF_RESKEY_CRM_meta_name: action === "probe" ? "monitor" : action,
  };
}

type Action = "probe" | "start" | "stop" | "monitor";

/** How one kind of script is found, called and understood. */
interface ScriptDialect {
  readonly name: string;
  readonly directories: readonly string[];
  readonly arguments: readonly string[];
  readonly variables: (action: Action, context: ActionContext) => Readonly<Record<string, string>>;
  readonly statusAction: "status" | "monitor";
  readonly status: (end: ScriptEnd, action: "probe" | "monitor") => ProbeResult;
  readonly started: (end: ScriptEnd) => ActionResult;
  readonly stopped: (end: ScriptEnd) => ActionResult;
  /** Retries of a failed stop, after which a status that says stopped is believed; 0: neither. */
  readonly stopRetries: number;
}

type Called = { readonly run: ScriptRun } | ScriptRefusal;

class ScriptAgent implements ResourceAgent {
  readonly spec: ClassicScriptSpec | LsbSpec | OcfSpec;
  readonly #environment: ResourceEnvironment;
  readonly #dialect: ScriptDialect;
  /** It ran while this process watched: from then on a script that is gone proves nothing. */
  #seenRunning = false;
  /** The last start was refused before anything was run. */
  #refused = false;

  constructor(
    spec: ClassicScriptSpec | LsbSpec | OcfSpec,
    environment: ResourceEnvironment,
    dialect: ScriptDialect,
  ) {
    this.spec = spec;
    this.#environment = environment;
    this.#dialect = dialect;
  }

  probe(context: ActionContext): Promise<ProbeResult> {
    return this.#status(context, "probe");
  }

  monitor(context: ActionContext): Promise<ProbeResult> {
    return this.#status(context, "monitor");
  }

  async start(context: ActionContext): Promise<ActionResult> {
    this.#refused = false;
    // heartbeat.md 2.5: start is only called if status is not running. OCF and LSB starts are idempotent.
    if (this.spec.kind === "classic-script") {
      const found = await this.#status(context, "probe");
      if (found.state === "running") return { ok: true, detail: "was running" };
      if (found.state === "unknown" && !this.#isRefusal(found.reason)) {
        return { ok: false, reason: found.reason, detail: found.detail, retryable: true };
      }
    }
    const called = await this.#call("start", context);
    if (!("run" in called)) {
      this.#refused = true;
      return { ok: false, ...called, retryable: false };
    }
    const result = called.run.killed
      ? timedOut("start", called.run)
      : this.#dialect.started(called.run);
    // Whatever it came to, something may run now.
    this.#seenRunning = true;
    return result;
  }

  async stop(context: ActionContext): Promise<ActionResult> {
    for (let retry = 0; ; retry++) {
      const called = await this.#call("stop", context);
      if (!("run" in called)) return this.#stopWithoutScript(called);
      if (called.run.killed) return timedOut("stop", called.run);
      const result = this.#dialect.stopped(called.run);
      if (result.ok) {
        this.#seenRunning = false;
        return result;
      }
      if (retry >= this.#dialect.stopRetries) return await this.#stopFailed(context, result);
      context.progress(
        `Retrying failed stop of ${this.spec.name} (${retry + 1}): ${result.detail}`,
      );
      try {
        await delay(STOP_RETRY_MS, context.signal);
      } catch {
        return result; // no time left: the last failure stands
      }
    }
  }

  dispose(): void {
    // Nothing is held between calls.
  }

  async #status(context: ActionContext, action: "probe" | "monitor"): Promise<ProbeResult> {
    const called = await this.#call(action, context);
    if (!("run" in called)) {
      const missing = called.reason === "BTN-SCRIPT-NOT-FOUND";
      // Nothing was ever started by a script that is not there.
      if (missing && !this.#seenRunning) return { state: "stopped" };
      return { state: "unknown", ...called };
    }
    if (called.run.killed) {
      return { state: "unknown", reason: "BTN-SCRIPT-TIMEOUT", detail: endOf(called.run) };
    }
    const found = this.#dialect.status(called.run, action);
    if (found.state === "running") this.#seenRunning = true;
    return found;
  }

  /** The original gives up with a reboot only if status says running; else it goes on. */
  async #stopFailed(context: ActionContext, result: ActionResult): Promise<ActionResult> {
    if (this.#dialect.stopRetries === 0 || result.ok) return result;
    const called = await this.#call("probe", context);
    if (!("run" in called) || called.run.killed) return result;
    if (statusByText(called.run.stdout) === "running") return { ...result, retryable: false };
    this.#notify("BTN-SCRIPT-STOP-DISBELIEVED", result.detail);
    this.#seenRunning = false;
    return { ok: true, detail: `${result.detail}; but its status says that it does not run` };
  }

  #stopWithoutScript(refusal: ScriptRefusal): ActionResult {
    const missing = refusal.reason === "BTN-SCRIPT-NOT-FOUND";
    if (!this.#seenRunning && (missing || this.#refused)) {
      return { ok: true, detail: `never started here: ${refusal.detail}` };
    }
    return { ok: false, ...refusal, retryable: false };
  }

  #isRefusal(reason: string): boolean {
    return reason === "BTN-SCRIPT-UNSAFE" || reason === "BTN-SCRIPT-NOT-FOUND";
  }

  async #call(action: Action, context: ActionContext): Promise<Called> {
    const { name, directories, statusAction, variables } = this.#dialect;
    const found = await findScript(name, directories);
    if (found === undefined) {
      const detail = `${name} is in none of ${directories.join(", ")}`;
      return { reason: "BTN-SCRIPT-NOT-FOUND", detail };
    }
    const trusted = await trustScript(found);
    if (!("path" in trusted)) return trusted;
    const word = action === "probe" || action === "monitor" ? statusAction : action;
    const run = await this.#run(trusted.path, word, variables(action, context), context.signal);
    if (!("code" in run)) return run;
    if (word === action && action !== "monitor") this.#journal(found, word, run);
    return { run };
  }

  async #run(
    path: string,
    word: string,
    variables: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<ScriptRun | ScriptRefusal> {
    try {
      const args = [...this.#dialect.arguments, word];
      return await runScript(path, args, { environment: variables, signal });
    } catch (error) {
      return { reason: "BTN-SCRIPT-FAILED", detail: `Cannot run ${path}: ${String(error)}` };
    }
  }

  /** Starts and stops are rare and their words are wanted; those of each status would drown the journal. */
  #journal(path: string, action: string, run: ScriptRun): void {
    const words = `${run.stdout}${run.stderr}`.trim();
    if (words === "") return;
    const call = [path, ...this.#dialect.arguments, action].join(" ");
    this.#notify("BTN-SCRIPT-OUTPUT", `${call}: ${words}`);
  }

  #notify(reason: ResourcesReason, detail: string): void {
    this.#environment.notify({
      group: this.#environment.group,
      resource: this.spec.name,
      reason,
      detail,
    });
  }
}

function timedOut(action: string, run: ScriptRun): ActionResult {
  const detail = `${action} was killed with its process group: ${endOf(run)}`;
  return { ok: false, reason: "BTN-SCRIPT-TIMEOUT", detail, retryable: true };
}
