// Getting core and model: from the network, from files, or from bytes at hand; and memory to put them in.

import { ConfigError, SparseDeviceError, show } from "./sparsedevice-errors.js";

const PAGE_BYTES = 65536;

/* A module with one function that makes a vector: valid only where SIMD is. */
const SIMD_PROBE = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);

/** Whether this browser or Node runs WebAssembly SIMD. */
export function hasSimd() {
  return WebAssembly.validate(SIMD_PROBE);
}

export function align(address) {
  return address + 63 - ((address + 63) % 64); /* beyond 2^31, where bit operations end */
}

export function reserve(memory, bytes) {
  const missing = bytes - memory.buffer.byteLength;
  if (missing > 0) {
    try {
      memory.grow(Math.ceil(missing / PAGE_BYTES));
    } catch {
      throw new SparseDeviceError(
        `there is not enough memory for ${bytes.toLocaleString("en")} bytes; close other tabs, or export a smaller model`,
      );
    }
  }
  return true;
}

export async function loadCore(simd, given) {
  const name = simd ? "sparsedevice-simd.wasm" : "sparsedevice.wasm";
  const from = given ?? new URL(name, import.meta.url);
  if (from instanceof WebAssembly.Module) {
    return (await WebAssembly.instantiate(from)).exports;
  }
  const bytes = isBytes(from) ? from : await (await fetchOk(from)).arrayBuffer();
  try {
    return (await WebAssembly.instantiate(bytes)).instance.exports;
  } catch (error) {
    throw new SparseDeviceError(`${name} does not start: ${error.message}; serve the file of the bundle as it is`);
  }
}

/* A function that puts the model where `place(bytes)` says and returns how many bytes it has. A
 * network answer of known length goes straight into place, without a second copy. */
export async function startReading(source) {
  if (isBytes(source)) {
    return (place, memory) => fill(place, memory, source);
  }
  const response = typeof Response !== "undefined" && source instanceof Response ? source : await fetchOk(source);
  if (!response.ok) {
    throw new SparseDeviceError(`cannot load ${response.url}: HTTP ${response.status}`);
  }
  const encoded = response.headers.get("content-encoding");
  const total = encoded ? 0 : Number(response.headers.get("content-length"));
  if (!total || !response.body) {
    return async (place, memory) => fill(place, memory, await response.arrayBuffer());
  }
  return (place, memory, onProgress) => stream(response, total, place, memory, onProgress);
}

function fill(place, memory, source) {
  const bytes = source instanceof ArrayBuffer ? new Uint8Array(source) : toBytes(source);
  if (isCompact(bytes)) {
    return fillExpanded(place, memory, bytes);
  }
  const at = place(bytes.length);
  new Uint8Array(memory.buffer).set(bytes, at);
  return bytes.length;
}

/* A model in the compact coding, which the core cannot use in place. */
function isCompact(bytes) {
  return [0x93, 0x53, 0x44, 0x5a].every((byte, i) => bytes[i] === byte);
}

async function fillExpanded(place, memory, coded) {
  const { expand } = await import("./sparsedevice-compact.js");
  return fill(place, memory, await expand(coded));
}

async function stream(response, total, place, memory, onProgress) {
  const at = place(total);
  const reader = response.body.getReader();
  let done = 0;
  for (;;) {
    const { value } = await reader.read().catch((error) => {
      throw new SparseDeviceError(`the model stopped loading after ${done} of ${total} bytes: ${error.message}`);
    });
    if (!value) {
      const model = new Uint8Array(memory.buffer, at, done);
      return isCompact(model) ? fillExpanded(place, memory, model.slice()) : done;
    }
    if (done + value.length > total) {
      throw new SparseDeviceError(`the server sent more than the ${total} bytes it announced; load the model again`);
    }
    new Uint8Array(memory.buffer).set(value, at + done);
    done += value.length;
    onProgress?.(done, total);
  }
}

async function fetchOk(source) {
  const url = source instanceof URL ? source : resolve(source);
  if (url.protocol === "file:" && typeof process !== "undefined") {
    const { readFile } = await import("node:fs/promises");
    return new Response(
      await readFile(url).catch((error) => {
        throw new SparseDeviceError(`cannot read ${url.pathname}: ${error.message}`);
      }),
    );
  }
  const response = await fetch(url).catch((error) => {
    throw new SparseDeviceError(`cannot load ${url}: ${error.message}; check the address and the network`);
  });
  if (!response.ok) {
    throw new SparseDeviceError(`cannot load ${url}: HTTP ${response.status}`);
  }
  return response;
}

/* In a browser against the page, in Node against the working folder. */
function resolve(source) {
  if (typeof source !== "string") {
    throw new ConfigError(`the model is ${show(source)}; give an address, a path, bytes or a Response`);
  }
  if (typeof document !== "undefined") {
    return new URL(source, document.baseURI);
  }
  if (typeof process !== "undefined" && !/^[a-z][a-z0-9+.-]+:\/\//i.test(source)) {
    const escaped = encodeURI(source.replaceAll("\\", "/")).replace(/[?#]/g, encodeURIComponent);
    const folder = `file:///${process.cwd().replaceAll("\\", "/").replace(/^\//, "")}/`;
    return new URL(/^[a-z]:/i.test(source) ? `file:///${escaped}` : escaped, folder);
  }
  return new URL(source, globalThis.location?.href);
}

function isBytes(value) {
  return value instanceof ArrayBuffer || ArrayBuffer.isView(value);
}

function toBytes(view) {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
