/**
 * npm runs this after it installed the package. Where root installs it for the machine, mount(8) shall find the helper,
 * which it looks for in /sbin alone. Replaces nothing but a link of an earlier installation, and never fails: the
 * README says how to make the link by hand.
 */
import { lstatSync, readlinkSync, realpathSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';

const LINK = '/sbin/mount.fuse.spinney';
const HELPER = join(import.meta.dirname, 'mount.fuse.spinney');
/** In what every link of an installation leads to. */
const OURS = '/node_modules/spinney/';

/** A global installation whose commands root does not find by name is for trying out. */
function isForTheMachine() {
  const { npm_config_global, npm_config_prefix, PATH = '' } = process.env;
  return (
    process.getuid() === 0 &&
    npm_config_global === 'true' &&
    PATH.split(':').includes(join(npm_config_prefix ?? '', 'bin'))
  );
}

/** What the link leads to: as it says, or through links of its own. */
function targets() {
  const text = readlinkSync(LINK);
  try {
    return [text, realpathSync(LINK)];
  } catch {
    return [text];
  }
}

function link() {
  const found = lstatSync(LINK, { throwIfNoEntry: false });
  if (found !== undefined) {
    if (!found.isSymbolicLink() || !targets().some((target) => target.includes(OURS))) {
      console.log(`${LINK} is not this package's, and stays as it is`);
      return;
    }
    if (targets().includes(HELPER)) return;
    unlinkSync(LINK);
  }
  symlinkSync(HELPER, LINK);
  console.log(`made ${LINK}, which mount(8) looks for`);
}

try {
  if (isForTheMachine()) link();
} catch (error) {
  console.log(`Cannot make ${LINK}, which mount(8) looks for: ${error.message}`);
}
