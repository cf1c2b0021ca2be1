/** Expand compact sparsedevice files, in a browser or in Node (18 or newer). */

/**
 * The packed model that a compact file stands for, byte for byte.
 *
 * Throws a `PackedFileError` of sparsedevice.js whose `promise` is "magic" or "version" where this is no compact file
 * that is known here, and "truncated", "checksum", "lengths", "body", "streams" or "result" where it is damaged: then
 * fetch it again.
 */
export function expand(coded: ArrayBuffer | ArrayBufferView): Promise<Uint8Array>;
