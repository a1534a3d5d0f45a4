/** A command line in the quoting of a POSIX shell, on one line: a line's end in a word is the shell's variable `nl`. */
export function shellWords(words: readonly string[]): string {
  return words.map(quoted).join(' ');
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''").replaceAll('\n', `'"$nl"'`)}'`;
}
