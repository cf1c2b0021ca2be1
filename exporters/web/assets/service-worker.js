// Keeps the page and the module on the device, so that they work without a network; the page keeps the model.
// A new export carries another version: the browser then fetches all files anew and drops the old ones.
// A page that is open goes on with what it has loaded, and offers to start again.

const PREFIX = `sparsedevice ${self.registration.scope} `;
const CACHE = `${PREFIX}VERSION_OF_THE_BUNDLE`;
const FILES = [
  "./",
  "app.js",
  "style.css",
  "icon.svg",
  "app.webmanifest",
  "sparsedevice.js",
  "sparsedevice-errors.js",
  "sparsedevice-loading.js",
  "sparsedevice-search.js",
  "sparsedevice-delta.js",
  "sparsedevice-delta-body.js",
  "sparsedevice-packed.js",
  "sparsedevice-strings.js",
  "sparsedevice-sealed.js",
  "sparsedevice-content.js",
  "sparsedevice-compact.js",
  "sparsedevice-compact-body.js",
  "sparsedevice-prefix-codes.js",
  "sparsedevice-blocks.js",
  "sparsedevice-columns.js",
  "keep.js",
  "sparsedevice.wasm",
  "sparsedevice-simd.wasm",
];

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(
    caches.open(CACHE).then((cache) => cache.addAll(FILES.map((name) => new Request(name, { cache: "no-cache" })))),
  );
});

self.addEventListener("activate", (event) => {
  const old = (name) => name.startsWith(PREFIX) && name !== CACHE;
  const drop = async () => Promise.all((await caches.keys()).filter(old).map((name) => caches.delete(name)));
  event.waitUntil(drop().then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") {
    return;
  }
  event.respondWith(
    caches
      .open(CACHE)
      .then((cache) => cache.match(event.request, { ignoreSearch: true }))
      .then((kept) => kept ?? fetch(event.request)),
  );
});
