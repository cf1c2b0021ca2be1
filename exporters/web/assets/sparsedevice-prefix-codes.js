// The entropy coder of compact files: prefix codes of at most 9 bits in eight streams (docs/compact.md).

import { PackedFileError } from "./sparsedevice-errors.js";

const CODE_BITS = 9;
const SLOTS = 2 ** CODE_BITS;
const ONLY_SYMBOL = 15; /* "length" of the code of a table's only symbol, which takes no bits */
const STREAMS = 8;

/* Code lengths of all tables, and the eight streams, in the order of the file. */
export function takeCoded(source, streams, tables, symbols) {
  const lengths = source.raw(tables * symbols);
  const parts = Array.from({ length: STREAMS }, () => source.number()).map((bytes) => streams.raw(bytes));
  const slots = new Uint16Array(tables * SLOTS);
  for (let table = 0; table < tables; table++) {
    fillTable(
      lengths.subarray(table * symbols, (table + 1) * symbols),
      slots.subarray(table * SLOTS, (table + 1) * SLOTS),
    );
  }
  return { slots, parts, tables };
}

/* So many bytes; byte r stands in stream r mod 8. */
export function decodeBytes({ slots, parts }, count) {
  const out = new Uint8Array(count);
  parts.forEach((part, stream) => {
    const bits = new BitReader(part);
    for (let i = stream; i < count; i += STREAMS) {
      out[i] = bits.symbol(slots, 0);
    }
    bits.end();
  });
  return out;
}

/* Columns of rows; row r stands in stream r mod 8. A symbol is a gap, but for its `lowBits` lowest bits. */
export function decodeColumns({ slots, parts, tables }, pointers, dim, lowBits, shift) {
  const columns = new Uint16Array(pointers.at(-1));
  parts.forEach((part, stream) => {
    const bits = new BitReader(part);
    for (let row = stream; row + 1 < pointers.length; row += STREAMS) {
      let next = 0;
      for (let i = pointers[row]; i < pointers[row + 1]; i++) {
        const high = bits.symbol(slots, Math.min(next >> shift, tables - 1) * SLOTS);
        const column = next + ((high << lowBits) | (lowBits ? bits.take(lowBits) : 0));
        if (column >= dim) {
          throw damaged();
        }
        columns[i] = column;
        next = column + 1;
      }
    }
    bits.end();
  });
  return columns;
}

/* Bits from the highest of the first byte on; zeros beyond the end, which `end` then finds out. */
class BitReader {
  #bytes;
  #at = 0;
  #held = 0; /* the next bits, from the highest on */
  #count = 0; /* how many of them are there */

  constructor(bytes) {
    this.#bytes = bytes;
  }

  #fill() {
    while (this.#count <= 24) {
      this.#held |= (this.#bytes[this.#at] ?? 0) << (24 - this.#count);
      this.#at++;
      this.#count += 8;
    }
  }

  symbol(slots, table) {
    if (this.#count < CODE_BITS) {
      this.#fill();
    }
    const entry = slots[table + (this.#held >>> (32 - CODE_BITS))];
    this.#held <<= entry & 15;
    this.#count -= entry & 15;
    return entry >> 8;
  }

  take(width) {
    if (this.#count < width) {
      this.#fill();
    }
    const bits = this.#held >>> (32 - width);
    this.#held <<= width;
    this.#count -= width;
    return bits;
  }

  end() {
    if (Math.ceil((8 * this.#at - this.#count) / 8) !== this.#bytes.length) {
      throw damaged();
    }
  }
}

/* The slots of a table: for all 9 bits that may come next the length of the code, and the symbol above bit 8.
   Codes are canonical: shorter ones first, equally long ones in the order of their symbols. */
function fillTable(lengths, slots) {
  const begin = new Uint32Array(CODE_BITS + 1);
  let [only, used] = [-1, 0];
  lengths.forEach((length, symbol) => {
    if (length && (only >= 0 || (length > CODE_BITS && length !== ONLY_SYMBOL))) {
      throw damaged();
    }
    if (length === ONLY_SYMBOL) {
      only = symbol;
    } else if (length) {
      begin[length] += SLOTS >> length;
    }
  });
  for (let length = 1; length <= CODE_BITS; length++) {
    [begin[length], used] = [used, used + begin[length]];
  }
  if (only >= 0 ? used : used && used !== SLOTS) {
    throw damaged();
  }
  if (only >= 0) {
    slots.fill(only << 8);
  }
  lengths.forEach((length, symbol) => {
    if (length && length <= CODE_BITS) {
      slots.fill((symbol << 8) | length, begin[length], (begin[length] += SLOTS >> length));
    }
  });
}

function damaged() {
  return new PackedFileError("streams", "the coded columns or values are damaged; fetch the file again");
}
