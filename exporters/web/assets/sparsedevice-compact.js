/**
 * Make of a compact file, which is small to download, the packed file that it stands for, in a browser or in
 * Node (18 or newer). `SparseRecommender.open` does so by itself; an app that keeps models expands one once.
 *
 *     import { expand } from "./sparsedevice-compact.js";
 *     const model = await expand(await (await fetch("model.sdz")).arrayBuffer());
 *
 * The types are in sparsedevice-compact.d.ts, the form of the file in the project's docs/compact.md.
 */

import { readCompact } from "./sparsedevice-compact-body.js";
import { Source } from "./sparsedevice-content.js";
import { PackedFileError } from "./sparsedevice-errors.js";
import { buildFile } from "./sparsedevice-packed.js";
import { COMPACT, canHold, hex, inRange, inflate, openSealed, sha256, toBytes } from "./sparsedevice-sealed.js";

const HEADER_BYTES = 72;

/** The packed file that `coded` stands for, as new bytes: the right one, or an error. */
export async function expand(coded) {
  const bytes = toBytes(coded);
  const view = openSealed(bytes, COMPACT, HEADER_BYTES, "compact file");
  const [resultBytes, bodyBytes, streamBytes] = [16, 24, 32].map((at) => Number(view.getBigUint64(at, true)));
  const rest = bytes.subarray(HEADER_BYTES);
  if (!canHold(bytes.length, resultBytes) || streamBytes > rest.length) {
    throw new PackedFileError("lengths", `${bytes.length} bytes cannot stand for ${resultBytes}; fetch the file again`);
  }
  const body = await inflate(rest.subarray(0, streamBytes), bodyBytes);
  const result = inRange(() =>
    buildFile(readCompact(new Source(body), new Source(rest.subarray(streamBytes)), resultBytes), resultBytes),
  );
  if ((await sha256(result)) !== hex(bytes.subarray(40, HEADER_BYTES))) {
    throw new PackedFileError("result", "the compact file does not give the file that it promises; fetch it again");
  }
  return result;
}
