// Files that carry their own checksum and the sha256 of what they lead to: deltas and compact files.

import { PackedFileError, SparseDeviceError, bodyError } from "./sparsedevice-errors.js";
import { crc32 } from "./sparsedevice-packed.js";

export const PACKED = "\x93SDV\r\n\x1a\n";
export const COMPACT = "\x93SDZ\r\n\x1a\n";
export const DELTA = "\x93SDD\r\n\x1a\n";
const VERSION = 1;
const MAX_RATIO = 1032; /* deflate never shrinks more than this */
const SEAL = 12;

/** The sha256 of bytes, as hexadecimal digits. */
export async function sha256(bytes) {
  const { subtle } = globalThis.crypto ?? (await import("node:crypto")).webcrypto;
  if (!subtle) {
    throw new SparseDeviceError("this page cannot check a model: browsers do so over https only (or at localhost)");
  }
  const digest = new Uint8Array(await subtle.digest("SHA-256", bytes));
  return hex(digest);
}

/* Bytes of whatever kind an app has them in. */
export function toBytes(data) {
  if (data instanceof ArrayBuffer) {
    return new Uint8Array(data);
  }
  if (!ArrayBuffer.isView(data)) {
    throw new SparseDeviceError("give models and deltas as bytes: an ArrayBuffer or a view of one");
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

export function begins(bytes, magic) {
  return bytes.length >= magic.length && [...magic].every((letter, i) => bytes[i] === letter.charCodeAt(0));
}

/* A view of the header, once magic, version and checksum are right. `what` is "delta" or "compact file". */
export function openSealed(bytes, magic, headerBytes, what) {
  if (!begins(bytes, magic.slice(0, bytes.length))) {
    throw new PackedFileError("magic", `this is not a sparsedevice ${what}; fetch it again`);
  }
  if (bytes.length < headerBytes) {
    throw new PackedFileError("truncated", `the ${what} ends after ${bytes.length} bytes, inside its header`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = view.getUint32(8, true);
  if (version !== VERSION) {
    throw new PackedFileError("version", `${what} version ${version} is not known here; update sparsedevice`);
  }
  const sealed = bytes.slice();
  sealed.fill(0, SEAL, SEAL + 4);
  if (crc32(sealed) !== view.getUint32(SEAL, true)) {
    throw new PackedFileError("checksum", `the ${what} is damaged or cut short; fetch it again`);
  }
  return view;
}

export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/* Whether deflate, and what follows it here, can have made `length` bytes of so many. */
export function canHold(bytes, length) {
  return length <= MAX_RATIO * bytes;
}

export async function inflate(stream, length) {
  const damaged = () => bodyError(`the compressed part does not hold ${length} bytes`);
  if (!canHold(stream.length, length)) {
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

/* What a file claims may be larger than any array. */
export function inRange(work) {
  try {
    return work();
  } catch (error) {
    throw error instanceof RangeError ? bodyError(error.message) : error;
  }
}
