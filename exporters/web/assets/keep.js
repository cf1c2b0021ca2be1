// The model, kept on the device under its own name: another export of the page does not fetch it again, and a
// newer model comes as a delta where there is one.

import { sha256, updateCached } from "./sparsedevice-delta.js";
import { SparseRecommender } from "./sparsedevice.js";

const MODEL = "model.sd";
const FACTS = "model.json"; /* sha256 and bytes of the model that the server has */
const UPDATE = "update.sdd"; /* what `sparsedevice diff OLD/model.sd NEW/model.sd --out NEW/update.sdd` wrote */
const CACHE = `sparsedevice-model ${new URL(".", document.baseURI).pathname}`;

/* The kept model, else the server's, which is kept once it has been opened. */
export async function openModel(onProgress) {
  const cache = "caches" in window ? await caches.open(CACHE) : null;
  const kept = await cache?.match(MODEL);
  if (kept) {
    try {
      return await SparseRecommender.open(kept, { onProgress });
    } catch {
      await cache.delete(MODEL); /* damaged, or of a version that this page does not read */
    }
  }
  const response = await fetch(MODEL, { cache: "no-cache" });
  const copy = response.ok && cache ? response.clone() : null;
  const recommender = await SparseRecommender.open(response, { onProgress });
  await cache?.put(MODEL, copy);
  return recommender;
}

/* Fetch the server's model where it is another than the kept one: by delta, or whole. Returns whether it was. */
export async function updateModel() {
  const cache = await caches.open(CACHE);
  const [facts, kept] = await Promise.all([fetchNew(FACTS), cache.match(MODEL)]);
  if (!facts || !kept) {
    return false;
  }
  const wanted = (await facts.json()).sha256;
  if ((await sha256(await kept.arrayBuffer())) === wanted) {
    return false;
  }
  try {
    const delta = await fetchNew(UPDATE);
    if (delta && (await sha256(await updateCached(cache, MODEL, await delta.arrayBuffer()))) === wanted) {
      return true;
    }
  } catch (error) {
    console.info(`${error.message}; fetching the full model`);
  }
  const whole = await fetchNew(MODEL);
  const bytes = await whole?.arrayBuffer();
  if (!bytes || (await sha256(bytes)) !== wanted) {
    return false; /* the server is just being changed: next time */
  }
  await cache.put(MODEL, new Response(bytes, { headers: { "content-length": String(bytes.byteLength) } }));
  return true;
}

async function fetchNew(name) {
  const response = await fetch(name, { cache: "no-cache" }).catch(() => null);
  return response?.ok ? response : null;
}
