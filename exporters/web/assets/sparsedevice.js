/**
 * Recommend from a packed sparsedevice file, in a browser or in Node (18 or newer).
 *
 *     import { SparseRecommender } from "./sparsedevice.js";
 *     const recommender = await SparseRecommender.open("model.sd");
 *     const { items } = recommender.recommend({ history: ["42", "7"], k: 10 });
 *
 * The types, with a description of every argument, are in sparsedevice.d.ts.
 */

import { ConfigError, PackedFileError, SparseDeviceError, UnknownIdError, show } from "./sparsedevice-errors.js";
import { align, hasSimd, loadCore, reserve, startReading } from "./sparsedevice-loading.js";
import { fold, searchIndex } from "./sparsedevice-search.js";

export { ConfigError, PackedFileError, SparseDeviceError, UnknownIdError, hasSimd };

const SENTENCES = {
  magic: "this is not a sparsedevice packed file",
  version: "the file has a format version that is not known here; update sparsedevice",
  "byte-order": "the file was written with another byte order",
  truncated: "the file ends too early; load it again",
  "header-checksum": "header or section table do not match their checksum; load the file again",
  checksum: "a section does not match its checksum; load the file again",
};

const INFO = ["nItems", "nUsers", "dim", "nnz", "values", "layout", "similarity", "kernel", "titles"];
const VALUES = ["f32", "f16", "int8", "int4"];
const LAYOUTS = ["csr", "sliced"];
const SIMILARITIES = ["cosine", "dot"];
const KERNEL_WASM_SIMD = 5;

const ITEMS = 0;
const USERS = 1;
const FROM_HISTORY = 0;
const FROM_USER = 1;
const FROM_ITEM = 2;
const ITEM_ID = 0;
const TITLE = 2;
const NO_ROW = 0xffffffff;
const STRING_ROOM = 64; /* bytes that most strings fit into */
const SHORT = 48; /* characters of an id that are copied one by one */
const MAX_ID_BYTES = 65535;
const ITEMS_AT_ONCE = 1024; /* that a search index is made of */

export class SparseRecommender {
  #core;
  #heap;
  #model;
  #work = 0;
  #next = 0;
  #info;
  #encoder = new TextEncoder();
  #decoder = new TextDecoder();
  #index = null;
  #u8;
  #u32;
  #f32;

  constructor(token, core, modelAt, modelBytes) {
    if (token !== CONSTRUCT) {
      throw new ConfigError("use await SparseRecommender.open(...)");
    }
    this.#core = core;
    this.#heap = core.memory;
    this.#model = [modelAt, modelBytes];
    this.#work = align(modelAt + modelBytes);
    this.#view();
    const raw = Object.fromEntries(INFO.map((name, i) => [name, core.info(i) >>> 0]));
    this.#info = Object.freeze({
      ...raw,
      values: VALUES[raw.values],
      layout: LAYOUTS[raw.layout],
      similarity: SIMILARITIES[raw.similarity],
      kernel: raw.kernel === KERNEL_WASM_SIMD ? "wasm-simd" : "scalar",
      titles: Boolean(raw.titles),
      fileBytes: modelBytes,
    });
  }

  static async open(source, { simd = "auto", verify = true, wasm, onProgress } = {}) {
    if (![true, false, "auto"].includes(simd)) {
      throw new ConfigError(`simd is ${show(simd)}; use true, false or "auto"`);
    }
    if (simd === true && !hasSimd()) {
      throw new ConfigError("this browser does not run WebAssembly SIMD; leave out simd: true");
    }
    const [core, model] = await Promise.all([
      loadCore(simd === "auto" ? hasSimd() : simd, wasm),
      startReading(source),
    ]);
    const at = align(core.__heap_base.value);
    const bytes = await model((need) => reserve(core.memory, at + need) && at, core.memory, onProgress);
    check(core, core.open(at, bytes));
    if (verify) {
      check(core, core.verify());
    }
    return new SparseRecommender(CONSTRUCT, core, at, bytes);
  }

  get info() {
    return this.#info;
  }

  packed() {
    return this.#u8.slice(this.#model[0], this.#model[0] + this.#model[1]);
  }

  recommend({ history, user, k = 10, exclude = "seen", candidates } = {}) {
    checkK(k);
    checkQuery(history, user);
    checkList("candidates", candidates);
    if (typeof exclude === "string" ? !["seen", "none"].includes(exclude) : !isList(exclude)) {
      throw new ConfigError(`exclude is ${show(exclude)}; use "seen", "none" or a list of ids`);
    }
    this.#next = this.#work;
    const unknown = [];
    const [source, row, historyAt, nHistory] = this.#source(history, user, unknown);
    const extra = typeof exclude === "string" ? [] : exclude;
    const [excludeAt, nExclude] = this.#known(extra, unknown);
    const [candidatesAt, nCandidates] = candidates == null ? [0, 0] : this.#known(candidates, unknown);
    const seen = exclude === "none" ? 0 : 1;
    return this.#answer(
      [source, row, historyAt, nHistory, k, seen, excludeAt, nExclude, candidatesAt, nCandidates],
      unknown,
    );
  }

  similar(item, k = 10) {
    checkK(k);
    this.#next = this.#work;
    const row = this.#mustFind(ITEMS, item);
    return this.#answer([FROM_ITEM, row, 0, 0, k, 1, 0, 0, 0, 0], []);
  }

  score({ history, user, items } = {}) {
    checkQuery(history, user);
    this.#next = this.#work;
    const [source, row, historyAt, nHistory] = this.#source(history, user, []);
    const n = this.#count("items", items);
    const at = this.#mustFindAll(ITEMS, items);
    const need = this.#core.ask(source, row, historyAt, nHistory, 1, 0, 0, 0, at, n) >>> 0;
    const scratch = this.#take(need);
    const scores = this.#take(4 * n);
    check(this.#core, this.#core.score(scratch, need, scores));
    return this.#f32.slice(scores / 4, scores / 4 + n);
  }

  lookup(ids) {
    const n = this.#count("ids", ids);
    this.#next = this.#work;
    const { dim } = this.#info;
    const [columns, values, count] = [this.#take(2 * dim), this.#take(4 * dim), this.#take(4)];
    const at = this.#mustFindAll(ITEMS, ids);
    const rows = [];
    for (let i = 0; i < n; i++) {
      check(this.#core, this.#core.row(this.#u32[at / 4 + i], columns, values, count));
      const found = this.#u32[count / 4];
      rows.push({
        columns: new Uint16Array(this.#heap.buffer, columns, found).slice(),
        values: this.#f32.slice(values / 4, values / 4 + found),
      });
    }
    return rows;
  }

  has(item) {
    this.#next = this.#work;
    const at = this.#find(ITEMS, [item]);
    return this.#u32[at / 4] !== NO_ROW;
  }

  title(item) {
    this.#next = this.#work;
    return this.#strings(TITLE, [this.#mustFind(ITEMS, item)])[0];
  }

  search(text, limit = 10) {
    const words = fold(text).split(/\s+/).filter(Boolean);
    if (!words.length) {
      return [];
    }
    this.#index ??= this.#makeIndex();
    this.#next = this.#work;
    return this.#items(searchIndex(this.#index, words, limit));
  }

  id(row) {
    if (!Number.isInteger(row) || row < 0 || row >= this.#info.nItems) {
      throw new ConfigError(`row is ${show(row)}; the file has rows 0 to ${this.#info.nItems - 1}`);
    }
    this.#next = this.#work;
    return this.#strings(ITEM_ID, [row])[0];
  }

  /* ---- answers ---- */

  #answer(question, unknown) {
    const need = this.#core.ask(...question) >>> 0;
    const most = Math.min(question[4], this.#info.nItems);
    const [scratch, rows, scores] = [this.#take(need), this.#take(4 * most), this.#take(4 * most)];
    const count = this.#take(4);
    check(this.#core, this.#core.recommend(scratch, need, rows, scores, count));
    const found = this.#u32[count / 4];
    const items = this.#items(this.#u32.slice(rows / 4, rows / 4 + found));
    for (let i = 0; i < found; i++) {
      items[i].score = this.#f32[scores / 4 + i];
    }
    return { items, unknown };
  }

  #items(rows) {
    const titles = this.#info.titles ? this.#strings(TITLE, rows) : null;
    const ids = this.#strings(ITEM_ID, rows);
    const items = new Array(ids.length);
    for (let i = 0; i < items.length; i++) {
      items[i] = { id: ids[i], title: titles ? titles[i] : "", row: rows[i] };
    }
    return items;
  }

  /* Strings of rows: one call of the core and one of the decoder for all of them. */
  #strings(text, rows) {
    const next = this.#next;
    const n = rows.length;
    const [rowsAt, lengths] = [this.#take(4 * n), this.#take(4 * n)];
    let room = STRING_ROOM * n;
    let at = this.#take(room);
    this.#u32.set(rows, rowsAt / 4);
    const bytes = this.#core.strings(text, rowsAt, n, lengths, at, room) >>> 0;
    if (bytes > room) {
      room = bytes;
      at = this.#take(room);
      this.#core.strings(text, rowsAt, n, lengths, at, room);
    }
    this.#next = next;
    const all = this.#decoder.decode(this.#u8.subarray(at, at + bytes));
    const ascii = all.length === bytes;
    const strings = new Array(n);
    for (let i = 0, begin = 0; i < n; i++) {
      const end = begin + this.#u32[lengths / 4 + i];
      strings[i] = ascii ? all.slice(begin, end) : this.#decoder.decode(this.#u8.subarray(at + begin, at + end));
      begin = end;
    }
    return strings;
  }

  /* ---- questions ---- */

  #source(history, user, unknown) {
    if (user != null) {
      return [FROM_USER, this.#mustFind(USERS, user), 0, 0];
    }
    return [FROM_HISTORY, 0, ...this.#known(history, unknown)];
  }

  /* Rows of a list of ids, in the workspace; ids that the file does not know go to `unknown`. */
  #known(ids, unknown) {
    const at = this.#find(ITEMS, ids);
    const n = ids.length;
    let count = 0;
    for (let i = 0; i < n; i++) {
      const row = this.#u32[at / 4 + i];
      if (row === NO_ROW) {
        unknown.push(String(ids[i]));
      } else {
        this.#u32[at / 4 + count++] = row;
      }
    }
    return [at, count];
  }

  /* Address of the rows of a list of ids, NO_ROW for those that the file does not know: one call of the core. */
  #find(table, ids) {
    const n = ids.length;
    const at = this.#take(4 * n + 4); /* never empty: no candidates is not all candidates */
    const lengths = this.#take(4 * n);
    const texts = new Array(n);
    let room = 0;
    for (let i = 0; i < n; i++) {
      texts[i] = String(ids[i]);
      if (texts[i].length > MAX_ID_BYTES) {
        texts[i] = texts[i].slice(0, MAX_ID_BYTES + 1); /* as unknown as all of it */
      }
      room += 3 * texts[i].length; /* UTF-8 of a UTF-16 unit has at most three bytes */
    }
    const first = this.#take(room);
    let end = first;
    for (let i = 0; i < n; i++) {
      const bytes = this.#encode(texts[i], end);
      this.#u32[lengths / 4 + i] = bytes;
      end += bytes;
    }
    this.#core.find(table, first, lengths, n, at);
    this.#next = lengths;
    return at;
  }

  /* Write a string as UTF-8; returns its bytes. */
  #encode(text, at) {
    const u8 = this.#u8;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 127 || i > SHORT) {
        return this.#encoder.encodeInto(text, u8.subarray(at)).written;
      }
      u8[at + i] = unit;
    }
    return text.length;
  }

  #mustFind(table, id) {
    const at = this.#mustFindAll(table, [id]);
    return this.#u32[at / 4];
  }

  /* Address of the rows of ids that must be known. */
  #mustFindAll(table, ids) {
    if (table === USERS && !this.#info.nUsers) {
      throw new UnknownIdError(`unknown user ${show(ids[0])}: this file ships no users; give a history instead`);
    }
    const at = this.#find(table, ids);
    const lost = this.#u32.subarray(at / 4, at / 4 + ids.length).indexOf(NO_ROW);
    if (lost >= 0) {
      throw new UnknownIdError(
        table === USERS
          ? `unknown user ${show(ids[lost])}: the file does not ship this user; give a history instead`
          : `unknown item ${show(ids[lost])}: it is not in this file`,
      );
    }
    return at;
  }

  #count(name, ids) {
    checkList(name, ids);
    if (ids == null) {
      throw new ConfigError(`${name} is ${show(ids)}; give a list of ids`);
    }
    return ids.length;
  }

  /* ---- memory: the file, then a workspace that every call fills anew ---- */

  #take(bytes) {
    const at = this.#next;
    this.#next = align(at + bytes);
    if (this.#next > this.#u8.length) {
      reserve(this.#heap, this.#next);
      this.#view();
    }
    return at;
  }

  /* Growing the memory detaches its views; nothing but the line above makes it grow. */
  #view() {
    const { buffer } = this.#heap;
    this.#u8 = new Uint8Array(buffer);
    this.#u32 = new Uint32Array(buffer);
    this.#f32 = new Float32Array(buffer);
  }

  /* ---- search ---- */

  #makeIndex() {
    const rows = Uint32Array.from({ length: this.#info.nItems }, (_, row) => row);
    const index = [];
    for (let first = 0; first < rows.length; first += ITEMS_AT_ONCE) {
      this.#next = this.#work;
      for (const { id, title } of this.#items(rows.subarray(first, first + ITEMS_AT_ONCE))) {
        index.push(fold(title || id));
      }
    }
    return index;
  }
}

const CONSTRUCT = Symbol("open");

function check(core, status) {
  if (!status) {
    return;
  }
  const bytes = new Uint8Array(core.memory.buffer, core.status_name(status));
  const promise = String.fromCharCode(...bytes.subarray(0, bytes.indexOf(0)));
  if (status >= 100) {
    throw new SparseDeviceError(`the core refused the call: ${promise}`);
  }
  throw new PackedFileError(promise, SENTENCES[promise] ?? `the file breaks the promise "${promise}"`);
}

function checkK(k) {
  if (!Number.isInteger(k) || k < 1) {
    throw new ConfigError(`k is ${show(k)}; ask for 1 or more results`);
  }
}

function checkQuery(history, user) {
  if ((history == null) === (user == null)) {
    throw new ConfigError("give either a history or a user");
  }
  checkList("history", history);
}

function checkList(name, ids) {
  if (ids != null && !isList(ids)) {
    throw new ConfigError(`${name} is ${show(ids)}; give a list of ids`);
  }
}

function isList(value) {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}
