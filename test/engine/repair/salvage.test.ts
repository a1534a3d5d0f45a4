/** Salvage of trees whose manifest is lost: what of the journal is played again, and what is not. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type RepairFinding, salvage, Tree, Wreck } from '../../../engine/index.js';
import { BLOB_SIZE } from '../../../engine/limits.js';
import { SILENT } from '../../../engine/progress.js';
import { imageRow, sealImage, verifyImage } from '../../../engine/store/image.js';

let home: string;
let dir: string;

beforeEach(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-salvage-'));
  dir = path.join(home, 'store');
});
afterEach(() => fs.rmSync(home, { recursive: true, force: true }));

/** Does `work` on a tree, and gives what it holds in the end. */
function write(work: (tree: Tree) => void): Record<string, string> {
  const tree = Tree.open({ dir, checkpoint: { enabled: false } });
  try {
    work(tree);
    return holdings(tree);
  } finally {
    tree.close();
  }
}

function holdings(tree: Tree): Record<string, string> {
  const items = [...tree.range()].flatMap((item) => (item.type === 'key' ? [item] : []));
  return Object.fromEntries(
    items.map(({ key, value }) => [Buffer.from(key).toString(), Buffer.from(value).toString()]),
  );
}

function salvaged(): { held: Record<string, string>; findings: string[] } {
  const findings: RepairFinding[] = [];
  const tree = Tree.open({ dir: path.join(home, 'new'), checkpoint: { enabled: false } });
  const wreck = new Wreck(dir, SILENT);
  try {
    salvage({
      wreck,
      tree,
      unproven: false,
      progress: SILENT,
      report: (finding) => findings.push(finding),
      detached: () => undefined,
    });
    const told = findings
      .filter(({ kind }) => kind !== 'note')
      .map(({ kind, message }) => `${kind}: ${message}`);
    return { held: holdings(tree), findings: told };
  } finally {
    wreck.close();
    tree.close();
  }
}

const bytes = (text: string) => Buffer.from(text);
const loseManifest = () => {
  for (const name of ['manifest', 'manifest.log']) fs.rmSync(path.join(dir, name));
};

function fill(tree: Tree): void {
  for (let n = 0; n < 50; n++) tree.put(`a/${n}`, bytes(`value ${n}`));
}

describe('without a manifest', () => {
  test('moves that the images have are not made again', () => {
    const held = write((tree) => {
      fill(tree);
      tree.renamePrefix('a/', 'b/');
      tree.put('a/0', bytes('another'));
      tree.checkpoint();
      tree.put('b/1', bytes('later'));
      tree.delete('b/2');
    });
    loseManifest();
    expect(salvaged()).toEqual({ held, findings: [] });
  });

  test('moves after a key that the images would have are made', () => {
    const held = write((tree) => {
      fill(tree);
      tree.checkpoint();
      tree.put('proof', bytes('of a later time'));
      tree.renamePrefix('a/', 'b/');
      tree.renamePrefix('b/', 'c/');
      tree.put('a/0', bytes('new'));
    });
    loseManifest();
    expect(salvaged()).toEqual({ held, findings: [] });
  });

  test('a journal file that was only begun hides no other', () => {
    const held = write((tree) => {
      fill(tree);
      tree.checkpoint();
      tree.put('later', bytes('value'));
    });
    loseManifest();
    fs.writeFileSync(path.join(dir, 'journal-00000000000000ff.wal'), '');
    expect(salvaged()).toEqual({ held, findings: [] });
  });

  test('a journal none of whose files has a header is told', () => {
    write((tree) => {
      fill(tree);
      tree.checkpoint();
      tree.put('later', bytes('value'));
    });
    loseManifest();
    for (const name of fs.readdirSync(dir)) {
      if (/^journal(\.ring|-.*)$/.test(name)) fs.truncateSync(path.join(dir, name), 20);
    }
    const { held, findings } = salvaged();
    expect(held['a/49']).toBe('value 49');
    expect(findings).toEqual([expect.stringMatching(/^lost: .*none of its files has a sound header/)]);
  });

  test('two images of one checkpoint are told, and the one with the newer record is taken', () => {
    const data = path.join(dir, 'blobs.dat');
    write((tree) => {
      fill(tree);
      tree.checkpoint();
    });
    const stale = fs.readFileSync(data).subarray(0, BLOB_SIZE);
    const held = write((tree) => {
      tree.put('a/0', bytes('another'));
      tree.checkpoint();
    });
    // As of a round that a crash cut short: the next one takes its number again.
    const whole = fs.readFileSync(data);
    const slots = Array.from({ length: whole.length / BLOB_SIZE }, (_, slot) =>
      whole.subarray(slot * BLOB_SIZE, (slot + 1) * BLOB_SIZE),
    );
    const newest = Math.max(
      ...slots
        .filter((image) => verifyImage(image, 1) === undefined)
        .map((image) => imageRow(image).generation),
    );
    sealImage(stale, 1, newest);
    fs.appendFileSync(data, stale);
    loseManifest();
    const { held: found, findings } = salvaged();
    expect(found).toEqual(held);
    expect(findings).toEqual([
      expect.stringMatching(/^older: Blob 1: checkpoint \d+ left several images of it/),
    ]);
  });

  test('a move that nothing proves is left out, and told', () => {
    write((tree) => {
      fill(tree);
      tree.checkpoint();
      tree.renamePrefix('a/', 'b/');
      tree.put('after', bytes('the move'));
    });
    loseManifest();
    const { held, findings } = salvaged();
    expect(findings).toEqual([
      expect.stringMatching(/^lost: The journal has 1 moves of directories, from LSN 51 on/),
    ]);
    expect(held['a/7']).toBe('value 7');
    expect(held['b/7']).toBeUndefined();
    expect(held.after).toBe('the move');
  });
});

test('an unfinished write at the end of the journal is left out, and the store is as it was', () => {
  const held = write((tree) => {
    fill(tree);
    tree.checkpoint();
    tree.put('later', bytes('value'));
  });
  const [segment] = fs
    .readdirSync(dir)
    .filter((name) => name.endsWith('.wal'))
    .sort()
    .reverse();
  fs.appendFileSync(path.join(dir, segment!), Buffer.alloc(64, 'torn'));
  const before = fs.readFileSync(path.join(dir, segment!));
  const { held: found, findings } = salvaged();
  expect(found).toEqual(held);
  expect(findings).toEqual([
    expect.stringMatching(/^mended: .*\.wal: an unfinished write at offset \d+ is left out$/),
  ]);
  expect(fs.readFileSync(path.join(dir, segment!)).equals(before)).toBe(true);
});

test('a journal that is damaged inside gives what is before the damage', () => {
  write((tree) => {
    fill(tree);
    tree.checkpoint();
    for (let n = 0; n < 20; n++) {
      tree.put(`later/${n}`, bytes(`value ${n}`));
      tree.sync();
    }
  });
  const [segment] = fs
    .readdirSync(dir)
    .filter((name) => name.endsWith('.wal'))
    .sort()
    .reverse();
  const file = path.join(dir, segment!);
  const data = fs.readFileSync(file);
  data[data.indexOf('later/10') + 1]! ^= 1;
  fs.writeFileSync(file, data);
  const { held, findings } = salvaged();
  expect(findings).toEqual([
    expect.stringMatching(/^lost: Cannot recover the journal: .*; records before that place are kept/),
  ]);
  expect(held['a/49']).toBe('value 49');
  expect(held['later/9']).toBe('value 9');
  expect(held['later/10']).toBeUndefined();
});
