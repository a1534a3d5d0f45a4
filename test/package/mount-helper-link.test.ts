/** The link in /sbin that an installation makes: for root's global one alone, and over nothing that is not ours. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Site } from '../e2e/site.js';

const ROOT = join(import.meta.dirname, '../..');
const LINK = '$DIR/sbin/mount.fuse.spinney';

/** A site with an installed package, and what the installation prints with an empty /sbin of its own, or not empty. */
async function installed(): Promise<{
  site: Site;
  helper: string;
  install: (...how: string[]) => Promise<string>;
}> {
  const site = new Site();
  const folder = join(site.directory, 'lib/node_modules/spinney');
  await site.sh(`chmod 755 $DIR; mkdir -p sbin bin ${folder}/scripts ${folder}/dist/daemon
    cp ${ROOT}/scripts/*mount* ${ROOT}/scripts/launch ${folder}/scripts`);
  const install = (...how: string[]) =>
    site.sh(`unshare --mount bash -euc 'mount --bind $DIR/sbin "$(readlink -f /sbin)"
      exec ${how.join(' ')} node ${folder}/scripts/link-mount-helper.mjs'`);
  return { site, helper: join(folder, 'scripts/mount.fuse.spinney'), install };
}

const GLOBAL = 'env npm_config_global=true npm_config_prefix=$DIR PATH=$DIR/bin:$PATH';

it('is made when root installs the package for the machine, and by a second time left alone', async () => {
  const { site, helper, install } = await installed();
  expect(await install(GLOBAL)).toContain('made /sbin/mount.fuse.spinney');
  expect(await site.sh(`readlink ${LINK}`)).toBe(helper);
  expect(await install(GLOBAL)).toBe('');
  expect(await site.sh(`readlink ${LINK}`)).toBe(helper);
});

it('is not made by an installation in a project, by an ordinary user, or outside the PATH', async () => {
  const { site, install } = await installed();
  expect(await install('env npm_config_prefix=$DIR PATH=$DIR/bin:$PATH')).toBe('');
  expect(await install(`${GLOBAL} setpriv --reuid=65534 --regid=65534 --clear-groups`)).toBe('');
  expect(await install('env npm_config_global=true npm_config_prefix=$DIR')).toBe('');
  expect(await site.sh('ls -A $DIR/sbin')).toBe('');
});

it.each([
  ['an earlier installation, gone', '/gone/node_modules/spinney/scripts/mount.fuse.spinney'],
  ['an earlier installation', '$DIR/other/node_modules/spinney/scripts/mount.fuse.spinney'],
  ['an earlier one, through its command', '$DIR/other/mount.fuse.spinney'],
])('replaces a link to %s', async (_what, target) => {
  const { site, helper, install } = await installed();
  await site.sh(`mkdir -p $DIR/other/node_modules/spinney/scripts
    touch $DIR/other/node_modules/spinney/scripts/mount.fuse.spinney
    ln -s node_modules/spinney/scripts/mount.fuse.spinney $DIR/other/mount.fuse.spinney
    ln -s ${target} ${LINK}`);
  expect(await install(GLOBAL)).toContain('made /sbin/mount.fuse.spinney');
  expect(await site.sh(`readlink ${LINK}`)).toBe(helper);
});

it.each([
  ['a file', 'echo theirs >'],
  ['a link to a file', 'echo theirs > $DIR/theirs; ln -s $DIR/theirs'],
  ['a link to nothing', 'ln -s $DIR/theirs'],
  ['a directory', 'mkdir'],
])('leaves %s of others in its place', async (_what, make) => {
  const { site, install } = await installed();
  await site.sh(`${make} ${LINK}`);
  const look = () => site.sh(`cd $DIR; stat -c '%F %i %N' ${LINK}; cat ${LINK} 2>/dev/null || true`);
  const before = await look();
  expect(await install(GLOBAL)).toContain("is not this package's");
  expect(await look()).toBe(before);
});

it('says so where it cannot be made, and does not fail', async () => {
  const { site, install } = await installed();
  await site.sh('mount -t tmpfs -o ro tmpfs $DIR/sbin');
  expect(await install(GLOBAL)).toMatch(/Cannot make \/sbin\/mount\.fuse\.spinney, .*EROFS/);
});

it('leads to a helper that finds the Node.js beside npm, also when mount(8) clears the environment', async () => {
  const { site, install } = await installed();
  // Only there: /usr/local/bin and /usr/bin may have another one, or none.
  await site.sh(`cp ${process.execPath} bin/node
    echo 'console.log(process.execPath, process.argv.slice(2))' > lib/node_modules/spinney/dist/daemon/mount-helper-cli.js`);
  await install(GLOBAL);
  expect(await site.sh(`env -i ${LINK} /srv/store /mnt -o ro`)).toBe(
    `${site.directory}/bin/node [ '/srv/store', '/mnt', '-o', 'ro' ]`,
  );
});
