/** The state of a disk process as it crosses the socket: JSON has no 64-bit numbers. */
import type { DiskProcessState, Generations } from "../../replication/index.ts";

const slots = ["current", "bitmap", "history0", "history1"] as const;

/** As it is sent: generations as 16 hexadecimal digits. */
export function stateToJson(state: DiskProcessState): unknown {
  const { view } = state;
  const { generations } = view;
  return {
    ...state,
    view: {
      ...view,
      generations:
        generations === null
          ? null
          : Object.fromEntries(
              slots.map((slot) => [slot, generations[slot].toString(16).padStart(16, "0")]),
            ),
    },
  };
}

/** As it is meant; undefined if it is something else. */
export function stateFromJson(value: unknown): DiskProcessState | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const state = value as DiskProcessState;
  if (state.kind !== "disk" || typeof state.view !== "object" || state.view === null)
    return undefined;
  return {
    ...state,
    view: { ...state.view, generations: generationsFrom(state.view.generations) },
  };
}

function generationsFrom(value: unknown): Generations | null {
  if (typeof value !== "object" || value === null) return null;
  const fields = value as Readonly<Record<string, unknown>>;
  const read = (slot: string): bigint => {
    const text = fields[slot];
    return typeof text === "string" && /^[0-9a-f]{1,16}$/.test(text) ? BigInt(`0x${text}`) : 0n;
  };
  return {
    current: read("current"),
    bitmap: read("bitmap"),
    history0: read("history0"),
    history1: read("history1"),
  };
}
