/**
 * Work whose Nth operation is known from N alone and takes exactly one LSN, so that the last LSN of a tree tells
 * what it must hold. Shared by the process that is killed and the test that looks at what is left.
 */
const DIRECTORIES = 40;
const FILES = 75;

function mix(number, salt) {
  let hash = Math.imul(number + salt * 7919, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** Operations that follow each other stay in one directory for a while, as a real load's do. */
const keyOf = (number, hash) => `d/dir${(number >> 6) % DIRECTORIES}/file-${hash % FILES}`;

/** The changes of operation `number` (from 1): pairs of key and value, undefined for a deletion. */
export function operation(number) {
  const kind = mix(number, 1) % 10;
  const value = Buffer.alloc(mix(number, 2) % 6000, number & 255);
  const key = keyOf(number, mix(number, 3));
  if (kind < 6) return [[key, value]];
  const changes = [
    ['last', Buffer.from(String(number))],
    [key, kind < 8 ? undefined : value],
  ];
  for (let i = 0; i < kind - 6; i++)
    changes.push([keyOf(number + 64 * i, mix(number, 4 + i)), i === 1 ? undefined : value]);
  return changes;
}

export function perform(tree, number) {
  const changes = operation(number);
  if (changes.length === 1) {
    tree.put(changes[0][0], changes[0][1]);
    return;
  }
  tree.atomic((batch) => {
    for (const [key, value] of changes) {
      if (value === undefined) batch.delete(key);
      else batch.put(key, value);
    }
  });
}
