/** Update packed sparsedevice files by delta, in a browser or in Node (18 or newer). */

type Bytes = ArrayBuffer | ArrayBufferView;

/**
 * The model that `delta` makes of `base`; `delta` may also be a whole packed model, which is then checked.
 *
 * Throws a `PackedFileError` of sparsedevice.js whose `promise` is "base" where the delta is for another model,
 * "checksum", "truncated", "body" or "result" where it is damaged, "magic" or "version" where it is no delta that
 * is known here: then fetch the full model.
 */
export function applyDelta(base: Bytes, delta: Bytes): Promise<Uint8Array>;

/**
 * Update the model that a Cache keeps under `request`, and return the new one. The entry is replaced once the
 * new model is verified; after any error it is what it was.
 */
export function updateCached(cache: Cache, request: RequestInfo | URL, delta: Bytes): Promise<Uint8Array>;

/** The sha256 of bytes, as hexadecimal digits. */
export function sha256(bytes: Bytes): Promise<string>;
