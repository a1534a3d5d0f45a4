/** Making, renaming and removing files through `FileSystem`, without a mount: what two kinds of store take for the same. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Tree } from '../../dist/engine/index.js';
import { FileSystem } from '../../dist/mount/filesystem/file-system.js';
import { FILESYSTEM_MEASURE } from '../../dist/mount/sums/filesystem-measure.js';
import { median } from './lib/report.mjs';

const CALLER = { uid: 0, gid: 0, pid: 1, umask: 0 };
const REGULAR = 0o100644;
const MIB = 1024 * 1024;
/** In one turn, and turns that count. */
const OPERATIONS = 10_000;
const ROUNDS = 21;
const ROOT = Buffer.from('');

export const NAME_OPERATIONS = ['create', 'rename', 'unlink'];

/** A store with a directory `work`, in which turns are taken. */
export class NamesStore {
  #fs;
  #out = {};
  #removed = { removedIno: 0, removedLinks: 0, movedIno: 0 };
  #place = Buffer.from('/work');

  /** `isMeasured`: whether sums are kept. */
  constructor(store, isMeasured) {
    this.store = store;
    this.tree = Tree.open({
      dir: store,
      durability: 'written',
      cacheBytes: 256 * MIB,
      checkpoint: { host: 'worker' },
      ...(isMeasured && { measure: FILESYSTEM_MEASURE }),
    });
    this.#fs = new FileSystem(this.tree, {
      contentDirectory: join(store, 'content'),
      readOnly: false,
      keepsNodes: false,
      rests: false,
      reclaimer: { schedule: () => {} },
    });
    this.#fs.start();
    expectDone(this.#fs.mkdir(CALLER, ROOT, Buffer.from('work'), 0o755, this.#out));
  }

  limit(name, value) {
    expectDone(this.#fs.setxattr(CALLER, this.#place, Buffer.from(name), Buffer.from(value), 0));
  }

  /** Makes as many files, renames each, and removes all but each tenth. Returns microseconds of processor time an operation. */
  turn(round, count) {
    const fs = this.#fs;
    const names = Array.from({ length: count }, (_, i) => Buffer.from(`file-${round}-${i}`));
    const others = names.map((name) => Buffer.from(`${name}~`));
    const timed = (act) => {
      const { user, system } = process.cpuUsage();
      for (let i = 0; i < count; i++) act(i);
      const after = process.cpuUsage();
      return (after.user + after.system - user - system) / count;
    };
    const place = this.#place;
    return {
      create: timed((i) => expectDone(fs.mknod(CALLER, place, names[i], REGULAR, 0, this.#out))),
      rename: timed((i) =>
        expectDone(fs.rename(CALLER, place, names[i], place, others[i], 0, this.#removed)),
      ),
      unlink: timed((i) => i % 10 > 0 && expectDone(fs.unlink(CALLER, place, others[i], this.#removed))),
    };
  }

  close() {
    this.#fs.close();
    this.tree.close();
    rmSync(this.store, { recursive: true });
  }
}

/**
 * The two take turns, the first of which warms up. Returns, for each operation, the median of microseconds without and with, and
 * of their ratios in one turn.
 */
export function compareNames(without, using) {
  const times = Object.fromEntries(NAME_OPERATIONS.map((name) => [name, [[], []]]));
  for (let round = 0; round <= ROUNDS; round++) {
    const both = round % 2 === 0 ? [without, using] : [using, without];
    for (const store of both) {
      const took = store.turn(round, OPERATIONS);
      if (round > 0)
        for (const name of NAME_OPERATIONS) times[name][store === without ? 0 : 1].push(took[name]);
    }
    // Nobody pays for the other's checkpoint.
    for (const store of both) store.tree.checkpoint();
  }
  return Object.fromEntries(
    Object.entries(times).map(([name, [one, other]]) => [
      name,
      { without: median(one), with: median(other), ratio: median(other.map((time, i) => time / one[i])) },
    ]),
  );
}

function expectDone(result) {
  if (result !== 0) throw new Error(`Cannot go on: errno ${-result}`);
}
