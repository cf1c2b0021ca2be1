// The body of a delta: rows of the new file, each from its row in the base or given anew.

import { ITEM_IDS, RULE_BYTES, TITLES, USER_IDS, inverseNorms, takeHead, total, towerNumbers } from "./sparsedevice-content.js";
import { bodyError } from "./sparsedevice-errors.js";
import { SymbolTable } from "./sparsedevice-strings.js";

const U32 = 2 ** 32;
const ONE = 0x3f800000; /* the bits of 1 as float32 */

const ones = (flags) => flags.reduce((sum, flag) => sum + flag, 0);

/* What the new file says. */
export function readBody(base, source) {
  const { head, there } = takeHead(source);
  const { nItems, nUsers, dim } = head;
  const items = takeMap(source, nItems, base.nItems);
  const users = takeMap(source, nUsers, base.nUsers);
  const strings = new Map();
  for (const [kind, map, has] of [[ITEM_IDS, items, 1], [USER_IDS, users, nUsers], [TITLES, items, there & 1]]) {
    if (has) {
      strings.set(kind, takeText(source, base.strings(kind), map));
    }
  }
  const content = { head, strings, items: takeRows(source, base.rows(1), base, items, head) };
  content.users = nUsers ? takeRows(source, base.rows(5), base, users, head) : null;
  content.seen = there & 2 ? takeSeen(source, base.seen(), items, users) : null;
  content.weights = there & 4 ? takeWords(source, items.words(base.words(19), 0)) : null;
  const square = base.dim === dim ? base.words(20) : null;
  content.matrix = there & 8 ? takeWords(source, square ?? new Uint32Array(dim * dim)) : null;
  const metadata = base.bytes(21) ?? new Uint8Array(0);
  content.metadata = there & 16 ? takeStrings(source, [metadata], new RowMap(Int32Array.of(0), 1))[0] : null;
  content.rule = there & 32 ? source.raw(RULE_BYTES) : null;
  if (there & 64) {
    const old = base.words(23);
    const size = towerNumbers(content.rule, dim);
    if (source.left < size / 8) {
      throw bodyError(`a tower of ${size} numbers`);
    }
    content.tower = takeWords(source, old?.length === size ? old : new Uint32Array(size));
  }
  source.end();
  return content;
}

/* Which row of the base each row was; -1 for one that is new. */
class RowMap {
  constructor(base, baseCount) {
    this.base = base;
    this.baseCount = baseCount;
  }

  inverse() {
    const rows = new Int32Array(this.baseCount).fill(-1);
    this.base.forEach((old, row) => {
      if (old >= 0) {
        rows[old] = row;
      }
    });
    return rows;
  }

  words(old, otherwise) {
    return Uint32Array.from(this.base, (row) => (row < 0 || !old ? otherwise : old[row]));
  }
}

function takeMap(source, n, baseCount) {
  const runs = source.number();
  const isNew = source.bits(runs);
  const counts = source.planes(runs, 4);
  const jumps = source.planes(runs - ones(isNew), 4);
  const added = counts.reduce((sum, count, i) => sum + (isNew[i] ? count : 0), 0);
  /* What each new row has is stored at least as its lengths, so their number is bounded by the bytes left. */
  if (total(counts) !== n || n - added > baseCount || added > source.left) {
    throw bodyError(`the runs of rows do not make ${n} rows`);
  }
  const base = new Int32Array(n).fill(-1);
  const used = new Uint8Array(baseCount);
  let [row, end, kept] = [0, 0, 0];
  for (let run = 0; run < runs; run++) {
    if (isNew[run]) {
      row += counts[run];
      continue;
    }
    end = (end + jumps[kept++] + counts[run]) % U32;
    if (end - counts[run] < 0 || end > baseCount) {
      throw bodyError("the runs of rows leave the base");
    }
    for (let old = end - counts[run]; old < end; old++) {
      if (used[old]++) {
        throw bodyError(`row ${old} of the base is used twice`);
      }
      base[row++] = old;
    }
  }
  return new RowMap(base, baseCount);
}

function takeWords(source, expected) {
  const differs = source.bits(expected.length);
  const differences = source.planes(ones(differs), 4);
  let given = 0;
  return Uint32Array.from(expected, (word, i) => (differs[i] ? word ^ differences[given++] : word));
}

/* Lists of bytes, of which those that differ from the base's are given. */
function takeStrings(source, old, map) {
  const differs = source.bits(map.base.length);
  const lengths = source.planes(ones(differs), 4);
  const bytes = source.raw(total(lengths));
  const nothing = new Uint8Array(0);
  let [given, at] = [0, 0];
  return Array.from(map.base, (row, i) => {
    if (!differs[i]) {
      return row < 0 || !old ? nothing : old[row];
    }
    at += lengths[given];
    return bytes.subarray(at - lengths[given++], at);
  });
}

/* Strings, and the symbols that they are coded in. */
function takeText(source, old, map) {
  const strings = takeStrings(source, old?.all() ?? null, map);
  const coding = source.number();
  const symbols = [null, old?.symbols ?? null, null][coding];
  if (coding > 2 || (coding === 1 && !symbols)) {
    throw bodyError(`symbols have the unknown coding ${coding}`);
  }
  return { strings, symbols: coding === 2 ? SymbolTable.take(source) : symbols };
}

/* Rows as { pointers, columns, values (bits), scales (bits) }. */
function takeRows(source, stored, base, map, { dim, values: coding, similarity }) {
  const old = base.values === coding && base.dim === dim ? stored : null;
  const n = map.base.length;
  const moved = source.bits(n);
  const lengths = source.planes(ones(moved), 2);
  const pointers = new Uint32Array(n + 1);
  const expected = (row) => {
    const from = map.base[row];
    return old && from >= 0 ? [old.pointers[from], old.pointers[from + 1]] : [0, 0];
  };
  let given = 0;
  for (let row = 0; row < n; row++) {
    const [from, to] = expected(row);
    pointers[row + 1] = pointers[row] + (moved[row] ? lengths[given++] : to - from);
  }
  const gaps = source.planes(total(lengths), 2);
  const columns = new Uint16Array(pointers[n]);
  given = 0;
  for (let row = 0; row < n; row++) {
    const [from, to] = expected(row);
    if (!moved[row] && to > from) {
      columns.set(old.columns.subarray(from, to), pointers[row]);
    }
    for (let i = pointers[row], column = -1; moved[row] && i < pointers[row + 1]; i++) {
      column += gaps[given++] + 1;
      if (column >= dim) {
        throw bodyError(`column ${column} stands in a table of ${dim}`);
      }
      columns[i] = column;
    }
  }
  const rows = { pointers, columns, values: takeValues(source, old, expected, pointers, columns, coding) };
  const follow = source.number();
  if (follow > 1 || (follow && similarity !== 0)) {
    throw bodyError("the scales have an unknown coding");
  }
  rows.scales = follow ? inverseNorms(rows, coding) : takeWords(source, map.words(old?.scales, ONE));
  return rows;
}

/* Values are expected to be those of the same columns in the base's row, else 0. */
function takeValues(source, old, expected, pointers, columns, coding) {
  const width = [4, 2, 1, 1][coding];
  const mask = [-1, 0xffff, 0xff, 0xff][coding];
  const differs = source.bits(pointers.length - 1);
  const changed = differs.reduce((sum, flag, row) => sum + flag * (pointers[row + 1] - pointers[row]), 0);
  const differences = source.planes(changed, width);
  const values = new Uint32Array(columns.length);
  let given = 0;
  for (let row = 0; row < differs.length; row++) {
    let [from, to] = expected(row);
    for (let i = pointers[row]; i < pointers[row + 1]; i++) {
      while (from < to && old.columns[from] < columns[i]) {
        from++;
      }
      const value = from < to && old.columns[from] === columns[i] ? old.values[from] : 0;
      const difference = differs[row] ? differences[given++] : 0;
      values[i] = (coding < 2 ? value ^ difference : value + difference) & mask;
    }
  }
  return values;
}

/* Seen items as { pointers, rows }: what is dropped of those expected, and what is added. */
function takeSeen(source, old, items, users) {
  const inverse = items.inverse();
  const expected = Array.from(users.base, (user) => {
    if (!old || user < 0) {
      return new Uint32Array(0);
    }
    const rows = old.rows.subarray(old.pointers[user], old.pointers[user + 1]).map((row) => inverse[row]);
    return rows.filter((row) => row !== U32 - 1).sort(); /* -1, as unsigned, where the item is gone */
  });
  const all = expected.reduce((sum, list) => sum + list.length, 0);
  const dropped = new Uint8Array(all);
  let place = -1;
  for (const skip of source.planes(source.number(), 4)) {
    place += skip + 1;
    if (place >= all) {
      throw bodyError(`seen item ${place} of ${all} is dropped`);
    }
    dropped[place] = 1;
  }
  const counts = source.planes(users.base.length, 4);
  const gaps = source.planes(total(counts), 4);
  let [at, given] = [0, 0];
  const lists = expected.map((list, user) => {
    const kept = list.filter(() => !dropped[at++]);
    const rows = new Uint32Array(kept.length + counts[user]);
    rows.set(kept);
    for (let i = kept.length, row = -1; i < rows.length; i++) {
      row += gaps[given++] + 1;
      if (row >= items.base.length) {
        throw bodyError(`a seen list names row ${row} of ${items.base.length}`);
      }
      rows[i] = row;
    }
    return rows.sort();
  });
  const pointers = new Uint32Array(lists.length + 1);
  lists.forEach((list, user) => (pointers[user + 1] = pointers[user] + list.length));
  const rows = new Uint32Array(pointers[lists.length]);
  lists.forEach((list, user) => rows.set(list, pointers[user]));
  return { pointers, rows };
}
