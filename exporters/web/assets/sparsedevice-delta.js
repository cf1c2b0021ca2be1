/**
 * Make of a packed file the one that a delta leads to, in a browser or in Node (18 or newer).
 *
 *     import { applyDelta, updateCached } from "./sparsedevice-delta.js";
 *     const model = await applyDelta(oldModel, delta);                       // bytes in, bytes out
 *     await updateCached(await caches.open("models"), "model.sd", delta);    // in the browser's cache
 *
 * The types are in sparsedevice-delta.d.ts, the form of deltas in the project's docs/delta.md.
 */

import { Source } from "./sparsedevice-content.js";
import { readBody } from "./sparsedevice-delta-body.js";
import { PackedFileError, SparseDeviceError } from "./sparsedevice-errors.js";
import { PackedReader, buildFile } from "./sparsedevice-packed.js";
import { COMPACT, DELTA, PACKED, begins, hex, inRange, inflate, openSealed, sha256, toBytes } from "./sparsedevice-sealed.js";

export { sha256 };

const HEADER_BYTES = 96;

/**
 * The file that `delta` makes of `base`, as new bytes: the right one, or an error.
 */
export async function applyDelta(base, delta) {
  const [old, update] = [toBytes(base), toBytes(delta)];
  if (begins(update, COMPACT)) {
    const { expand } = await import("./sparsedevice-compact.js");
    return expand(update);
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

function readHeader(delta) {
  const view = openSealed(delta, DELTA, HEADER_BYTES, "delta");
  return {
    resultBytes: Number(view.getBigUint64(16, true)),
    bodyBytes: Number(view.getBigUint64(24, true)),
    base: hex(delta.subarray(32, 64)),
    result: hex(delta.subarray(64, 96)),
  };
}
