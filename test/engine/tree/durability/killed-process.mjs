/**
 * Opens a tree and does numbered work from where it stands, telling each acknowledged number, until it is killed. It
 * syncs after every so many operations, if at all: what comes after is in the journal's ring only.
 */
import fs from 'node:fs';
import { perform } from './numbered-work.mjs';

/** Writes to the pipe, which is full where the reader is slow. */
function tell(line) {
  for (;;) {
    try {
      fs.writeSync(1, line);
      return;
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}

const [engine, options, syncEvery] = process.argv.slice(2);
const { Tree } = await import(engine);
const tree = Tree.open(JSON.parse(options));
for (let number = tree.lastLsn() + 1; ; number++) {
  perform(tree, number);
  tell(`${number}\n`);
  if (number % Number(syncEvery) === 0) tree.sync();
  if (number % 211 === 0) tree.checkpoint();
  if (number % 1009 === 0) tree.compact();
}
