// node short_memory.mjs MODULE MODEL: what is said where the memory cannot grow, and that it goes on.
const { SparseRecommender } = await import(process.argv[2]);
const recommender = await SparseRecommender.open(process.argv[3]);
const grow = WebAssembly.Memory.prototype.grow;
WebAssembly.Memory.prototype.grow = () => {
  throw new RangeError("no memory");
};
const many = Array.from({ length: 200_000 }, (_, i) => `unknown ${i}`);
try {
  recommender.recommend({ history: many });
} catch (error) {
  console.log(error.name, error.message);
}
WebAssembly.Memory.prototype.grow = grow;
console.log(recommender.recommend({ history: ["id 0 ü"], k: 2 }).items.length);
