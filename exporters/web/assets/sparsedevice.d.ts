/** Recommend from a packed sparsedevice file, in a browser or in Node (18 or newer). */

/** Something the caller can mend: the message says what is wrong and what to do. */
export class SparseDeviceError extends Error {}

/** An argument outside its range, or two that exclude each other. */
export class ConfigError extends SparseDeviceError {}

/** A user or item id that the file does not know, where one is required. */
export class UnknownIdError extends SparseDeviceError {}

/** A packed file that breaks one of the promises of its format. */
export class PackedFileError extends SparseDeviceError {
  /** Name of the broken promise, for example "magic", "version", "truncated" or "checksum". */
  readonly promise: string;
}

/** Ids are strings; numbers stand for their decimal form. */
export type Id = string | number;

/** A list of ids. */
export type Ids = readonly Id[] | Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array;

export interface Item {
  id: string;
  /** "" where the file has no title. */
  title: string;
  /** Row of the packed file. Equal scores stand in row order. */
  row: number;
}

export interface RankedItem extends Item {
  score: number;
}

export interface Recommendations {
  /** Best first. */
  items: RankedItem[];
  /** Ids of history, exclude and candidates that the file does not know, in the order given. */
  unknown: string[];
}

/** What is known of a user: exactly one of the two. */
export type Query = { history: Ids; user?: null } | { user: Id; history?: null };

export type Question = Query & {
  /** How many, 1 or more; 10 where not given. */
  k?: number;
  /**
   * "seen" (where not given) leaves out the history, and for a user the seen list of the file; "none" leaves out
   * nothing; a list of ids leaves out those and the seen ones.
   */
  exclude?: "seen" | "none" | Ids;
  /** Only these items are eligible; all where not given. */
  candidates?: Ids | null;
};

/** One row of the table, dequantised. */
export interface Row {
  /** Columns with an entry, increasing. */
  columns: Uint16Array;
  values: Float32Array;
}

export interface Info {
  readonly nItems: number;
  readonly nUsers: number;
  readonly dim: number;
  readonly nnz: number;
  readonly values: "f32" | "f16" | "int8" | "int4";
  readonly layout: "csr" | "sliced";
  readonly similarity: "cosine" | "dot";
  readonly kernel: "scalar" | "wasm-simd";
  readonly titles: boolean;
  readonly fileBytes: number;
}

export interface OpenOptions {
  /** Use the build with SIMD; "auto" (where not given) where this browser runs it. */
  simd?: boolean | "auto";
  /**
   * Check every promise of the format (where not given). Without it damaged bytes give wrong numbers, but never an
   * access outside the file.
   */
  verify?: boolean;
  /** Where the .wasm file is, or its bytes, or the compiled module; beside this file where not given. */
  wasm?: string | URL | ArrayBuffer | ArrayBufferView | WebAssembly.Module;
  /** Called while the model loads from a network address of known length. */
  onProgress?: (done: number, total: number) => void;
}

/** Whether this browser or Node runs WebAssembly SIMD. */
export function hasSimd(): boolean;

/** Recommends from one packed file, which it holds in memory of its own. Calls are synchronous. */
export class SparseRecommender {
  private constructor();

  /**
   * Load a packed file. One in the compact coding, which is smaller to download, is expanded first, and takes about
   * as much memory again while that lasts.
   *
   * @param source address or path of the file, its bytes, or a fetched response.
   * @throws PackedFileError if the file breaks a promise of the format.
   * @throws SparseDeviceError if it cannot be loaded, or memory is short.
   */
  static open(
    source: string | URL | ArrayBuffer | ArrayBufferView | Response,
    options?: OpenOptions,
  ): Promise<SparseRecommender>;

  /** What the file holds, and the kernel in use. */
  readonly info: Info;

  /** A copy of the packed file, for an app that keeps it: opening it again needs no download and no expanding. */
  packed(): Uint8Array;

  /**
   * The k best items: exactly k while k eligible items exist. An empty history scores all items 0.
   *
   * @throws ConfigError if k is below 1, or not exactly one of history and user is given.
   * @throws UnknownIdError if the user is not in the file.
   */
  recommend(question: Question): Recommendations;

  /**
   * The k items most like one, which is itself left out.
   *
   * @throws UnknownIdError if the item is not in the file.
   */
  similar(item: Id, k?: number): Recommendations;

  /**
   * Scores of the given items, in their order.
   *
   * @throws UnknownIdError if the user or one of the items is not in the file.
   */
  score(question: Query & { items: Ids }): Float32Array;

  /**
   * Rows of the table.
   *
   * @throws UnknownIdError if one of the items is not in the file.
   */
  lookup(ids: Ids): Row[];

  /** Whether the file has this item. */
  has(item: Id): boolean;

  /**
   * Title of an item; "" where the file has none.
   *
   * @throws UnknownIdError if the item is not in the file.
   */
  title(item: Id): string;

  /** Id of a row, 0 to info.nItems - 1. */
  id(row: number): string;

  /**
   * Items whose title (or id, where there is no title) has all words of the text, case and accents ignored; those
   * that begin with it come first. The first call makes an index of all titles.
   */
  search(text: string, limit?: number): Item[];
}
