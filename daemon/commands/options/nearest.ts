/** What somebody may have meant who mistyped a word. */

const MOST_MISTAKES = 2;

/** The likeliest of `known`: one that `word` begins, or that two typing mistakes at most make of it. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const begun = known.filter((name) => word.length > 1 && name.startsWith(word));
  if (begun.length === 1) return begun[0];
  // As many mistakes as letters would make any word of any other.
  const most = Math.min(MOST_MISTAKES, word.length - 1);
  return known
    .map((name) => ({ name, mistakes: mistakesBetween(word, name) }))
    .filter(({ mistakes }) => mistakes <= most)
    .sort((a, b) => a.mistakes - b.mistakes)[0]?.name;
}

/** Letters to add, drop or replace (the distance of Levenshtein). */
function mistakesBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
