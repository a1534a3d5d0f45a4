/**
 * A clock that is set back a year and forward a hundred, at any time: changes are ordered by the tree alone, names and link counts
 * stay right, and what waits for a second does not wait for a year.
 */
import { Tree } from '../../../engine/index.js';
import type { Clock } from '../../../mount/filesystem/contents/disk/system.js';
import { entryKey } from '../../../mount/filesystem/records/keys.js';
import { Fixture, O_RDWR } from '../../filesystem/fixture.js';
import { seededRandom } from '../../support/disk/random.js';
import { NamesWork } from '../races/names-work.js';
import { soak } from '../soak.js';

const OPERATIONS = 600;
const YEAR = 365 * 24 * 3600;
const JUMPS = [-YEAR, 100 * YEAR, -100 * YEAR, YEAR, -2, 60];

class JumpingClock implements Clock {
  seconds = 1_800_000_000;
  nanos = 0;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  read(): void {
    this.nanos = Math.floor(this.#random() * 1e9);
    if (this.#random() < 0.1) this.seconds += JUMPS[Math.floor(this.#random() * JUMPS.length)]!;
  }
}

soak({ line: 17, title: 'a clock that is set back and forward', seeds: 8 }, (seed) => {
  const random = seededRandom(seed);
  const clock = new JumpingClock(random);
  const fixture = new Fixture(Tree.open({ memory: true }), { clock, rests: true });
  try {
    let work = new NamesWork(fixture, random);
    let lsn = fixture.tree.lastLsn();
    for (let i = 0; i < OPERATIONS; i++) {
      work.step();
      const now = fixture.tree.lastLsn();
      const root = fixture.tree.getVersion(entryKey(new Uint8Array())) ?? 0;
      if (now < lsn || root > now) throw new Error(`after operation ${i} the order of changes went back`);
      lsn = now;
      if (i % 50 === 0) fixture.fs.rest();
      if (i % 150 !== 149) continue;
      const damage = work.damage();
      if (damage.length > 0) throw new Error(`after ${i} operations: ${damage.join('; ')}`);
      fixture.open();
      work = new NamesWork(fixture, random);
    }
    const { handle } = fixture.createPassed('/passed', O_RDWR);
    // Twice: what was lent before the clock was set waits from then on, at the most.
    clock.seconds -= YEAR;
    fixture.fs.rest();
    clock.seconds += 2;
    if (handle > 0 && fixture.fs.rest())
      throw new Error('a content waits for its name until the clock is right again');
    const refused = fixture.logged.filter(({ level }) => level === 'error');
    if (refused.length > 0)
      throw new Error(`it was told: ${refused.map(({ message }) => message).join('; ')}`);
    return { operations: OPERATIONS };
  } finally {
    fixture.cleanUp();
  }
});
