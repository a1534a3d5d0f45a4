/** The directory rollup of the stores that have none: one seek for each directory. */

const SLASH = 0x2f;

/**
 * Counts the directories directly below `prefix`. `seek(key)` gives the first key that is not less, or undefined;
 * or a promise of that.
 */
export async function rollUp(prefix, seek) {
  let directories = 0;
  let from = prefix;
  for (;;) {
    let key = seek(from);
    if (key instanceof Promise) key = await key;
    if (key === undefined || key.compare(prefix, 0, prefix.length, 0, prefix.length) !== 0)
      return directories;
    const end = key.indexOf(SLASH, prefix.length);
    if (end === -1) {
      from = Buffer.concat([key, Buffer.alloc(1)]);
      continue;
    }
    directories++;
    // After the last key that begins with the directory's name and the slash.
    from = Buffer.from(key.subarray(0, end + 1));
    from[end] = SLASH + 1;
  }
}
