// The body of a compact file: what the packed file says that it stands for.

import { ITEM_IDS, RULE_BYTES, TITLES, USER_IDS, inverseNorms, takeHead, total, towerNumbers } from "./sparsedevice-content.js";
import { PackedFileError, bodyError } from "./sparsedevice-errors.js";
import { decodeBytes, decodeColumns, takeCoded } from "./sparsedevice-prefix-codes.js";
import { SymbolTable, digitsOf } from "./sparsedevice-strings.js";

const SLACK = 8; /* zeros behind the streams */
const MAX_SHIFT = 12;
const MAX_SYMBOL_BYTES = 64;
const MAX_PLAIN = 2 ** 52; /* beyond it numbers are summed as BigInts */
const END = 255; /* follows each string; no UTF-8 holds this byte */
const [F32, F16, , INT4] = [0, 1, 2, 3];

/* What the file says: `source` is the inflated body, `streams` what the entropy coder wrote. */
export function readCompact(source, streams, resultBytes) {
  const { head, there } = takeHead(source);
  const { nItems, nUsers, dim } = head;
  const content = { head, strings: new Map() };
  content.items = takeRows(source, streams, nItems, head, resultBytes);
  content.users = nUsers ? takeRows(source, streams, nUsers, head, resultBytes) : null;
  for (const [kind, n, has] of [[ITEM_IDS, nItems, 1], [USER_IDS, nUsers, nUsers], [TITLES, nItems, there & 1]]) {
    if (has) {
      const strings = takeStrings(source, n, resultBytes);
      content.strings.set(kind, { strings, symbols: source.number() ? SymbolTable.take(source) : null });
    }
  }
  content.seen = there & 2 ? takeSeen(source, head) : null;
  content.weights = there & 4 ? source.planes(nItems, 4) : null;
  content.matrix = there & 8 ? source.planes(dim * dim, 4) : null;
  content.metadata = there & 16 ? source.raw(source.number()) : null;
  content.rule = there & 32 ? source.raw(RULE_BYTES) : null;
  content.tower = there & 64 ? source.planes(towerNumbers(content.rule, dim), 4) : null;
  source.end();
  if (streams.raw(SLACK).some((byte) => byte)) {
    throw bodyError("the streams do not end in zeros");
  }
  streams.end();
  return content;
}

/* Rows as { pointers, columns, values (bits), scales (bits) }. */
function takeRows(source, streams, n, { dim, values: coding, similarity }, resultBytes) {
  checkRoom(4 * n, resultBytes, `${n} rows`);
  const lengths = takeLengths(source, streams, n);
  const entries = total(lengths);
  checkRoom((dim > 256 ? 2 : 1) * entries, resultBytes, `${entries} entries`);
  const pointers = new Uint32Array(n + 1);
  lengths.forEach((length, row) => (pointers[row + 1] = pointers[row] + length));
  const lowBits = Math.max(0, 32 - Math.clz32(dim - 1) - 8);
  const shift = source.number();
  if (shift < lowBits || shift > MAX_SHIFT) {
    throw bodyError(`columns have the unknown coding ${shift}`);
  }
  const [tables, symbols] = [((dim - 1) >> shift) + 1, ((dim - 1) >> lowBits) + 1];
  const columns = decodeColumns(takeCoded(source, streams, tables, symbols), pointers, dim, lowBits, shift);
  const rows = { pointers, columns, values: takeValues(source, streams, entries, coding) };
  const follow = source.number();
  if (follow > 1 || (follow && similarity !== 0)) {
    throw bodyError("the scales have an unknown coding");
  }
  rows.scales = follow ? inverseNorms(rows, coding) : source.planes(n, 4);
  return rows;
}

/* Runs of equal lengths, or their bytes, coded. */
function takeLengths(source, streams, n) {
  const runs = source.number();
  if (runs) {
    const [lengths, counts] = [source.planes(runs, 2), source.planes(runs, 4)];
    if (total(counts) !== n) {
      throw bodyError(`lengths of ${total(counts)} rows stand where ${n} belong`);
    }
    const all = new Uint32Array(n);
    let row = 0;
    counts.forEach((count, run) => all.fill(lengths[run], row, (row += count)));
    return all;
  }
  const planes = source.number();
  if (planes !== 1 && planes !== 2) {
    throw bodyError(`lengths of rows have ${planes} bytes`);
  }
  const bytes = decodeBytes(takeCoded(source, streams, 1, 256), n * planes);
  return Uint32Array.from({ length: n }, (_, i) => bytes[i] + (planes === 2 ? 256 * bytes[n + i] : 0));
}

function takeValues(source, streams, entries, coding) {
  if (coding === F32 || coding === F16) {
    return source.planes(entries, coding === F32 ? 4 : 2);
  }
  const coded = takeCoded(source, streams, 1, 256);
  if (coding !== INT4) {
    return Uint32Array.from(decodeBytes(coded, entries));
  }
  const pairs = decodeBytes(coded, Math.ceil(entries / 2));
  /* Four bits of two's complement as a byte. */
  return Uint32Array.from({ length: entries }, (_, i) => (((((pairs[i >> 1] >> (4 * (i & 1))) & 15) ^ 8) - 8) & 255));
}

/* Decimal numbers as differences, or strings without what they share with the one before. */
function takeStrings(source, n, resultBytes) {
  const coding = source.number();
  if (coding > 1) {
    throw bodyError(`strings have the unknown coding ${coding}`);
  }
  return coding ? takeNumbers(source, n) : takeFrontCoded(source, n, resultBytes);
}

function takeNumbers(source, n) {
  const [low, high] = [source.planes(n, 4), source.planes(n, 4)];
  let number = 0;
  return Array.from(low, (word, i) => {
    const step = word & 1 ? -(word >>> 1) - 1 : word >>> 1;
    number = high[i] || number > MAX_PLAIN ? longSum(number, word, high[i]) : number + step;
    if (number < 0) {
      throw bodyError("an id is a negative number");
    }
    return digitsOf(String(number));
  });
}

/* The same sum in 64 bits. */
function longSum(number, low, high) {
  const zigzag = (BigInt(high) << 32n) | BigInt(low);
  const sum = BigInt.asIntN(64, BigInt(number) + ((zigzag >> 1n) ^ -(zigzag & 1n)));
  return sum > MAX_PLAIN ? sum : Number(sum);
}

function takeFrontCoded(source, n, resultBytes) {
  const shared = source.planes(n, 1);
  const size = source.number();
  /* A code has at least one bit, and stands for at most 64 bytes. */
  checkRoom((size + total(shared)) / (8 * MAX_SYMBOL_BYTES), resultBytes, "strings");
  const ends = source.raw(size);
  let [at, last] = [0, new Uint8Array(0)];
  const strings = Array.from(shared, (skip) => {
    const end = ends.indexOf(END, at);
    if (end < 0) {
      throw bodyError(`fewer strings than ${n}`);
    }
    const string = new Uint8Array(Math.min(skip, last.length) + end - at);
    string.set(last.subarray(0, skip));
    string.set(ends.subarray(at, end), string.length - (end - at));
    at = end + 1;
    return (last = string);
  });
  if (at !== size) {
    throw bodyError(`more strings than ${n}`);
  }
  return strings;
}

/* Seen items as { pointers, rows }. */
function takeSeen(source, { nItems, nUsers }) {
  const lengths = source.planes(nUsers, 4);
  const gaps = source.planes(total(lengths), 4);
  const pointers = new Uint32Array(nUsers + 1);
  lengths.forEach((length, user) => (pointers[user + 1] = pointers[user] + length));
  const rows = new Uint32Array(gaps.length);
  for (let user = 0; user < nUsers; user++) {
    for (let i = pointers[user], row = -1; i < pointers[user + 1]; i++) {
      row += gaps[i] + 1;
      if (row >= nItems) {
        throw bodyError(`a seen list names row ${row} of ${nItems}`);
      }
      rows[i] = row;
    }
  }
  return { pointers, rows };
}

function checkRoom(bytes, most, what) {
  if (bytes > most) {
    throw new PackedFileError("body", `${what} do not fit the ${most} bytes that the file promises; fetch it again`);
  }
}
