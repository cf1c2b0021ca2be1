/**
 * Make of a packed file the one that a delta leads to, in a browser or in Node (18 or newer).
 *
 *     import { applyDelta, updateCached } from "./sparsedevice-delta.js";
 *     const model = await applyDelta(oldModel, delta);                       // bytes in, bytes out
 *     await updateCached(await caches.open("models"), "model.sd", delta);    // in the browser's cache
 *
 * The types are in sparsedevice-delta.d.ts, the form of deltas in the project's docs/delta.md.
 */

import { Source, readBody } from "./sparsedevice-delta-body.js";
import { PackedFileError, SparseDeviceError, bodyError } from "./sparsedevice-errors.js";
import { PackedReader, buildFile, crc32 } from "./sparsedevice-packed.js";

const DELTA = "\x93SDD\r\n\x1a\n";
const PACKED = "\x93SDV\r\n\x1a\n";
const COMPACT = "\x93SDZ\r\n\x1a\n";
const VERSION = 1;
const HEADER_BYTES = 96;
const MAX_RATIO = 1032; /* deflate never shrinks more than this */
const SEAL = 12;

/**
 * The file that `delta` makes of `base`, as new bytes: the right one, or an error.
 */
export async function applyDelta(base, delta) {
  const [old, update] = [toBytes(base), toBytes(delta)];
  if (begins(update, COMPACT)) {
    throw new PackedFileError("magic", "this is a whole model in the compact coding; fetch the packed model itself");
  }
  if (begins(update, PACKED)) {
    const { SparseRecommender } = await import("./sparsedevice.js");
    await SparseRecommender.open(update); /* checks all of it */
    return update;
  }
  const header = readHeader(update);
  const found = await sha256(old);
  if (found !== header.base) {
    throw new PackedFileError(
      "base",
      `the delta is for the model with sha256 ${header.base.slice(0, 16)}…, not ${found.slice(0, 16)}…;` +
        " fetch the delta for this model, or the full model",
    );
  }
  const body = await inflate(update.subarray(HEADER_BYTES), header.bodyBytes);
  const result = inRange(() => buildFile(readBody(new PackedReader(old), new Source(body)), header.resultBytes));
  if ((await sha256(result)) !== header.result) {
    throw new PackedFileError("result", "the delta does not give the model that it promises; fetch it again");
  }
  return result;
}

/**
 * Update the model that a Cache keeps under `request`. The entry is replaced once the new model is
 * verified; until then, and after any error, it is what it was. Returns the bytes of the new model.
 */
export async function updateCached(cache, request, delta) {
  const kept = await cache.match(request);
  if (!kept) {
    throw new SparseDeviceError("there is no model in the cache under this name; add the full model first");
  }
  const result = await applyDelta(await kept.arrayBuffer(), delta);
  const headers = { "content-type": "application/octet-stream", "content-length": String(result.length) };
  await cache.put(request, new Response(result, { headers }));
  return result;
}

/** The sha256 of bytes, as hexadecimal digits. */
export async function sha256(bytes) {
  const { subtle } = globalThis.crypto ?? (await import("node:crypto")).webcrypto;
  if (!subtle) {
    throw new SparseDeviceError("this page cannot check a model: browsers do so over https only (or at localhost)");
  }
  const digest = new Uint8Array(await subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/* ---- header ---- */

function toBytes(data) {
  if (data instanceof ArrayBuffer) {
    return new Uint8Array(data);
  }
  if (!ArrayBuffer.isView(data)) {
    throw new SparseDeviceError("give model and delta as bytes: an ArrayBuffer or a view of one");
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function begins(bytes, magic) {
  return bytes.length >= magic.length && [...magic].every((letter, i) => bytes[i] === letter.charCodeAt(0));
}

function readHeader(delta) {
  if (!begins(delta, DELTA.slice(0, delta.length))) {
    throw new PackedFileError("magic", "this is not a sparsedevice delta; fetch one made by sparsedevice diff");
  }
  if (delta.length < HEADER_BYTES) {
    throw new PackedFileError("truncated", `the delta ends after ${delta.length} bytes, inside its header`);
  }
  const view = new DataView(delta.buffer, delta.byteOffset, delta.length);
  const version = view.getUint32(8, true);
  if (version !== VERSION) {
    throw new PackedFileError("version", `delta version ${version} is not known here; update sparsedevice`);
  }
  const sealed = delta.slice();
  sealed.fill(0, SEAL, SEAL + 4);
  if (crc32(sealed) !== view.getUint32(SEAL, true)) {
    throw new PackedFileError("checksum", "the delta is damaged or cut short; fetch it again");
  }
  const hex = (from) => Array.from(delta.subarray(from, from + 32), (b) => b.toString(16).padStart(2, "0")).join("");
  return {
    resultBytes: Number(view.getBigUint64(16, true)),
    bodyBytes: Number(view.getBigUint64(24, true)),
    base: hex(32),
    result: hex(64),
  };
}

async function inflate(stream, length) {
  const damaged = () => bodyError(`the compressed part does not hold ${length} bytes`);
  if (length > MAX_RATIO * stream.length) {
    throw damaged();
  }
  const body = new Uint8Array(length);
  let done = 0;
  try {
    const reader = new Blob([stream]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      body.set(part.value, done); /* a RangeError where it is too long */
      done += part.value.length;
    }
  } catch {
    throw damaged();
  }
  if (done !== length) {
    throw damaged();
  }
  return body;
}

/* What a delta claims may be larger than any array. */
function inRange(work) {
  try {
    return work();
  } catch (error) {
    throw error instanceof RangeError ? bodyError(error.message) : error;
  }
}
