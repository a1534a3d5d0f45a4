/** The machine's own clock, where nothing can be opened any more. */
import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { BOOT_CLOCK } from '../../../../engine/store/object/clock.js';

const CLOCK = new URL('../../../../dist/engine/store/object/clock.js', import.meta.url).href;
const PROGRAM = `
  import { openSync } from 'node:fs';
  import { BOOT_CLOCK } from '${CLOCK}';
  const before = BOOT_CLOCK.now();
  try {
    for (;;) openSync('/dev/null');
  } catch (error) {
    if (error.code !== 'EMFILE') throw error;
  }
  if (BOOT_CLOCK.now() >= before) process.exit(7);
`;

it('goes on where all descriptors are taken', () => {
  const run = () =>
    execFileSync('sh', [
      '-c',
      'ulimit -n 64; exec "$0" --input-type=module -e "$1"',
      process.execPath,
      PROGRAM,
    ]);
  expect(run).toThrow(expect.objectContaining({ status: 7 }));
});

it('goes forward', async () => {
  const before = BOOT_CLOCK.now();
  await BOOT_CLOCK.sleep(2);
  expect(BOOT_CLOCK.now()).toBeGreaterThan(before);
});
