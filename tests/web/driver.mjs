// Answers test messages with the ES module: JSON lines in Node, direct calls in a browser.
// A fault of the module (anything but its own errors) is reported as "Fault" and fails the test.

const decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const encode = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

export async function makeHandler(moduleUrl) {
  const web = await import(moduleUrl);
  const opened = [];
  const operations = {
    async open({ source, options }) {
      opened.push(await web.SparseRecommender.open(source, options));
      return { handle: opened.length - 1, info: opened.at(-1).info };
    },
    // Each core has a memory of its own, and a browser reserves gigabytes of addresses for one.
    close({ handle }) {
      opened[handle] = undefined;
    },
    recommend: ({ handle, question }) => opened[handle].recommend(question),
    similar: ({ handle, item, k }) => opened[handle].similar(item, k),
    score: ({ handle, question }) => Array.from(opened[handle].score(question)),
    lookup: ({ handle, ids }) =>
      opened[handle].lookup(ids).map((row) => ({ columns: [...row.columns], values: [...row.values] })),
    search: ({ handle, text, limit }) => opened[handle].search(text, limit),
    title: ({ handle, item }) => opened[handle].title(item),
    async applyDelta({ base, delta }) {
      const { applyDelta } = await import(new URL("sparsedevice-delta.js", moduleUrl));
      return encode(await applyDelta(decode(base), decode(delta)));
    },
    async expand({ coded }) {
      const { expand } = await import(new URL("sparsedevice-compact.js", moduleUrl));
      return encode(await expand(decode(coded)));
    },
    packed: ({ handle }) => encode(opened[handle].packed()),
    has: ({ handle, item }) => opened[handle].has(item),
  };
  return async (message) => {
    try {
      return { answer: await operations[message.operation](message) };
    } catch (error) {
      const own = error instanceof web.SparseDeviceError;
      return { error: own ? error.name : "Fault", message: own ? error.message : String(error.stack) };
    }
  };
}

if (typeof process !== "undefined" && process.argv[2]) {
  const { createInterface } = await import("node:readline");
  const handle = await makeHandler(process.argv[2]);
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await handle(JSON.parse(line)))}\n`);
  }
}
