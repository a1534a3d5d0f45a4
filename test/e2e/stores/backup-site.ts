/** A site whose store is backed up, and what is seen in the backup. */
import { join } from 'node:path';
import type { BackedUp } from '../../../mount/backup/index.js';
import { Site } from '../site.js';

/** What a tree shows: attributes, names and targets of all that is below the working directory. */
export const LIST = `list() { (cd "$1" && find . -mindepth 1 -type d -printf '%y %m %U %G %T@ %p\\n' -o -printf '%y %m %U %G %n %s %T@ %p %l\\n' | sort; getfattr -R -P -d . 2> /dev/null | sort); }`;
/** `same A B`: two trees show the same, bytes too. */
export const SAME = `${LIST}; same() { diff <(list "$1") <(list "$2"); diff -r --no-dereference --exclude=pipe "$1" "$2"; }`;

export class BackupSite extends Site {
  readonly target = join(this.directory, 'backup');

  async backup(...options: string[]): Promise<BackedUp> {
    return JSON.parse(await this.must('backup', this.target, '--store', this.store, '--json', ...options));
  }

  /** Fails with what check tells of it. */
  async isClean(store = this.target): Promise<void> {
    const { code, out } = await this.spinney('check', store);
    if (code !== 0) throw new Error(out);
  }

  /** Runs a script with the backup mounted, to be read, at $DIR/seen. */
  async see(script: string, store = this.target): Promise<string> {
    const mountpoint = join(this.directory, 'seen');
    await this.sh(`mkdir -p ${mountpoint}`);
    await this.must('mount', mountpoint, '--store', store, '--read-only');
    const { code, out, err } = await this.attempt(`${SAME}; ${script}`);
    await this.must('umount', mountpoint);
    if (code !== 0) throw new Error(`${err}${out}`);
    return out;
  }

  /** Fails unless the backup shows what that snapshot of the mount does. */
  async seeSnapshot(name: string): Promise<void> {
    await this.see(`same "$MNT/.snap/${name}" $DIR/seen`);
  }
}

/** A site with a mount, after a script in it. */
export async function mounted(script = 'true'): Promise<BackupSite> {
  const site = new BackupSite();
  await site.mount();
  await site.sh(`cd $MNT; ${script}`);
  return site;
}
