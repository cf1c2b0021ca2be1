// Packed files as bytes: what they say, and the file that says it (docs/format.md).

import { bodyError } from "./sparsedevice-errors.js";
import { TextList, TextWriter } from "./sparsedevice-strings.js";

const HEADER_BYTES = 64;
const ENTRY_BYTES = 24;
const KINDS = 23;
const SLICE = 64;
const BASE = 16; /* unit of the bases of columns in slices of more than 256 */
const BYTE_ORDER = 0x0a0b0c0d;
const [F32, F16, , INT4] = [0, 1, 2, 3];
const [ITEMS, USERS, SEEN, USER_IDS] = [1, 5, 9, 14];

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) {
    crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return crc;
});

/* CRC-32 as in zlib. */
export function crc32(bytes) {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) {
    crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[i]) & 255];
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/* Reads the sections of a file that has been verified. */
export class PackedReader {
  #data;
  #view;
  #sections = new Map();

  constructor(data) {
    this.#data = data;
    this.#view = new DataView(data.buffer, data.byteOffset, data.length);
    [this.nItems, this.nUsers, this.dim] = [16, 20, 24].map((at) => this.#view.getUint32(at, true));
    [this.values, this.layout] = data.subarray(28, 30);
    for (let i = 0; i < this.#view.getUint32(56, true); i++) {
      const at = HEADER_BYTES + ENTRY_BYTES * i;
      const [offset, length] = [at + 8, at + 16].map((place) => Number(this.#view.getBigUint64(place, true)));
      this.#sections.set(this.#view.getUint32(at, true), data.subarray(offset, offset + length));
    }
  }

  /* Bytes of a section; null where the file has none. */
  bytes(kind) {
    return this.#sections.get(kind) ?? null;
  }

  /* Numbers of 32 bits of a section; null where the file has none. */
  words(kind) {
    return this.#sections.has(kind) ? new Uint32Array(this.bytes(kind).slice().buffer) : null;
  }

  strings(first) {
    return this.#sections.has(first)
      ? new TextList(this.bytes(first + 1), first === USER_IDS ? this.nUsers : this.nItems)
      : null;
  }

  seen() {
    return this.#sections.has(SEEN) ? { pointers: this.words(SEEN), rows: this.words(SEEN + 1) } : null;
  }

  /* The table whose pointers are section `first`, without padding; null where the file has none. */
  rows(first) {
    if (!this.#sections.has(first)) {
      return null;
    }
    return first === ITEMS && this.layout === 1 ? this.#slices() : this.#csr(first);
  }

  #csr(first) {
    const [pointers, stored, scales] = [this.words(first), this.bytes(first + 2), this.words(first + 3)];
    const given = this.bytes(first + 1);
    const columns = this.dim > 256 ? new Uint16Array(given.slice().buffer) : Uint16Array.from(given);
    if (this.values === F32 || this.values === F16) {
      const Bits = this.values === F32 ? Uint32Array : Uint16Array;
      return { pointers, columns, values: Uint32Array.from(new Bits(stored.slice().buffer)), scales };
    }
    const nibble = (_, i) => extend(stored[i >> 1] >> (4 * (i & 1)));
    const bytes = this.values === INT4 ? { length: columns.length } : stored;
    const values = Uint32Array.from(bytes, this.values === INT4 ? nibble : (byte) => byte);
    return { pointers, columns, values, scales };
  }

  #slices() {
    const [pointers, columns, stored] = [this.bytes(1).slice(), this.bytes(2), this.bytes(3)];
    const starts = new Uint32Array(pointers.buffer, 0, Math.ceil(this.nItems / SLICE) + 1);
    const bases = pointers.subarray(starts.byteLength);
    const rows = { pointers: new Uint32Array(this.nItems + 1), columns: [], values: [] };
    for (let row = 0; row < this.nItems; row++) {
      const slice = Math.floor(row / SLICE);
      const [begin, steps] = [SLICE * starts[slice], starts[slice + 1] - starts[slice]];
      for (let i = 0; i < steps; i++) {
        const offset = sliceOffset(steps, row % SLICE, i);
        const [byte, shift] = nibbleAt(steps, offset);
        const value = this.values === INT4 ? extend(stored[begin / 2 + byte] >> shift) : stored[begin + offset];
        if (value) {
          rows.columns.push(columns[begin + offset] + BASE * (bases[begin / SLICE + i] ?? 0));
          rows.values.push(value);
        }
      }
      rows.pointers[row + 1] = rows.values.length;
    }
    rows.columns = Uint16Array.from(rows.columns);
    rows.values = Uint32Array.from(rows.values);
    rows.scales = this.words(4).subarray(0, this.nItems);
    return rows;
  }
}

/* Four bits of two's complement as a byte. */
function extend(bits) {
  return (((bits & 15) ^ 8) - 8) & 255;
}

/* Where an entry of a lane lies in a slice of `steps` steps. */
function sliceOffset(steps, lane, place) {
  const [quads, pairs] = [steps & ~3, steps & 2];
  if (place < quads) {
    return SLICE * (place & ~3) + 4 * lane + (place & 3);
  }
  return place < quads + pairs ? SLICE * quads + 2 * lane + place - quads : SLICE * (quads + pairs) + lane;
}

/* Byte, and bit in it, of the int4 value of the entry at `offset` of a slice. */
function nibbleAt(steps, offset) {
  const half = offset < SLICE * (steps & ~1) ? 64 : 32;
  const inside = offset % (2 * half);
  return [(offset - inside) / 2 + (inside % half), inside < half ? 0 : 4];
}

/* The packed file that says this, as every writer makes it. */
export function buildFile(content, resultBytes) {
  const { head } = content;
  const parts = new Map();
  const tables = [[ITEMS, content.items]];
  if (content.users) {
    tables.push([USERS, content.users]);
  }
  for (const [first, rows] of tables) {
    const sliced = first === ITEMS && head.layout === 1;
    const made = sliced ? sliceParts(rows, head, resultBytes) : rowParts(rows, head, resultBytes);
    made.forEach((part, i) => parts.set(first + i, part));
  }
  for (const [first, { strings, symbols }] of content.strings) {
    new TextWriter(strings, symbols, crc32).sections(first).forEach((part, i) => parts.set(first + i, part));
  }
  const { seen, weights, matrix, metadata, rule, tower } = content;
  const rest = [seen?.pointers, seen?.rows, weights, matrix, metadata, rule, tower];
  [SEEN, SEEN + 1, 19, 20, 21, 22, KINDS].forEach((kind, i) => rest[i] && parts.set(kind, asBytes(rest[i])));
  const counts = [content.items, content.users].map((rows) => rows?.columns.length ?? 0);
  return join(head, [...counts, seen?.rows.length ?? 0], parts);
}

function asBytes(array) {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function checkRoom(bytes, most) {
  if (bytes > most) {
    throw bodyError(`the rows do not fit the ${most} bytes that it promises`);
  }
}

function rowParts({ pointers, columns, values, scales }, { dim, values: coding }, most) {
  const narrow = dim > 256 ? columns : Uint8Array.from(columns);
  checkRoom(narrow.byteLength, most);
  let stored = values;
  if (coding === INT4) {
    stored = new Uint8Array(Math.ceil(values.length / 2));
    values.forEach((value, i) => (stored[i >> 1] |= (value & 15) << (4 * (i & 1))));
  } else if (coding !== F32) {
    stored = (coding === F16 ? Uint16Array : Uint8Array).from(values);
  }
  return [pointers, narrow, stored, scales].map(asBytes);
}

/* The step of a slice that each entry stands at: its place in the row; or, above 256 columns, four steps
   after four, whose base is that of the lowest column that a row still has, up to four entries of the 256
   columns from there on. */
function placeEntries({ pointers, columns }, first, last, dim, places) {
  let steps = 0;
  if (dim <= 256) {
    for (let row = first; row < last; row++) {
      for (let i = pointers[row]; i < pointers[row + 1]; i++) {
        places[i] = i - pointers[row];
      }
      steps = Math.max(steps, pointers[row + 1] - pointers[row]);
    }
    return { steps, groups: [] };
  }
  const next = pointers.slice(first, last);
  const groups = [];
  for (;;) {
    const column = (i, lane) => (i < pointers[first + lane + 1] ? columns[i] : dim);
    const lowest = next.reduce((least, i, lane) => Math.min(least, column(i, lane)), dim);
    if (lowest === dim) {
      return { steps, groups };
    }
    const base = Math.floor(lowest / BASE);
    const begin = 4 * groups.length;
    for (let lane = 0; lane < next.length; lane++) {
      const end = Math.min(pointers[first + lane + 1], next[lane] + 4);
      for (let place = begin; next[lane] < end && columns[next[lane]] < BASE * base + 256; next[lane]++, place++) {
        places[next[lane]] = place;
        steps = Math.max(steps, place + 1);
      }
    }
    groups.push(base);
  }
}

function sliceParts(rows, { nItems, dim, values: coding }, most) {
  const { pointers, columns, values, scales } = rows;
  const starts = new Uint32Array(Math.ceil(nItems / SLICE) + 1);
  const places = new Uint16Array(columns.length);
  const bases = [];
  for (let slice = 0; slice + 1 < starts.length; slice++) {
    const last = Math.min(nItems, SLICE * (slice + 1));
    const { steps, groups } = placeEntries(rows, SLICE * slice, last, dim, places);
    starts[slice + 1] = starts[slice] + steps;
    checkRoom(SLICE * starts[slice + 1], most);
    for (let step = 0; groups.length && step < steps; step++) {
      bases.push(groups[step >> 2]);
    }
  }
  const steps = starts.at(-1);
  const laid = new Uint8Array(SLICE * steps);
  const stored = new Uint8Array(coding === INT4 ? laid.length / 2 : laid.length);
  for (let row = 0; row < nItems; row++) {
    const slice = Math.floor(row / SLICE);
    const [begin, count] = [SLICE * starts[slice], starts[slice + 1] - starts[slice]];
    for (let i = pointers[row]; i < pointers[row + 1]; i++) {
      const offset = sliceOffset(count, row % SLICE, places[i]);
      laid[begin + offset] = columns[i] - BASE * (bases[begin / SLICE + places[i]] ?? 0);
      if (coding === INT4) {
        const [byte, shift] = nibbleAt(count, offset);
        stored[begin / 2 + byte] |= (values[i] & 15) << shift;
      } else {
        stored[begin + offset] = values[i];
      }
    }
  }
  const padded = new Float32Array(SLICE * (starts.length - 1)).fill(1);
  new Uint32Array(padded.buffer).set(scales);
  const both = new Uint8Array(starts.byteLength + bases.length);
  both.set(asBytes(starts));
  both.set(bases, starts.byteLength);
  return [both, laid, stored, padded].map(asBytes);
}

/* Header, section table and sections, each at a multiple of 64. */
function join(head, counts, parts) {
  const kinds = [...parts.keys()].sort((a, b) => a - b);
  const table = HEADER_BYTES + ENTRY_BYTES * kinds.length;
  const ends = [table];
  for (const kind of kinds) {
    ends.push(Math.ceil(ends.at(-1) / 64) * 64 + parts.get(kind).length);
  }
  const file = new Uint8Array(ends.at(-1));
  const view = new DataView(file.buffer);
  file.set([0x93, 0x53, 0x44, 0x56, 0x0d, 0x0a, 0x1a, 0x0a]);
  [1, BYTE_ORDER, head.nItems, head.nUsers, head.dim].forEach((number, i) => view.setUint32(8 + 4 * i, number, true));
  const sorted = head.layout === 1 && head.dim <= 256 ? 1 : 0; /* docs/format.md, "Slices" */
  file.set([head.values, head.layout, head.similarity, sorted], 28);
  counts.forEach((count, i) => view.setBigUint64(32 + 8 * i, BigInt(count), true));
  view.setUint32(56, kinds.length, true);
  kinds.forEach((kind, i) => {
    const [at, part, offset] = [HEADER_BYTES + ENTRY_BYTES * i, parts.get(kind), ends[i + 1] - parts.get(kind).length];
    view.setUint32(at, kind, true);
    view.setUint32(at + 4, crc32(part), true);
    view.setBigUint64(at + 8, BigInt(offset), true);
    view.setBigUint64(at + 16, BigInt(part.length), true);
    file.set(part, offset);
  });
  view.setUint32(HEADER_BYTES - 4, crc32(file.subarray(0, table)), true);
  return file;
}
