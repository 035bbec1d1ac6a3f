/** Every reason code of a replicated disk. */
import { diskControlReasons } from "./reasons.control.ts";
import { dataReasons } from "./reasons.data.ts";
import { metadataReasons } from "./reasons.metadata.ts";
import { diskWireReasons } from "./reasons.wire.ts";

export const replicationReasons = {
  ...diskControlReasons,
  ...dataReasons,
  ...metadataReasons,
  ...diskWireReasons,
} as const;
