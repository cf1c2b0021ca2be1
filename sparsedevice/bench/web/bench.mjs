// The phases of sparsedevice/bench/phases.py for the ES module of a web bundle: in a page, and in Node (18 or
// newer). Calls are timed in groups, so that a sample is many ticks of the clock: a browser's clock is coarse.

const TICKS_A_SAMPLE = 20;
const CHUNK = 2048;
const LEAST = 50;
const MOST = 1 << 14;

/** The result, JSON-ready; `emit(phase, samples in ns)` gets the samples while they are taken. */
export async function measure({ task, moduleUrl, model, emit, memory }) {
  const { SparseRecommender } = await import(moduleUrl);
  const { settings, histories, shortlist } = task;
  const resolutionUs = clockResolution();
  const simd = { "wasm-simd": true, scalar: false }[settings.kernel] ?? "auto";
  const before = memory?.();

  const loadMs = await milliseconds(() => SparseRecommender.open(model, { simd, verify: false }));
  const recommender = loadMs.value;
  let asked = 0;
  const ask = (k = settings.k) => recommender.recommend({ history: histories[asked++ % histories.length], k });
  const firstQuery = await milliseconds(() => ask());
  await emit("first_query", [firstQuery.ms * 1e6]);
  const warm = await milliseconds(() => {
    for (let i = 0; i < settings.warmup; i++) {
      ask();
    }
  });
  const after = memory?.();

  /* Until a sample is long beside a tick. The engine compiles meanwhile, so the last guess is the one taken. */
  const groupFor = (call) => {
    let [group, us] = [1, 0];
    for (let i = 0; i < 12; i++) {
      const start = performance.now();
      for (let j = 0; j < group; j++) {
        call();
      }
      us = (performance.now() - start) * 1000;
      if (us < TICKS_A_SAMPLE * resolutionUs) {
        group *= 2;
      }
    }
    return group;
  };
  const steady = async (phase, call, { repetitions, seconds, most = 1 << 20 }) => {
    const group = groupFor(call);
    const samples = [];
    let sent = 0;
    const end = performance.now() + seconds * 1000;
    while (samples.length * group < repetitions || (performance.now() < end && samples.length < most)) {
      const start = performance.now();
      for (let i = 0; i < group; i++) {
        call();
      }
      samples.push(((performance.now() - start) * 1e6) / group);
      if (samples.length - sent === CHUNK) {
        await emit(phase, samples.slice(sent));
        sent = samples.length;
        call();
      }
    }
    await emit(phase, samples.slice(sent));
    return { samples, summary: { ...summarise(samples), queries_a_sample: group } };
  };

  const { repetitions, min_seconds: seconds, batch } = settings;
  const whole = await steady("end_to_end", ask.bind(null, settings.k), { repetitions, seconds });
  const least = { repetitions: Math.min(repetitions, LEAST), seconds: seconds / 4, most: MOST };
  const part = async (phase, call) => (await steady(phase, call, least)).summary;
  const phases = {
    lookup: await part("lookup", () => recommender.lookup(histories[asked++ % histories.length])),
    shortlist: await part("shortlist", () =>
      recommender.score({ history: histories[asked++ % histories.length], items: shortlist }),
    ),
    top_1: await part("top_1", () => ask(1)),
  };
  const many = await part("batch", () => {
    for (let i = 0; i < batch; i++) {
      ask();
    }
  });
  let queries = 0;
  const started = performance.now();
  do {
    ask();
    queries++;
  } while (performance.now() - started < seconds * 250);
  const perSecond = (queries * 1000) / (performance.now() - started);
  /* What verifying adds to opening, both from a network cache or a disk cache that is warm by now. */
  const plain = await milliseconds(() => SparseRecommender.open(model, { simd, verify: false }));
  const verified = await milliseconds(() => SparseRecommender.open(model, { simd, verify: true }));
  return {
    verify_ms: Math.max(0, verified.ms - plain.ms),
    load_ms: loadMs.ms,
    first_query_us: firstQuery.ms * 1000,
    warmup_us: settings.warmup ? (warm.ms * 1000) / settings.warmup : null,
    ...whole.summary,
    phases,
    batch: { size: batch, ...many },
    queries_per_second: perSecond,
    kernel: recommender.info.kernel,
    clock_resolution_us: resolutionUs,
    ...memoryFields(before, after),
  };
}

/** The least step of the clock that was seen, in microseconds. */
function clockResolution() {
  let least = Infinity;
  for (let i = 0; i < 50; i++) {
    const start = performance.now();
    let now = start;
    while (now === start) {
      now = performance.now();
    }
    least = Math.min(least, now - start);
  }
  return Math.round(least * 1e6) / 1e3;
}

async function milliseconds(call) {
  const start = performance.now();
  const value = await call();
  return { ms: performance.now() - start, value };
}

function memoryFields(before, after) {
  if (!before || !after) {
    return { anonymous_bytes: null, memory_note: "a page cannot read its process's memory" };
  }
  return {
    anonymous_bytes: after.anonymous - before.anonymous,
    pss_bytes: after.pss,
    resident_bytes: after.resident,
  };
}

function summarise(samples) {
  const us = Float64Array.from(samples, (ns) => ns / 1000).sort();
  const n = us.length;
  const at = (share) => {
    const place = share * (n - 1);
    const low = Math.floor(place);
    return us[low] + (us[Math.min(low + 1, n - 1)] - us[low]) * (place - low);
  };
  const mean = us.reduce((sum, value) => sum + value, 0) / n;
  const variance = us.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n;
  return {
    p50_us: at(0.5),
    p90_us: at(0.9),
    p99_us: at(0.99),
    mean_us: mean,
    std_us: Math.sqrt(variance),
    min_us: us[0],
    max_us: us[n - 1],
    n,
  };
}

/** In a page: fetch the task, send what is found back to where it came from. */
export async function runInPage() {
  const send = (event) => fetch("events", { method: "POST", body: JSON.stringify(event) });
  const emit = (phase, ns) => send({ event: "samples", phase, ns });
  try {
    const task = await (await fetch("task.json")).json();
    const folder = new URL(".", import.meta.url).href;
    const model = `${folder}model.sd`;
    const result = await measure({ task, moduleUrl: `${folder}sparsedevice.js`, model, emit });
    await send({ event: "result", ...result, user_agent: navigator.userAgent });
  } catch (error) {
    await send({ event: "error", message: `the page failed: ${error?.message ?? error}` });
  }
}

if (typeof process !== "undefined" && process.versions?.node) {
  const { readFileSync } = await import("node:fs");
  const { pathToFileURL } = await import("node:url");
  const { resolve } = await import("node:path");
  const folder = resolve(process.argv[2]);
  const print = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
  const memory = () => {
    globalThis.gc?.();
    try {
      const text = readFileSync("/proc/self/smaps_rollup", "utf8");
      const bytes = (name) => 1024 * Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)[1]);
      return { anonymous: bytes("Anonymous") + bytes("Swap"), pss: bytes("Pss"), resident: bytes("Rss") };
    } catch {
      return undefined;
    }
  };
  try {
    const result = await measure({
      task: JSON.parse(readFileSync(process.argv[3], "utf8")),
      moduleUrl: pathToFileURL(`${folder}/sparsedevice.js`).href,
      model: `${folder}/model.sd`,
      emit: (phase, ns) => print({ event: "samples", phase, ns }),
      memory,
    });
    print({ event: "result", ...result });
  } catch (error) {
    print({ event: "error", message: `Node failed: ${error?.message ?? error}` });
  }
}
