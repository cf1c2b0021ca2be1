// What deltas and compact files say of a model in the same way (docs/compact.md, docs/delta.md).

import { bodyError } from "./sparsedevice-errors.js";

export const RULE_BYTES = 24;
export const [ITEM_IDS, USER_IDS, TITLES] = [11, 14, 17];

/* Arrays behind one another; none is made that the bytes at hand do not fill. */
export class Source {
  #data;
  #at = 0;

  constructor(data) {
    this.#data = data;
  }

  end() {
    if (this.left) {
      throw bodyError(`${this.left} bytes follow the last array`);
    }
  }

  get left() {
    return this.#data.length - this.#at;
  }

  raw(count) {
    if (count > this.left) {
      throw bodyError(`an array of ${count} bytes stands where ${this.left} are left`);
    }
    this.#at += count;
    return this.#data.subarray(this.#at - count, this.#at);
  }

  number() {
    const [a, b, c, d] = this.raw(4);
    return a + 256 * b + 65536 * c + 16777216 * d;
  }

  bits(count) {
    const packed = this.raw(Math.ceil(count / 8));
    const flags = new Uint8Array(count);
    for (let i = 0; i < count; i++) {
      flags[i] = (packed[i >> 3] >> (i & 7)) & 1;
    }
    return flags;
  }

  /* Numbers of 1, 2 or 4 bytes, stored plane by plane. */
  planes(count, width) {
    const planes = this.raw(count * width);
    const numbers = new Uint32Array(count);
    for (let plane = 0; plane < width; plane++) {
      for (let i = 0; i < count; i++) {
        numbers[i] |= planes[plane * count + i] << (8 * plane);
      }
    }
    return numbers;
  }
}

export const total = (numbers) => numbers.reduce((sum, number) => sum + number, 0);

/* Sizes and codes of the file, and which parts it has, as flags. */
export function takeHead(source) {
  const [nItems, nUsers, dim] = [source.number(), source.number(), source.number()];
  const [values, layout, similarity, there] = source.raw(4);
  if (nItems < 1 || nItems >= 2 ** 31 || nUsers >= 2 ** 31 || dim < 1 || dim > 4096) {
    throw bodyError(`${nItems} items, ${nUsers} users, ${dim} columns`);
  }
  const unfit = (layout === 1 && values < 2) || (there & 2 && !nUsers) || (there & 64 && !(there & 32));
  if (values > 3 || layout > 1 || similarity > 1 || there > 127 || unfit) {
    throw bodyError("unknown codes, or codes that do not go together");
  }
  return { head: { nItems, nUsers, dim, values, layout, similarity }, there };
}

/* How many numbers the tower of a fold-in rule has; 0 where it is none. */
export function towerNumbers(rule, dim) {
  const view = new DataView(rule.buffer, rule.byteOffset, rule.byteLength);
  const [kind, count, hidden] = [0, 4, 8].map((at) => view.getUint32(at, true));
  if (kind !== 3 || count < 2 || count > 8 || hidden < 1 || hidden > dim) {
    return 0;
  }
  return hidden * (dim + 1) + (count - 2) * hidden * (hidden + 1) + dim * (hidden + 1);
}

/* 1 / Euclidean norm of each row, summed in order; 1 where that is no positive finite float32. */
export function inverseNorms({ pointers, values }, coding) {
  const floats = new Float32Array(values.buffer);
  const bits = new Uint32Array(pointers.length - 1);
  const scales = new Float32Array(bits.buffer);
  for (let row = 0; row < bits.length; row++) {
    let sum = 0;
    for (let i = pointers[row]; i < pointers[row + 1]; i++) {
      const value = coding === 0 ? floats[i] : coding === 1 ? half(values[i]) : (values[i] << 24) >> 24;
      sum += value * value;
    }
    const norm = Math.sqrt(sum);
    const inverse = Math.fround(1 / (norm > 0 ? norm : 1));
    scales[row] = inverse > 0 && inverse < Infinity ? inverse : 1;
  }
  return bits;
}

function half(bits) {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) {
    return fraction ? NaN : sign * Infinity;
  }
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}
