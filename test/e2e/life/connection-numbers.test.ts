/** A connection's number is given to the next mount as soon as it is free: whoever is late must not break that one. */
import { expect, it } from 'vitest';
import { Site } from '../site.js';

/** Opens a descriptor whose connection is none, and has the connection broken that the mount at $MNT has now. */
const LATE = `node --input-type=module -e '
import { openSync, readFileSync } from "node:fs";
const { abortConnection } = await import(process.env.PROGRAM + "/dist/mount/mountpoints/unmounting.js");
const line = readFileSync("/proc/self/mountinfo", "utf8").split("\\n").find((text) => text.split(" ")[4] === process.env.MNT);
const connection = Number(line.split(" ")[2].split(":")[1]);
const fd = WITH_FD ? openSync("/dev/fuse", "r+") : -1;
abortConnection({ fd, mountpoint: "/nowhere", connection });'`;

it('one that has come to its end is not broken under the number that it had', async () => {
  const site = new Site();
  await site.mount();
  await site.sh('echo text > $MNT/f');
  await site.sh(LATE.replace('WITH_FD', 'true'));
  expect(await site.sh('cat $MNT/f; touch $MNT/g; ls $MNT')).toBe('text\nf\ng');
  // The same of one that nothing is known of does break it: the number is the mount's.
  await site.sh(LATE.replace('WITH_FD', 'false'));
  expect((await site.attempt('cat $MNT/f')).code).toBe(1);
});
