/** The whole table against ext4, for one kind of mount. As root. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { differingLines } from './differences.js';
import { type Exclusion, Exclusions } from './exclusions.js';
import { type Call, findExt4, type MountKind, Sides } from './sides.js';
import { CHANGES, READ_ONLY_SCENE, TABLE } from './table.js';

const EXT4 = findExt4();

/**
 * `exclusions`: what the mount may do otherwise, each with the number of cases that need it. `first`: calls after
 * which the kernel knows what the mount refuses, whatever case is run first.
 */
export function comparedWithExt4(
  title: string,
  kind: MountKind,
  exclusions: readonly Exclusion[] = [],
  first: readonly Call[] = [],
): void {
  describe.skipIf(EXT4 === undefined)(title, () => {
    const excluded = new Exclusions(exclusions);
    let sides: Sides;
    beforeAll(async () => {
      sides = new Sides(EXT4!, kind);
      await sides.begin();
      await sides.run(first);
    });
    afterAll(() => sides.end());

    for (const [subject, cases] of Object.entries(TABLE)) {
      describe(subject, () => {
        it.each(Object.entries(cases))('%s', async (name, calls) => {
          const found = await excluded.run(sides, `${subject}: ${name}`, calls);
          expect(found, found.join('\n')).toEqual([]);
        });
      });
    }

    it('read-only', async () => {
      const readOnly = new Sides(EXT4!, kind);
      try {
        await readOnly.begin();
        await readOnly.run(READ_ONLY_SCENE, 'scene');
        await readOnly.makeReadOnly();
        for (const user of [0, 1000]) {
          const calls: Call[] = [['as', user], ...CHANGES];
          const found = await excluded.run(readOnly, `read-only: as ${user}`, calls, 'scene');
          expect(found, found.join('\n')).toEqual([]);
        }
      } finally {
        await readOnly.end();
      }
    });

    it('what is there after a remount and after a kill', async () => {
      const [before] = await sides.look();
      for (const how of ['umount', 'kill'] as const) {
        await sides.restart(how);
        const [mounted, local] = await sides.look();
        expect(mounted.inodes).toEqual(before.inodes);
        const found = differingLines([], mounted, local);
        expect(found, found.join('\n')).toEqual([]);
      }
      expect(sides.complaints()).toEqual([]);
    });

    // What an exclusion is for may only show in times.
    it('what is excluded is what the exclusions say', ({ skip }) => {
      skip(!sides.tellsTimes);
      expect(excluded.untrue()).toEqual({});
    });
  });
}
