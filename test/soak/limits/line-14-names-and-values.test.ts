/**
 * Names of any bytes and extended attributes of any length come back exactly; what Linux has no room for is refused as Linux does,
 * and changes nothing.
 */
import { constants } from 'node:os';
import { Tree } from '../../../engine/index.js';
import { bytes, CALLER, Fixture } from '../../filesystem/fixture.js';
import { seededRandom } from '../../support/disk/random.js';
import { soak } from '../soak.js';

const { E2BIG, EEXIST, ENAMETOOLONG, ENOSPC } = constants.errno;
const FILES = 60;
const MOST_VALUE = 65_536;
const LENGTHS = [1, 2, 7, 254, 255, 256, 257, 300];
const VALUES = [0, 1, 100, 4096, 65_535, MOST_VALUE, MOST_VALUE + 1, 100_000];

soak({ line: 14, title: 'names of any bytes, values of any length', seeds: 10 }, (seed) => {
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  /** Any bytes but the two that no name has; as latin1, in which a character is a byte. */
  const name = (): string => {
    const length = random() < 0.5 ? LENGTHS[below(LENGTHS.length)]! : 1 + below(20);
    const narrow = random() < 0.5;
    let text = '';
    while (text.length < length) {
      const byte = narrow ? [1, 9, 10, 0x2d, 0x7f, 0x80, 0xc3, 0xff][below(8)]! : 1 + below(255);
      if (byte !== 0x2f) text += String.fromCharCode(byte);
    }
    return text === '.' || text === '..' ? `${text}x` : text;
  };
  const fixture = new Fixture(Tree.open({ memory: true }));
  const made = new Map<string, { isDirectory: boolean; xattrs: Map<string, Uint8Array> }>();
  const figures = { names: 0, values: 0, refused: 0 };
  const expectErrno = (what: string, found: number, expected: readonly number[]): void => {
    if (!expected.includes(found)) throw new Error(`${what} gave ${found}, not ${expected.join(' or ')}`);
    if (found < 0) figures.refused++;
  };
  const setValue = (path: string, xattrs: Map<string, Uint8Array>): void => {
    const key = `user.${name().slice(0, 200)}`;
    const value = Buffer.alloc(random() < 0.5 ? VALUES[below(VALUES.length)]! : below(300));
    for (let i = 0; i < value.length; i += 97) value[i] = below(256);
    const result = fixture.fs.setxattr(CALLER, bytes(path), bytes(key), value, 0);
    const tooLong = value.length > MOST_VALUE;
    expectErrno(`a value of ${value.length} bytes`, result, tooLong ? [-E2BIG, -ENOSPC] : [0]);
    if (result === 0) xattrs.set(key, value);
    figures.values++;
  };
  try {
    const directories = [''];
    for (let i = 0; i < FILES; i++) {
      const text = name();
      const parent = directories[below(directories.length)]!;
      const path = `${parent}/${text}`;
      const isDirectory = random() < 0.3;
      const result = isDirectory ? fixture.mkdir(path) : fixture.create(path);
      const expected = text.length > 255 ? -ENAMETOOLONG : made.has(path) ? -EEXIST : 0;
      expectErrno(`a name of ${text.length} bytes`, result, [expected]);
      figures.names++;
      if (result !== 0) continue;
      const xattrs = new Map<string, Uint8Array>();
      made.set(path, { isDirectory, xattrs });
      if (isDirectory) directories.push(path);
      for (let k = below(3); k > 0; k--) setValue(path, xattrs);
    }
    fixture.open();
    for (const directory of directories) {
      const prefix = `${directory}/`;
      const expected = [...made.keys()].filter(
        (path) => path.startsWith(prefix) && !path.slice(prefix.length).includes('/'),
      );
      const found = fixture.list(directory).map((each) => prefix + each);
      if (found.sort().join('\0') !== expected.sort().join('\0'))
        throw new Error('a listing gives other names');
    }
    for (const [path, { xattrs }] of made) {
      for (const [key, value] of xattrs) {
        const found = fixture.fs.getxattr(bytes(path), bytes(key));
        if (typeof found === 'number' || Buffer.compare(found, value) !== 0)
          throw new Error('a value came back as another');
      }
    }
  } finally {
    fixture.cleanUp();
  }
  return figures;
});
