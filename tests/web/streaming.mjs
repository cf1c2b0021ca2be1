// node streaming.mjs MODULE MODEL: loading in parts, a missing file, and a connection that breaks off.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const { SparseRecommender } = await import(process.argv[2]);
const data = readFileSync(process.argv[3]);
let goOn;
const server = createServer((request, response) => {
  if (request.url === "/none.sd") {
    response.statusCode = 404;
    response.end();
    return;
  }
  response.setHeader("content-length", data.length);
  response.write(data.subarray(0, 100));
  goOn = () => (request.url === "/broken.sd" ? response.destroy() : response.end(data.subarray(100)));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${server.address().port}/`;

const steps = [];
const onProgress = (...step) => {
  steps.push(step);
  goOn(); // the rest comes only when the first part has arrived
};
const recommender = await SparseRecommender.open(`${url}model.sd`, { onProgress });
const same = recommender.info.fileBytes === (await SparseRecommender.open(data)).info.fileBytes;
console.log(JSON.stringify(steps.at(-1)), steps.length > 1, same);
for (const name of ["none.sd", "broken.sd"]) {
  await SparseRecommender.open(url + name, { onProgress }).catch((error) => console.log(error.name, error.message));
}
server.close();
server.closeAllConnections?.();
