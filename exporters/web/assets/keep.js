// The model, kept on the device under its own name: another export of the page does not fetch it again, and a
// newer model comes as a delta where there is one. It is downloaded in the compact coding and kept as it is used.

import { sha256, updateCached } from "./sparsedevice-delta.js";
import { SparseRecommender } from "./sparsedevice.js";

const MODEL = "model.sd";
const FACTS = "model.json"; /* sha256 of the server's model, and its name in the compact coding where that is there */
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
  const facts = await fetchNew(FACTS);
  const recommender = await openServed(facts ? await facts.json() : {}, onProgress);
  await cache?.put(MODEL, asResponse(recommender.packed()));
  return recommender;
}

/* Fetch the server's model where it is another than the kept one: by delta, or whole. Returns whether it was. */
export async function updateModel() {
  const cache = await caches.open(CACHE);
  const [response, kept] = await Promise.all([fetchNew(FACTS), cache.match(MODEL)]);
  if (!response || !kept) {
    return false;
  }
  const facts = await response.json();
  if ((await sha256(await kept.arrayBuffer())) === facts.sha256) {
    return false;
  }
  try {
    const delta = await fetchNew(UPDATE);
    if (delta && (await sha256(await updateCached(cache, MODEL, await delta.arrayBuffer()))) === facts.sha256) {
      return true;
    }
  } catch (error) {
    console.info(`${error.message}; fetching the full model`);
  }
  const model = (await openServed(facts).catch(() => null))?.packed();
  if (!model || (await sha256(model)) !== facts.sha256) {
    return false; /* the server is just being changed: next time */
  }
  await cache.put(MODEL, asResponse(model));
  return true;
}

/* The server's model, opened: from its compact coding where that is to be had and can be checked. */
async function openServed({ compact }, onProgress) {
  const open = async (name) => SparseRecommender.open(await fetch(name, { cache: "no-cache" }), { onProgress });
  if (compact && window.isSecureContext) {
    try {
      return await open(compact);
    } catch (error) {
      console.info(`${error.message}; fetching the packed model`);
    }
  }
  return open(MODEL);
}

function asResponse(model) {
  return new Response(model, { headers: { "content-length": String(model.byteLength) } });
}

async function fetchNew(name) {
  const response = await fetch(name, { cache: "no-cache" }).catch(() => null);
  return response?.ok ? response : null;
}
