// node expand.mjs MODULE_FOLDER CODED PACKED TURNS: milliseconds of expanding and of opening, as JSON.
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [folder, codedPath, packedPath, turns] = process.argv.slice(2);
const at = (name) => new URL(name, `${pathToFileURL(folder)}/`);
const { expand } = await import(at("sparsedevice-compact.js"));
const { SparseRecommender } = await import(at("sparsedevice.js"));
const [coded, packed] = await Promise.all([readFile(codedPath), readFile(packedPath)]);

async function timed(work) {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

const times = { expand: [], open: [] };
for (let turn = 0; turn < Number(turns); turn++) {
  times.expand.push(await timed(() => expand(coded)));
  times.open.push(await timed(() => SparseRecommender.open(packed)));
}
const same = Buffer.compare(Buffer.from(await expand(coded)), packed) === 0;
console.log(JSON.stringify({ same, ...times }));
