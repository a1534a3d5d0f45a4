/**
 * A power cut below a whole daemon: its store is on a filesystem on a disk that records each write and each flush
 * (images/device-recorder.mjs), under clients that sync. The disk is made again as cuts at random moments may have left it, and
 * mounted: the store is sound, the mount has what was acknowledged, and so has what `spinney repair` makes of it.
 * docs/decisions/power-cut-images.md tells what this shows, and what it does not.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe } from 'vitest';
import { Site } from '../../e2e/site.js';
import { seededRandom } from '../../support/disk/random.js';
import { type ImageFilesystem, imageFilesystems } from '../../support/image-filesystems.js';
import { type Figures, soak } from '../soak.js';
import { checkShown, type Operation, operationsOf, type Shown } from './images/history.js';
import { RecordedDisk } from './images/recorded-disk.js';

const CLIENTS = ['p0', 'p1'];
const OPERATIONS = 150;
const CUTS = 3;
const RECORDER = join(import.meta.dirname, 'images/device-recorder.mjs');
const CLIENT = join(import.meta.dirname, 'images/client.py');
const LEVELS = ['buffered', 'written', 'synced'] as const;
/** A loop device is given back a moment after its filesystem. */
const UNMOUNT = `gone() { for i in $(seq 200); do umount "$1" 2> /dev/null && return; sleep 0.05; done; umount "$1"; }`;

const filesystems = imageFilesystems();

describe.skipIf(filesystems.length === 0)('images of disks', () => {
  soak({ line: 2, title: 'a disk cut below a mounted store', seeds: 1 }, async (seed) => {
    let cleanUp: (() => Promise<void>) | undefined;
    const site = new Site((atEnd) => {
      cleanUp = atEnd;
    });
    try {
      const filesystem = filesystems[(seed - 1) % filesystems.length]!;
      return await new ImageSoak(site, filesystem, seed).run();
    } finally {
      await cleanUp?.();
    }
  });
});

class ImageSoak {
  readonly #site: Site;
  readonly #filesystem: ImageFilesystem;
  readonly #random: () => number;
  readonly #level: string;
  readonly #histories = new Map<string, Operation[]>();
  readonly #figures = {
    cuts: 0,
    operations: 0,
    flushes: 0,
    writes: 0,
    'writes lost': 0,
    repairs: 0,
    'repaired otherwise': 0,
  };

  constructor(site: Site, filesystem: ImageFilesystem, seed: number) {
    this.#site = site;
    this.#filesystem = filesystem;
    this.#random = seededRandom(seed);
    this.#level = LEVELS[Math.floor(this.#random() * LEVELS.length)]!;
    for (const name of CLIENTS) this.#histories.set(name, operationsOf(this.#random, OPERATIONS));
  }

  async run(): Promise<Figures> {
    await this.#makeImage();
    await this.#record();
    const disk = new RecordedDisk(this.#path('base'), this.#path('log'));
    try {
      const { entries } = disk;
      const mounted = entries.findIndex(({ kind }) => kind === 'mark');
      for (const kind of ['write', 'flush'] as const) {
        this.#figures[kind === 'write' ? 'writes' : 'flushes'] = entries.filter(
          (entry) => entry.kind === kind,
        ).length;
      }
      for (let cut = 0; cut < CUTS; cut++) {
        // The store may just be made; nothing can be told of it then but that it opens.
        const from = this.#random() < 0.1 ? 0 : mounted + 1;
        await this.#tryCut(disk, this.#momentFrom(from, disk));
      }
    } finally {
      disk.close();
    }
    return this.#figures;
  }

  /** Any, or, mostly, one just before a flush: then most is not on the disk yet. */
  #momentFrom(from: number, { entries }: RecordedDisk): number {
    const moment = from + Math.floor(this.#random() * (entries.length - from + 1));
    if (this.#random() < 0.3) return moment;
    const flush = entries.findIndex(({ kind }, at) => at >= moment && kind === 'flush');
    return flush < 0 ? moment : flush;
  }

  #path(name: string): string {
    return join(this.#site.directory, name);
  }

  async #makeImage(): Promise<void> {
    const { make, mebibytes } = this.#filesystem;
    await this.#site.sh(`${UNMOUNT}; PATH=$PATH:/usr/sbin:/sbin
      truncate -s ${mebibytes}M image; ${make} image; mkdir $STORE rec; mount -o loop image $STORE
      rm -rf $STORE/lost+found; chmod 700 $STORE; gone $STORE; cp --sparse=always image base`);
  }

  /** Mounts the store on the recorded disk, and has the clients work. */
  async #record(): Promise<void> {
    const site = this.#site;
    const recorder = site.start(`exec ${process.execPath} ${RECORDER} $DIR/rec $DIR/image $DIR/log`, 600);
    await new Promise((resolve, reject) => {
      recorder.child.stdout!.once('data', resolve);
      void recorder.result.then(({ err }) => reject(new Error(err)));
    });
    await site.sh('mount -o loop rec/disk $STORE');
    await site.mount('--durability', this.#level);
    await site.sh('echo mounted > rec/marks');
    let working = CLIENTS.length;
    const clients = CLIENTS.map(async (name) => {
      writeFileSync(this.#path(`${name}.json`), JSON.stringify(this.#histories.get(name)));
      await site.sh(
        `python3 ${CLIENT} do $DIR/${name}.json $MNT/${name} $DIR/rec/marks ${name} ${this.#level}`,
      );
      working--;
      this.#figures.operations += OPERATIONS;
    });
    const checkpoints = async (): Promise<void> => {
      while (working > 0) await site.must('checkpoint', '--store', site.store);
    };
    await Promise.all([...clients, checkpoints()]);
    if (this.#random() < 0.5) await site.umount();
    else await site.kill();
    await site.sh(`${UNMOUNT}; gone $STORE; gone rec`);
    await recorder.result;
  }

  async #tryCut(disk: RecordedDisk, index: number): Promise<void> {
    const marks = disk.marksBefore(index);
    const lost = disk.cut(index, this.#path('cut'), this.#random);
    this.#figures['writes lost'] += lost;
    try {
      await this.#tryStore(marks);
    } catch (error) {
      throw new Error(
        `${this.#filesystem.name}, ${this.#level}, cut before ${index} of ${disk.entries.length}, ${lost} writes lost: ${error}`,
        { cause: error },
      );
    }
    this.#figures.cuts++;
  }

  async #tryStore(marks: readonly string[]): Promise<void> {
    const site = this.#site;
    const isMade = marks.length > 0;
    // Another image of the same filesystem is not to be taken for a disk of this one.
    if (this.#filesystem.name === 'btrfs') await site.attempt('btrfs device scan --forget');
    await site.sh('mount -o loop cut $STORE');
    const checked = await site.spinney('check', site.store);
    if (checked.code !== 0 && (isMade || checked.code !== 2))
      throw new Error(`check: ${checked.err}${checked.out}`);
    if (isMade && this.#random() < 0.5) await this.#tryRepair(marks);
    await this.#compare(site.store, marks);
    await site.must('check', site.store);
    await site.sh(`${UNMOUNT}; gone $STORE; rm cut`);
  }

  /** Nothing is lost by it, and the store is what it was before. */
  async #tryRepair(marks: readonly string[]): Promise<void> {
    const site = this.#site;
    const sums = '(cd $STORE; find . -type f -exec sha1sum {} + | sort)';
    const before = await site.sh(sums);
    const repaired = await site.spinney('repair', site.store, '--yes', '--to', this.#path('new'));
    if (repaired.code !== 0) throw new Error(`repair: ${repaired.err}${repaired.out}`);
    if ((await site.sh(sums)) !== before) throw new Error('repair has changed the store');
    this.#figures.repairs++;
    if (!(await site.attempt('test -e new')).code) {
      const checked = await site.must('check', this.#path('new'));
      if (/^(note|damage):/m.test(checked)) throw new Error(`check of what repair made: ${checked}`);
      await this.#compare(this.#path('new'), marks);
      rmSync(this.#path('new'), { recursive: true });
      this.#figures['repaired otherwise']++;
    }
  }

  async #compare(store: string, marks: readonly string[]): Promise<void> {
    const site = this.#site;
    await site.must('mount', site.mountpoint, '--store', store);
    const shown = JSON.parse(await site.sh(`python3 ${CLIENT} show $MNT`)) as Shown[];
    for (const name of CLIENTS) {
      const last = (word: string): number =>
        Number(marks.findLast((mark) => mark.startsWith(`${word} ${name} `))?.split(' ')[2] ?? -1);
      const own = shown
        .filter(({ path }) => path === name || path.startsWith(`${name}/`))
        .map((inode) => ({ ...inode, path: inode.path === name ? '.' : inode.path.slice(name.length + 1) }));
      checkShown(this.#histories.get(name)!, own, last('begun'), last('durable'));
    }
    const expected = CLIENTS.filter((name) => shown.some(({ path }) => path === name));
    const strange = shown.filter(({ path }) => !path.includes('/') && !expected.includes(path));
    if (strange.length > 0) throw new Error(`there is more than was made: ${JSON.stringify(strange)}`);
    // It is no worse than any other to work with.
    await site.sh('echo later > $MNT/later; sync $MNT/later; rm $MNT/later');
    await site.umount();
    const log = readFileSync(join(store, 'spinney.log'), 'utf8');
    const errors = log.split('\n').filter((line) => /"level":"(error|fatal)"/.test(line));
    if (errors.length > 0) throw new Error(`the daemon logged ${errors.join()}`);
  }
}
