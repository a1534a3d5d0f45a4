/** Random operations on names of a filesystem, as those of several clients that race come in: one after the other. */

import { checkNamespace } from '../../../mount/check/namespace.js';
import { newAttributes } from '../../../mount/filesystem/arguments.js';
import { bytes, CALLER, type Fixture, newResult, O_RDWR, REGULAR, split } from '../../filesystem/fixture.js';

/** RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT. */
const RENAME_FLAGS = [0, 0, 0, 0, 1, 2, 4];
/** Most handles that are held open, over the removal of their files too. */
const MOST_OPEN = 20;

export class NamesWork {
  readonly #fixture: Fixture;
  readonly #random: () => number;
  readonly #handles: number[] = [];
  readonly #directories: number[] = [];
  operations = 0;

  constructor(fixture: Fixture, random: () => number) {
    this.#fixture = fixture;
    this.#random = random;
  }

  /** One operation; what it gives is not looked at, since most race with none that they could lose to. */
  step(): void {
    this.operations++;
    const { fs } = this.#fixture;
    const [from, to] = [this.#path(), this.#path()];
    const at = split(from);
    switch (this.#below(12)) {
      case 0:
        this.#fixture.mkdir(from);
        break;
      case 1:
        this.#hold(fs.create(CALLER, at.parent, at.name, REGULAR | 0o644, O_RDWR, false, newAttributes()));
        break;
      case 2:
      case 3:
        this.#fixture.link(from, to);
        break;
      case 4:
        this.#fixture.unlink(from);
        break;
      case 5:
        this.#fixture.rmdir(from);
        break;
      case 6:
        fs.symlink(CALLER, at.parent, at.name, bytes('target'), newAttributes());
        break;
      case 7:
        fs.setxattr(CALLER, bytes(from), bytes('user.a'), bytes('value'), 0);
        break;
      case 8:
        this.#write();
        break;
      default:
        this.#fixture.rename(from, to, RENAME_FLAGS[this.#below(RENAME_FLAGS.length)], newResult());
    }
    if (this.#below(10) === 0) this.#list(from);
  }

  /** Ends all that is held open, and tells what is wrong with the names. */
  damage(): string[] {
    for (const handle of this.#handles.splice(0)) this.#fixture.fs.release(handle);
    for (const handle of this.#directories.splice(0)) this.#fixture.fs.releasedir(handle);
    const damage: string[] = [];
    checkNamespace(this.#fixture.tree, this.#fixture.contentDirectory, ({ kind, message }) => {
      if (kind === 'damage') damage.push(message);
    });
    return damage;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  /** Few names, so that operations meet; some that others begin with. */
  #path(): string {
    const names = ['a', 'b', 'a!', 'a0', 'c'];
    return Array.from({ length: 1 + this.#below(4) }, () => `/${names[this.#below(names.length)]}`).join('');
  }

  #hold(handle: number): void {
    if (handle > 0) this.#handles.push(handle);
    if (this.#handles.length > MOST_OPEN) {
      this.#fixture.fs.release(this.#handles.splice(this.#below(MOST_OPEN), 1)[0]!);
    }
  }

  #write(): void {
    const handle = this.#handles[this.#below(Math.max(1, this.#handles.length))];
    if (handle !== undefined)
      this.#fixture.fs.write(handle, Buffer.from('some text'), 0, 9, this.#below(5000));
  }

  #list(path: string): void {
    const handle = this.#fixture.fs.opendir(bytes(path));
    if (handle < 0) return;
    this.#fixture.readdir(handle, 0, 3);
    this.#directories.push(handle);
    if (this.#directories.length > MOST_OPEN) this.#fixture.fs.releasedir(this.#directories.shift()!);
  }
}
