// Numbers in blocks: the first, then differences in as many bits as the block needs (docs/format.md, "Numbers").

export const NUMBER_BLOCK = 16;
const STEP_BITS = 6;

export const bitLength = (number) => (number < 2 ? number : Math.floor(Math.log2(number)) + 1);

/* Read the `count` numbers of a block, of `width` bits each. */
export function takeBlock(stream, count, width) {
  const numbers = [stream.take(width)];
  const step = count > 1 ? stream.take(STEP_BITS) : 0;
  while (numbers.length < count) {
    numbers.push((numbers.at(-1) + stream.take(step)) % 2 ** width);
  }
  return numbers;
}

export function putBlock(codes, numbers, width) {
  const rest = numbers.slice(1).map((number, i) => (number - numbers[i] + 2 ** width) % 2 ** width);
  const step = bitLength(Math.max(0, ...rest));
  codes.put(numbers[0], width);
  codes.put(step, rest.length ? STEP_BITS : 0);
  rest.forEach((difference) => codes.put(difference, step));
}
