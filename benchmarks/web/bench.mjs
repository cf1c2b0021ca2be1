// Timing of one arm: runs in Node and in a page. A clock in an isolated page ticks every 5 microseconds, so
// calls are timed there in groups of a fifth of a millisecond, in Node one by one.

const GROUP_MS = typeof process === "undefined" ? 0.2 : 0;

/** Median time of `ask` in microseconds. */
export async function median(ask, { groups = 1000, warmupMs = 500 } = {}) {
  const begin = performance.now();
  let asked = 0;
  while (performance.now() - begin < warmupMs) {
    await ask(asked++);
  }
  const size = Math.max(1, Math.ceil((GROUP_MS * asked) / warmupMs));
  const times = [];
  for (let group = 0; group < groups; group++) {
    const start = performance.now();
    for (let i = 0; i < size; i++) {
      const answer = ask(asked++);
      if (answer instanceof Promise) {
        await answer;
      }
    }
    times.push(((performance.now() - start) * 1000) / size);
  }
  times.sort((a, b) => a - b);
  return times[groups >> 1];
}

export function histories(nItems, length) {
  return Array.from({ length: 64 }, (_, i) =>
    Array.from({ length }, (_, j) => String((i * 977 + j * 10_139 + 7) % nItems)),
  );
}

/** Median microseconds of `recommend`: ids in, ids out, the history left out. */
export async function sparse(moduleUrl, model, { simd, k, length }) {
  const { SparseRecommender } = await import(moduleUrl);
  const recommender = await SparseRecommender.open(model, { simd });
  const asked = histories(recommender.info.nItems, length);
  return median((i) => recommender.recommend({ history: asked[i % asked.length], k }));
}

/** The same question to a dense fp32 model in onnxruntime-web: ids in, ids out, the history left out. */
export async function dense(ortUrl, graph, { nItems, length }) {
  const { ort, session } = await open(ortUrl, graph);
  const ids = Array.from({ length: nItems }, (_, row) => String(row));
  const rows = new Map(ids.map((id, row) => [id, row]));
  const asked = histories(nItems, length);
  return median(async (i) => {
    const history = asked[i % asked.length];
    const known = BigInt64Array.from(history, (id) => BigInt(rows.get(id)));
    const answer = await session.run({ history: new ort.Tensor("int64", known, [length]) });
    const scores = answer.best.data;
    return Array.from(answer.rows.data, (row, place) => ({ id: ids[Number(row)], score: scores[place] }));
  });
}

/** MatMul and TopK alone, the query ready-made, row numbers out. */
export async function denseRows(ortUrl, graph, { dim }) {
  const { ort, session } = await open(ortUrl, graph);
  const queries = Array.from(
    { length: 64 },
    (_, i) => new ort.Tensor("float32", Float32Array.from({ length: dim }, (_, j) => Math.sin(i * 31 + j * 7)), [1, dim]),
  );
  return median((i) => session.run({ q: queries[i % queries.length] }));
}

async function open(ortUrl, graph) {
  const ort = await import(ortUrl);
  ort.env.wasm.numThreads = 1;
  const bytes = new Uint8Array(await (await fetch(graph)).arrayBuffer());
  return { ort, session: await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] }) };
}

if (typeof process !== "undefined" && process.argv[1]?.endsWith("bench.mjs")) {
  const [module, model, simd, k, length] = process.argv.slice(2);
  const options = { simd: simd === "true", k: Number(k), length: Number(length) };
  console.log(await sparse(module, model, options));
}
