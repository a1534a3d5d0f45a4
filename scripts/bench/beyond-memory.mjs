/**
 * What a tree that is larger than its cache reads and writes, by a model of several designs: `node
 * scripts/bench/beyond-memory.mjs [flags]` replays traces and prints a table in Markdown. Nothing is timed and no disk is
 * touched, so the figures are the same in every run.
 *
 *   --keys N       keys of the tree at the end (1000000)
 *   --times N      the tree is so many times as large as the cache (8)
 *   --tree FOLDER  the folder whose names the trace of rsync has (/usr)
 *
 * Half of each trace's keys are there at the beginning and are not counted. Then the other half is put, in the order of the
 * trace, with the looks that come before a put; then as many keys are read at random. Blobs are full to three quarters,
 * in key order; inner nodes take a sixteenth of a blob. Clean blobs leave the least recently used first; rounds begin as
 * engine/cache/held-frames.ts has it.
 *
 * Designs
 *   today    a blob is read as a whole, and written as a whole by each round that finds it dirty
 *   deltas   a round writes the pages of a blob that changed, until they come to half of it; who reads it reads them too
 *   waiting  a put into a blob that is not in memory waits, in a quarter of the cache, until there is no more room; then the
 *            blob for which most wait is read, and all are put. Looks find what waits
 *   pages    a look at a blob that is not in memory reads the pages on its way; those with inner nodes are kept in an
 *            eighth of the cache
 */
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Random } from './lib/keys.mjs';
import { table } from './lib/table.mjs';

const { values: flags } = parseArgs({
  options: {
    keys: { type: 'string', default: '1000000' },
    times: { type: 'string', default: '8' },
    tree: { type: 'string', default: '/usr' },
  },
});
const KEYS = Number(flags.keys);

const PAGE = 4096;
const PAGES = 128;
const BLOB = PAGE * PAGES;
const FILL = 0.75;
const NODE_PAGES = PAGES / 16;
const VALUE_BYTES = 96;
/** What a put that waits takes besides its key and value. */
const WAITING_BYTES = 64;

// Traces: names in the order in which they are put, and whether each put looks first whether its name is there.

function hex(text, length) {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}

function shuffled(list) {
  const random = new Random(1);
  for (let i = list.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}

function* walk(folder) {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return;
  }
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    yield path;
    if (entry.isDirectory()) yield* walk(path);
  }
}

/** Copies of one folder's names, one copy after another, as backups of several days come to be. */
function copiesOf(folder) {
  const names = [...walk(folder)];
  const copies = [];
  for (let copy = 0; copies.length < KEYS && names.length > 0; copy++) {
    for (const name of names) copies.push(`/backup/${String(copy).padStart(3, '0')}${name}`);
  }
  return copies.slice(0, KEYS);
}

const numbered = (name) => Array.from({ length: KEYS }, (_, i) => name(i));
const padded = (i) => String(i).padStart(13, '0');
const TRACES = {
  'random order': {
    names: shuffled(
      numbered((i) => `/srv/family-${padded(Math.floor(Math.sqrt(i))).slice(8)}/album/${padded(i)}`),
    ),
  },
  'git objects': {
    names: numbered((i) => hex(`object ${i}`, 40)).map(
      (id) => `/repo/objects/${id.slice(0, 2)}/${id.slice(2)}`,
    ),
    looks: true,
  },
  'backup chunks': {
    names: numbered((i) => hex(`chunk ${i}`, 64)).map((id) => `/data/${id.slice(0, 2)}/${id}`),
    looks: true,
  },
  'rsync of a tree': { names: copiesOf(flags.tree), looks: true, inOrder: true },
};

/** Blob and page of each name, in the order of the trace. */
function placesOf({ names, inOrder }) {
  const order = Uint32Array.from({ length: names.length }, (_, i) => i);
  if (inOrder !== true || !isSorted(names)) order.sort((a, b) => (names[a] < names[b] ? -1 : 1));
  const blob = new Uint32Array(names.length);
  const nodePage = new Uint8Array(names.length);
  const leafPage = new Uint8Array(names.length);
  const record = (i) => (names[i].length >> 1) + VALUE_BYTES + 12;
  let blobs = 0;
  for (let from = 0; from < order.length; blobs++) {
    let until = from;
    let bytes = 0;
    for (; until < order.length && bytes < BLOB * FILL; until++) bytes += record(order[until]);
    // What was there first stands in key order; what comes later is added behind it as it comes.
    const here = order.subarray(from, until);
    const early = here.filter((i) => i < names.length / 2);
    const late = here.filter((i) => i >= names.length / 2).sort();
    let at = NODE_PAGES * PAGE;
    for (const i of [...early, ...late]) {
      leafPage[i] = Math.min(PAGES - 1, Math.floor(at / PAGE));
      at += record(i);
    }
    here.forEach((i, rank) => {
      blob[i] = blobs;
      nodePage[i] = Math.floor((rank / here.length) * NODE_PAGES);
    });
    from = until;
  }
  return { blob, nodePage, leafPage, blobs, waitBytes: (i) => names[i].length + VALUE_BYTES + WAITING_BYTES };
}

function isSorted(names) {
  for (let i = 1; i < names.length; i++) if (names[i - 1] > names[i]) return false;
  return true;
}

/** A set that forgets the least recently used beyond its size. */
class Recent {
  #entries = new Set();
  constructor(size) {
    this.size = size;
  }
  use(key) {
    const isKnown = this.#entries.delete(key);
    this.#entries.add(key);
    if (this.#entries.size > this.size) this.#entries.delete(this.#entries.values().next().value);
    return isKnown;
  }
}

class Model {
  constructor(places, { deltas, waiting, pages }) {
    Object.assign(this, { places, deltas, isWaiting: waiting, isPaged: pages });
    const cache = Math.max(8, Math.floor(places.blobs / Number(flags.times)));
    const frames = cache - (waiting ? Math.floor(cache / 4) : 0) - (pages ? Math.floor(cache / 8) : 0);
    this.frames = frames;
    const limit = frames - Math.max(4, Math.floor(frames / 16));
    this.due = Math.max(1, Math.floor(places.blobs - Math.sqrt(places.blobs * (places.blobs - limit))));
    /** Resident blobs, the least recently used first; and of the dirty ones the pages that changed. */
    this.resident = new Map();
    this.dirty = new Map();
    this.deltaPages = new Uint16Array(places.blobs);
    this.kept = new Recent(Math.floor(cache / 8) * PAGES);
    this.waitRoom = (cache / 4) * BLOB;
    this.waited = 0;
    this.waits = new Map();
    this.count = { reads: 0, readBytes: 0, writes: 0, writtenBytes: 0 };
  }

  read(bytes) {
    this.count.reads++;
    this.count.readBytes += bytes;
  }

  write(bytes) {
    this.count.writes++;
    this.count.writtenBytes += bytes;
  }

  load(blob) {
    if (this.resident.delete(blob)) {
      this.resident.set(blob, true);
      return;
    }
    this.read(BLOB);
    if (this.deltaPages[blob] > 0) this.read(this.deltaPages[blob] * PAGE);
    if (this.resident.size >= this.frames) {
      for (const clean of this.resident.keys()) {
        if (this.dirty.has(clean)) continue;
        this.resident.delete(clean);
        break;
      }
    }
    this.resident.set(blob, true);
  }

  change(i) {
    const { blob, nodePage, leafPage } = this.places;
    let pages = this.dirty.get(blob[i]);
    if (pages === undefined) {
      pages = new Set([0]);
      this.dirty.set(blob[i], pages);
    }
    pages.add(nodePage[i]);
    pages.add(leafPage[i]);
    if (this.dirty.size >= this.due) this.round();
  }

  round() {
    for (const [blob, pages] of this.dirty) {
      const total = this.deltaPages[blob] + pages.size;
      if (this.deltas && total <= PAGES / 2) {
        this.deltaPages[blob] = total;
        this.write(pages.size * PAGE);
      } else {
        this.deltaPages[blob] = 0;
        this.write(BLOB);
      }
    }
    this.dirty.clear();
  }

  put(i) {
    const blob = this.places.blob[i];
    if (!this.isWaiting || this.resident.has(blob)) {
      this.load(blob);
      this.change(i);
      return;
    }
    const list = this.waits.get(blob);
    if (list === undefined) this.waits.set(blob, [i]);
    else list.push(i);
    this.waited += this.places.waitBytes(i);
    if (this.waited > this.waitRoom) this.settle();
  }

  /** Puts what waits for the blob for which most do. */
  settle() {
    let most = -1;
    let length = 0;
    for (const [blob, list] of this.waits) {
      if (list.length <= length) continue;
      most = blob;
      length = list.length;
    }
    const list = this.waits.get(most);
    this.waits.delete(most);
    this.load(most);
    for (const i of list) {
      this.waited -= this.places.waitBytes(i);
      this.change(i);
    }
  }

  look(i) {
    const { blob, nodePage, leafPage } = this.places;
    if (!this.isPaged || this.resident.has(blob[i])) {
      this.load(blob[i]);
      return;
    }
    for (const page of new Set([0, nodePage[i]])) {
      if (!this.kept.use(blob[i] * PAGES + page)) this.read(PAGE);
    }
    if (leafPage[i] >= NODE_PAGES) this.read(PAGE);
  }

  /** What was counted since the last call, for each of `operations`. */
  taken(operations) {
    const each = Object.values(this.count).map((n) => n / operations);
    for (const name of Object.keys(this.count)) this.count[name] = 0;
    return each;
  }
}

const DESIGNS = {
  today: {},
  deltas: { deltas: true },
  waiting: { waiting: true },
  pages: { pages: true },
  'deltas, pages': { deltas: true, pages: true },
  'waiting, pages': { waiting: true, pages: true },
  'all three': { deltas: true, waiting: true, pages: true },
};

function number(value) {
  return value.toFixed(value < 10 ? 2 : 0);
}

const rows = [];
for (const [name, trace] of Object.entries(TRACES)) {
  const places = placesOf(trace);
  const { length } = trace.names;
  for (const [design, parts] of Object.entries(DESIGNS)) {
    const model = new Model(places, parts);
    const half = Math.floor(length / 2);
    for (let i = half; i < length; i++) {
      if (trace.looks) model.look(i);
      model.put(i);
    }
    while (model.waits.size > 0) model.settle();
    model.round();
    const puts = model.taken(length - half);
    const random = new Random(2);
    for (let i = 0; i < half; i++) model.look(random.below(length));
    const gets = model.taken(half);
    const cells = (each) => [
      number(each[0]),
      number(each[1] / 1024),
      number(each[2]),
      number(each[3] / 1024),
    ];
    rows.push([name, String(places.blobs), design, ...cells(puts), ...cells(gets).slice(0, 2)]);
  }
}
console.log(
  table('trace,blobs,design,reads per put,KiB,writes per put,KiB,reads per get,KiB'.split(','), rows),
);
