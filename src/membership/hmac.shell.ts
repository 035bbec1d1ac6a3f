/** The digests of node:crypto, in the form that the codecs take. */
import { createHmac } from "node:crypto";
import type { Hmac } from "./wire/index.ts";

/** RFC 2104 with MD5, SHA-1 or SHA-256. */
export const nodeHmac: Hmac = (method, secret, bytes) =>
  createHmac(method, Buffer.from(secret, "latin1")).update(bytes).digest();
