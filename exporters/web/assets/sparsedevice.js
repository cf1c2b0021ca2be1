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
const STRING_ROOM = 256; /* bytes that most strings fit into */
const SHORT = 48; /* characters of a string that are copied one by one */
const MAX_ID_BYTES = 65535;

export class SparseRecommender {
  #core;
  #heap;
  #modelBytes;
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
    this.#modelBytes = modelBytes;
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
    const at = this.#take(4 * n);
    for (let i = 0; i < n; i++) {
      const row = this.#mustFind(ITEMS, items[i]); /* may move the views */
      this.#u32[at / 4 + i] = row;
    }
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
    const rows = [];
    for (let i = 0; i < n; i++) {
      check(this.#core, this.#core.row(this.#mustFind(ITEMS, ids[i]), columns, values, count));
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
    return this.#find(ITEMS, item) !== NO_ROW;
  }

  title(item) {
    this.#next = this.#work;
    return this.#string(TITLE, this.#mustFind(ITEMS, item));
  }

  search(text, limit = 10) {
    const words = fold(text).split(/\s+/).filter(Boolean);
    if (!words.length) {
      return [];
    }
    this.#index ??= this.#makeIndex();
    return searchIndex(this.#index, words, limit).map((row) => this.#item(row));
  }

  id(row) {
    if (!Number.isInteger(row) || row < 0 || row >= this.#info.nItems) {
      throw new ConfigError(`row is ${show(row)}; the file has rows 0 to ${this.#info.nItems - 1}`);
    }
    return this.#string(ITEM_ID, row);
  }

  /* ---- answers ---- */

  #answer(question, unknown) {
    const need = this.#core.ask(...question) >>> 0;
    const most = Math.min(question[4], this.#info.nItems);
    const [scratch, rows, scores] = [this.#take(need), this.#take(4 * most), this.#take(4 * most)];
    const count = this.#take(4);
    check(this.#core, this.#core.recommend(scratch, need, rows, scores, count));
    const items = new Array(this.#u32[count / 4]);
    for (let i = 0; i < items.length; i++) {
      items[i] = this.#item(this.#u32[rows / 4 + i]);
      items[i].score = this.#f32[scores / 4 + i];
    }
    return { items, unknown };
  }

  #item(row) {
    const title = this.#info.titles ? this.#string(TITLE, row) : "";
    return { id: this.#string(ITEM_ID, row), title, row };
  }

  #string(text, row) {
    const next = this.#next;
    let at = this.#take(STRING_ROOM);
    const length = this.#core.string(text, row, at, STRING_ROOM);
    if (length > STRING_ROOM) {
      at = this.#take(length);
      this.#core.string(text, row, at, length);
    }
    this.#next = next;
    const end = at + length;
    const u8 = this.#u8;
    let ascii = ""; /* most strings are short and ASCII: a call of the decoder costs more than they do */
    for (let i = at; i < end; i++) {
      if (u8[i] > 127 || i - at > SHORT) {
        return this.#decoder.decode(u8.subarray(at, end));
      }
      ascii += String.fromCharCode(u8[i]);
    }
    return ascii;
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
    const at = this.#take(4 * ids.length + 4); /* never empty: no candidates is not all candidates */
    let count = 0;
    for (const id of ids) {
      const row = this.#find(ITEMS, id);
      if (row === NO_ROW) {
        unknown.push(String(id));
      } else {
        this.#u32[at / 4 + count++] = row;
      }
    }
    return [at, count];
  }

  #find(table, id) {
    const text = String(id);
    if (text.length > MAX_ID_BYTES) {
      return NO_ROW;
    }
    const at = this.#take(3 * text.length); /* UTF-8 of a UTF-16 unit has at most three bytes */
    this.#next = at;
    return this.#core.find(table, at, this.#encode(text, at)) >>> 0;
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
    if (table === USERS && !this.#info.nUsers) {
      throw new UnknownIdError(`unknown user ${show(id)}: this file ships no users; give a history instead`);
    }
    const row = this.#find(table, id);
    if (row === NO_ROW) {
      throw new UnknownIdError(
        table === USERS
          ? `unknown user ${show(id)}: the file does not ship this user; give a history instead`
          : `unknown item ${show(id)}: it is not in this file`,
      );
    }
    return row;
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
    const rows = new Array(this.#info.nItems);
    for (let row = 0; row < rows.length; row++) {
      const { id, title } = this.#item(row);
      rows[row] = fold(title || id);
    }
    return rows;
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
