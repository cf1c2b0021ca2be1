// Strings of one length in a packed file, read and written (docs/format.md, "Columns").

import { NUMBER_BLOCK, takeBlock } from "./sparsedevice-blocks.js";

const MAX_COLUMNS = 64;
const MAX_WIDTH = 255;
const ENTRY_BYTES = 4;
const NUMBER_BITS = 32;

/* All `n` strings of a stream of bits, as bytes; `firstBits` where their first numbers lie in blocks, else 0. */
export function readColumns(stream, table, count, n, firstBits) {
  let fraction = 0; /* times the size of an alphabet, its whole part is a place there */
  let block = [];
  const take = (row, column, bits) => {
    if (!firstBits || column) {
      return stream.take(bits);
    }
    block = row % NUMBER_BLOCK ? block : takeBlock(stream, Math.min(NUMBER_BLOCK, n - row), bits);
    return block[row % NUMBER_BLOCK];
  };
  const letter = (row, column) => {
    const [low, high, bits, last] = table.subarray(ENTRY_BYTES * column, ENTRY_BYTES * (column + 1));
    fraction = bits || !column ? take(row, column, bits) / 2 ** bits : fraction;
    const place = Math.floor(fraction * (last + 1));
    fraction = fraction * (last + 1) - place;
    return table[low + 256 * high + place];
  };
  return Array.from({ length: n }, (_, row) => Uint8Array.from({ length: count }, (_, column) => letter(row, column)));
}

/* Letters as places in the alphabets of their columns: the table, the bits of a string, those of its numbers, and these of
 * all strings behind one another. Null where lengths differ or are too large. */
export function columnsOf(strings) {
  const count = strings[0].length;
  if (count > MAX_COLUMNS || strings.some((string) => string.length !== count)) {
    return null;
  }
  const alphabets = alphabetsOf(strings, count);
  const sizes = alphabets.map((alphabet) => alphabet.length);
  const bits = numberBits(sizes);
  const width = bits.reduce((sum, number) => sum + number, 0);
  if (width > MAX_WIDTH) {
    return null;
  }
  const widths = bits.filter(Boolean);
  const places = alphabets.map((alphabet) => {
    const own = new Uint8Array(256);
    alphabet.forEach((letter, place) => (own[letter] = place));
    return own;
  });
  const numbers = new Float64Array(strings.length * widths.length);
  strings.forEach((string, row) => {
    let at = (row + 1) * widths.length;
    let fraction = 0; /* of 2^32 */
    for (let column = count - 1; column >= 0; column--) {
      fraction = Math.ceil((places[column][string[column]] * 2 ** NUMBER_BITS + fraction) / sizes[column]);
      if (bits[column]) {
        numbers[--at] = Math.ceil(fraction / 2 ** (NUMBER_BITS - bits[column]));
        fraction = 0;
      }
    }
  });
  return { table: tableOf(alphabets, bits), width, count, widths, numbers };
}

/* The letters of each column, in order. */
function alphabetsOf(strings, count) {
  const used = new Uint8Array(256 * count);
  for (const string of strings) {
    for (let column = 0; column < count; column++) {
      used[256 * column + string[column]] = 1;
    }
  }
  const letters = Uint8Array.from({ length: 256 }, (_, letter) => letter);
  return Array.from({ length: count }, (_, column) => letters.filter((letter) => used[256 * column + letter]));
}

/* The columns, then their alphabets; what stands there already is used again. */
function tableOf(alphabets, bits) {
  let letters = "";
  const table = alphabets.flatMap((alphabet, column) => {
    const text = String.fromCharCode(...alphabet);
    letters += letters.includes(text) ? "" : text;
    const at = ENTRY_BYTES * alphabets.length + letters.indexOf(text);
    return [at % 256, at >> 8, bits[column], text.length - 1];
  });
  table.push(...Array.from(letters, (letter) => letter.charCodeAt(0)));
  return table.concat(new Array((3 - (table.length % 3)) % 3).fill(0));
}

/* Bits of the number that begins at each column, 0 where one goes on: fewest in all, earlier numbers longest. */
function numberBits(sizes) {
  const n = sizes.length;
  const fewest = new Array(n).fill(Infinity).concat(0);
  const ends = new Array(n);
  for (let begin = n - 1; begin >= 0; begin--) {
    let numbers = 1;
    for (let end = begin + 1; end <= n && numbers * sizes[end - 1] <= 2 ** NUMBER_BITS; end++) {
      numbers *= sizes[end - 1];
      const sum = 32 - Math.clz32(numbers - 1) + fewest[end];
      if (sum <= fewest[begin]) {
        [fewest[begin], ends[begin]] = [sum, end];
      }
    }
  }
  const bits = new Array(n).fill(0);
  for (let begin = 0; begin < n; begin = ends[begin]) {
    bits[begin] = fewest[begin] - fewest[ends[begin]];
  }
  return bits;
}
