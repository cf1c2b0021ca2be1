// Lists of strings in a packed file: read, and written as every writer does (docs/format.md, "Strings").

import { bitLength, NUMBER_BLOCK, putBlock, takeBlock } from "./sparsedevice-blocks.js";
import { columnsOf, readColumns } from "./sparsedevice-columns.js";
import { bodyError } from "./sparsedevice-errors.js";

const [TEXT, NUMBERS, COLUMNS] = [0, 1, 3];
const HEAD_BYTES = 20;
const SLACK = 8; /* zero bytes after an array of bits */
const TEXT_BLOCK = 8;
const MAX_DIGITS = 10;
const MAX_WIDTH = 12;
const [NOTHING, LITERAL, END] = [0xeff, 0xf00, 255];
const MAX_SYMBOL_BYTES = 64;
const U32 = 2 ** 32;
const TITLES = 17;

class BitReader {
  constructor(data) {
    this.data = data;
    this.at = 0;
  }

  /* A number of at most 32 bits. */
  take(width) {
    const byte = Math.floor(this.at / 8);
    let number = 0;
    for (let i = 4; i >= 0; i--) {
      number = 256 * number + this.data[byte + i];
    }
    number = Math.floor(number / 2 ** (this.at % 8)) % 2 ** width;
    this.at += width;
    return number;
  }
}

class BitWriter {
  #bytes = new Uint8Array(1024);
  bits = 0;

  put(number, width) {
    let at = Math.floor(this.bits / 8);
    if (at + 8 > this.#bytes.length) {
      const longer = new Uint8Array(2 * this.#bytes.length);
      longer.set(this.#bytes);
      this.#bytes = longer;
    }
    if (number < 1 << 24) {
      for (let rest = number << this.bits % 8; rest; rest >>>= 8) {
        this.#bytes[at++] |= rest;
      }
    } else {
      for (let rest = number * 2 ** (this.bits % 8); rest > 0; rest = Math.floor(rest / 256)) {
        this.#bytes[at++] |= rest % 256;
      }
    }
    this.bits += width;
  }

  /* All bits, after `before` bytes of room. */
  toBytes(before = 0) {
    const used = Math.ceil(this.bits / 8);
    const bytes = new Uint8Array(before + used + SLACK);
    bytes.set(this.#bytes.subarray(0, used), before);
    return bytes;
  }
}

/* What text is coded in: bytes, and pairs of symbols. */
export class SymbolTable {
  constructor(entries, [width, more, nShort, firstFinal, nFinal]) {
    Object.assign(this, { entries, width, more, nShort, firstFinal, nFinal });
    this.texts = this.#spell();
  }

  /* Read a table as a delta has it. */
  static take(source) {
    const [n, ...codes] = Array.from({ length: 6 }, () => source.number());
    const parts = source.planes(2 * n, 2);
    const [width, more, ...numbers] = codes;
    if (n > NOTHING || width < 1 || width > MAX_WIDTH || more > MAX_WIDTH || Math.max(...numbers) > 0xffff) {
      throw bodyError(`a table of ${n} symbols with codes of ${width} + ${more} bits`);
    }
    if (parts.some((part) => part > 0xfff)) {
      throw bodyError("a symbol has a part that no table holds");
    }
    return new SymbolTable(Array.from({ length: n }, (_, i) => parts[2 * i] + 4096 * parts[2 * i + 1]), codes);
  }

  isFinal(symbol) {
    return symbol >= this.firstFinal && symbol < this.firstFinal + this.nFinal;
  }

  bits(symbol) {
    return symbol < this.nShort ? this.width : this.width + this.more;
  }

  code(symbol) {
    const over = symbol - this.nShort;
    return over < 0 ? symbol : this.nShort + (over >> this.more) + (over % 2 ** this.more) * 2 ** this.width;
  }

  /* Spell out all symbols, those first whose parts are spelt out. */
  #spell() {
    const texts = new Array(this.entries.length).fill(null);
    const part = (number) => (number >= LITERAL ? [number - LITERAL] : number === NOTHING ? [] : texts[number]);
    let waiting = [...this.entries.keys()];
    while (waiting.length) {
      const still = waiting.filter((symbol) => {
        const [left, right] = [this.entries[symbol] % 4096, Math.floor(this.entries[symbol] / 4096)];
        this.#checkPair(symbol, left, right);
        const [first, second] = [part(left), part(right)];
        texts[symbol] = first && second ? [...first, ...second] : null;
        if (texts[symbol]?.length > MAX_SYMBOL_BYTES) {
          throw bodyError(`symbol ${symbol} has ${texts[symbol].length} bytes`);
        }
        return !texts[symbol];
      });
      if (still.length === waiting.length) {
        throw bodyError("a symbol stands for itself");
      }
      waiting = still;
    }
    return texts;
  }

  #checkPair(symbol, left, right) {
    const ends = (part) => (part >= LITERAL ? part === LITERAL + END : this.isFinal(part));
    const exists = (part) => part < this.entries.length || part >= LITERAL;
    const last = right === NOTHING ? left : right;
    const good = exists(left) && exists(last) && (right === NOTHING ? left >= LITERAL : !ends(left));
    if (!good || ends(last) !== this.isFinal(symbol)) {
      throw bodyError(`symbol ${symbol} stands for the symbols ${left} and ${right}`);
    }
  }

  /* A function that gives the symbols with the shortest codes that make a string and its end. */
  cutter() {
    const tree = new SymbolTree(this.texts);
    const bits = Uint8Array.from(this.texts.keys(), (symbol) => this.bits(symbol));
    let [cost, last] = [new Float64Array(0), new Uint16Array(0)];
    return (string) => {
      const n = string.length + 1;
      if (cost.length <= n) {
        [cost, last] = [new Float64Array(2 * n + 1), new Uint16Array(2 * n + 1)];
      }
      cost.fill(Infinity, 1, n + 1);
      for (let from = 0; from < n; from++) {
        let node = cost[from] < Infinity ? 0 : -1;
        for (let at = from; at < n; at++) {
          node = tree.next(node, at < string.length ? string[at] : END);
          if (node < 0) {
            break;
          }
          const symbol = tree.symbols[node];
          if (symbol >= 0 && cost[from] + bits[symbol] < cost[at + 1]) {
            cost[at + 1] = cost[from] + bits[symbol];
            last[at + 1] = symbol;
          }
        }
      }
      if (cost[n] === Infinity) {
        throw bodyError("a string is not made of the symbols given");
      }
      const symbols = [];
      for (let end = n; end > 0; end -= this.texts[last[end]].length) {
        symbols.push(last[end]);
      }
      return symbols.reverse();
    };
  }
}

/* What symbols stand for as a tree: its branches by node and byte in a hash table with linear probing. */
class SymbolTree {
  #keys;
  #nodes;
  #size = 1;
  #shift;

  constructor(texts) {
    const most = texts.reduce((sum, text) => sum + text.length, 1);
    this.#shift = Math.clz32(2 * most) - 1;
    this.#keys = new Int32Array(2 ** (32 - this.#shift)).fill(-1);
    this.#nodes = new Int32Array(this.#keys.length);
    this.symbols = new Int32Array(most).fill(-1); /* the symbol that ends at a node */
    texts.forEach((text, symbol) => {
      let node = 0;
      for (const byte of text) {
        const slot = this.#slot(node, byte);
        if (this.#keys[slot] < 0) {
          this.#keys[slot] = (node << 8) | byte;
          this.#nodes[slot] = this.#size++;
        }
        node = this.#nodes[slot];
      }
      this.symbols[node] = this.symbols[node] < 0 ? symbol : this.symbols[node]; /* of two with one text the first */
    });
  }

  #slot(node, byte) {
    const key = (node << 8) | byte;
    let slot = Math.imul(key, 0x9e3779b1) >>> this.#shift;
    while (this.#keys[slot] !== key && this.#keys[slot] >= 0) {
      slot = (slot + 1) & (this.#keys.length - 1);
    }
    return slot;
  }

  /* The node that a byte leads to, -1 if none. */
  next(node, byte) {
    const slot = node < 0 ? -1 : this.#slot(node, byte);
    return slot < 0 || this.#keys[slot] < 0 ? -1 : this.#nodes[slot];
  }
}

/* The strings of a section of codes. */
export class TextList {
  #codes;
  #n;
  #head;

  constructor(codes, n) {
    const view = new DataView(codes.buffer, codes.byteOffset, codes.length);
    this.#codes = codes;
    this.#n = n;
    const [nTable, nShort, firstFinal, nFinal] = [4, 6, 8, 10].map((at) => view.getUint16(at, true));
    this.#head = { coding: codes[0], width: codes[1], more: codes[2], nTable, nShort, firstFinal, nFinal };
  }

  /* The table of a list of text; null for other lists. */
  get symbols() {
    const { coding, width, more, nTable, nShort, firstFinal, nFinal } = this.#head;
    if (coding !== TEXT) {
      return null;
    }
    const entry = (_, i) => [0, 1, 2].reduce((sum, j) => sum + this.#codes[HEAD_BYTES + 3 * i + j] * 256 ** j, 0);
    return new SymbolTable(Array.from({ length: nTable }, entry), [width, more, nShort, firstFinal, nFinal]);
  }

  /* All strings as bytes. */
  all() {
    const { coding, nTable } = this.#head;
    const stream = new BitReader(this.#codes.subarray(HEAD_BYTES + 3 * nTable));
    return coding === NUMBERS ? this.#numbers(stream) : coding === COLUMNS ? this.#columns(stream) : this.#text(stream);
  }

  #numbers(stream) {
    const { width, nShort } = this.#head;
    const numbers = [];
    while (numbers.length < this.#n) {
      numbers.push(...takeBlock(stream, Math.min(NUMBER_BLOCK, this.#n - numbers.length), width));
    }
    return numbers.map((number) => digitsOf(String(number).padStart(nShort, "0")));
  }

  #columns(stream) {
    const { nTable, nShort, more } = this.#head;
    const table = this.#codes.subarray(HEAD_BYTES, HEAD_BYTES + 3 * nTable);
    return readColumns(stream, table, nShort, this.#n, more);
  }

  #text(stream) {
    const { width, more, nShort } = this.#head;
    const table = this.symbols;
    return Array.from({ length: this.#n }, () => {
      const bytes = [];
      for (let symbol = -1; !table.isFinal(symbol); ) {
        const code = stream.take(width);
        symbol = code < nShort ? code : nShort + (code - nShort) * 2 ** more + stream.take(more);
        bytes.push(...table.texts[symbol]);
      }
      return Uint8Array.from(bytes.slice(0, -1));
    });
  }
}

/* The sections of a list of strings. */
export class TextWriter {
  #strings;
  #symbols;
  #crc32;

  constructor(strings, symbols, crc32) {
    this.#strings = strings;
    this.#symbols = symbols;
    this.#crc32 = crc32;
    if (strings.some((string) => string.includes(END))) {
      throw bodyError("a string is no UTF-8");
    }
  }

  /* Starts, codes, and for ids the index. */
  sections(first) {
    const coded = shortest([this.#numbers(), this.#columns()].filter(Boolean)) ?? this.#text();
    return first === TITLES ? coded : [...coded, this.#index()];
  }

  #join(codes, starts, table, [coding, width, more, nShort, firstFinal, nFinal]) {
    const startBits = starts.length ? bitLength(starts.at(-1)) : 0;
    const packed = new BitWriter();
    starts.forEach((start) => packed.put(start, startBits));
    const bytes = codes.toBytes(HEAD_BYTES + table.length);
    const view = new DataView(bytes.buffer);
    bytes.set([coding, width, more, startBits]);
    [table.length / 3, nShort, firstFinal, nFinal].forEach((number, i) => view.setUint16(4 + 2 * i, number, true));
    view.setBigUint64(12, BigInt(codes.bits), true);
    bytes.set(table, HEAD_BYTES);
    return [packed.toBytes(), bytes];
  }

  /* Blocks of the first number, and differences in as many bits as the block needs; null where one is none. */
  #numbers() {
    const numbers = this.#strings.map(numberOf);
    if (numbers.some((number) => number < 0)) {
      return null;
    }
    const most = (list) => list.reduce((largest, number) => Math.max(largest, number), 0);
    const digits = most(this.#strings.filter((id) => id.length > 1 && id[0] === 48).map((id) => id.length));
    if (this.#strings.some((id) => id.length < digits)) {
      return null;
    }
    const width = Math.max(1, bitLength(most(numbers)));
    const [codes, starts] = [new BitWriter(), []];
    for (let row = 0; row < numbers.length; row += NUMBER_BLOCK) {
      starts.push(codes.bits);
      putBlock(codes, numbers.slice(row, row + NUMBER_BLOCK), width);
    }
    return this.#join(codes, starts, [], [NUMBERS, width, 0, digits, 0, 0]);
  }

  /* Letters as places in the alphabets of their columns, string by string, or with the first number of each in blocks
   * where that takes fewer bytes; null where lengths differ or are too large. */
  #columns() {
    const columns = columnsOf(this.#strings);
    if (!columns) {
      return null;
    }
    const { table, width, count, widths, numbers } = columns;
    const [n, own] = [this.#strings.length, widths.length];
    const ways = [0, ...widths.slice(0, 1)].map((first) => {
      const [codes, starts] = [new BitWriter(), []];
      for (let row = 0; row < n; row += NUMBER_BLOCK) {
        const [begin, end] = [own * row, own * Math.min(row + NUMBER_BLOCK, n)];
        if (first) {
          starts.push(codes.bits);
          putBlock(codes, Array.from(numbers.subarray(begin, end).filter((_, i) => i % own === 0)), first);
        }
        for (let i = begin; i < end; i++) {
          if (!first || i % own) {
            codes.put(numbers[i], widths[i % own]);
          }
        }
      }
      return this.#join(codes, starts, table, [COLUMNS, width, first, count, 0, 0]);
    });
    return shortest(ways);
  }

  #text() {
    const symbols = this.#symbols;
    if (!symbols) {
      throw bodyError("it lacks the symbols of a list of text");
    }
    const cut = symbols.cutter();
    const [codes, starts] = [new BitWriter(), []];
    const numbers = symbols.texts.map((_, symbol) => symbols.code(symbol));
    const bits = symbols.texts.map((_, symbol) => symbols.bits(symbol));
    this.#strings.forEach((string, row) => {
      if (row % TEXT_BLOCK === 0) {
        starts.push(codes.bits);
      }
      cut(string).forEach((symbol) => codes.put(numbers[symbol], bits[symbol]));
    });
    const table = symbols.entries.flatMap((entry) => [entry & 255, (entry >> 8) & 255, entry >> 16]);
    const { width, more, nShort, firstFinal, nFinal } = symbols;
    return this.#join(codes, starts, table, [TEXT, width, more, nShort, firstFinal, nFinal]);
  }

  /* The index of distinct ids: each lies at its slot, or right after the one before it. */
  #index() {
    const n = this.#strings.length;
    const m = n + Math.floor(n / 4) + 1;
    const first = Float64Array.from(this.#strings, (id) => slotOf(this.#crc32(id), m));
    const slots = [];
    for (const row of inOrder(first, m)) {
      while (slots.length < first[row]) {
        slots.push(-1);
      }
      slots.push(row);
    }
    while (slots.length < m) {
      slots.push(-1);
    }
    const width = bitLength(n);
    const codes = new BitWriter();
    slots.forEach((row) => codes.put(row < 0 ? 2 ** width - 1 : row, width));
    const section = codes.toBytes(4);
    new DataView(section.buffer).setUint32(0, slots.length, true);
    return section;
  }
}

/* Of sections of a list those of the fewest bytes, the first ones if alike. */
function shortest(ways) {
  const bytes = ([starts, codes]) => starts.length + codes.length;
  return ways.sort((a, b) => bytes(a) - bytes(b))[0]; /* stable */
}

/* Places of numbers from 0 to m - 1 in their order, those alike as they stand: sorted by counting. */
function inOrder(numbers, m) {
  const next = new Uint32Array(m + 1);
  numbers.forEach((number) => next[number + 1]++);
  for (let i = 0; i < m; i++) {
    next[i + 1] += next[i];
  }
  const order = new Uint32Array(numbers.length);
  numbers.forEach((number, place) => (order[next[number]++] = place));
  return order;
}

/* The bytes of digits. */
export function digitsOf(text) {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = text.charCodeAt(i);
  }
  return bytes;
}

/* The number below 2^32 that digits make, else -1. */
function numberOf(id) {
  let number = id.length && id.length <= MAX_DIGITS ? 0 : -1;
  for (let i = 0; i < id.length && number >= 0; i++) {
    number = id[i] < 48 || id[i] > 57 ? -1 : 10 * number + id[i] - 48;
  }
  return number < U32 ? number : -1;
}

/* hash * m / 2^32, exactly. */
function slotOf(hash, m) {
  return Math.floor(((hash >>> 16) * m + Math.floor(((hash & 0xffff) * m) / 65536)) / 65536);
}
