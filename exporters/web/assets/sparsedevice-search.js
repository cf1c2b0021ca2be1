// Search by title: case and accents ignored, all words wanted.

/* Lower case, no accents. */
export function fold(text) {
  return String(text).normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().trim();
}

/* Rows whose text has every word; first where the text begins with the words, then where each word
 * begins one, then the rest; in row order within each. */
export function searchIndex(index, words, limit) {
  const found = [[], [], []];
  const whole = words.join(" ");
  for (let row = 0; row < index.length && found[0].length < limit; row++) {
    const text = index[row];
    if (words.every((word) => text.includes(word))) {
      const begins = (word) => text.startsWith(word) || text.includes(` ${word}`);
      const group = found[text.startsWith(whole) ? 0 : words.every(begins) ? 1 : 2];
      if (group.length < limit) {
        group.push(row);
      }
    }
  }
  return found.flat().slice(0, limit);
}
