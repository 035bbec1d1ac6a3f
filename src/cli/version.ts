import { readFileSync } from "node:fs";

let version: string | undefined;

/** The version of this Baton, from package.json. */
export function softwareVersion(): string {
  version ??= readVersion();
  return version;
}

function readVersion(): string {
  const path = new URL("../../package.json", import.meta.url);
  const content: unknown = JSON.parse(readFileSync(path, "utf8"));
  const found = (content as { readonly version?: unknown }).version;
  return typeof found === "string" ? found : "unknown";
}
