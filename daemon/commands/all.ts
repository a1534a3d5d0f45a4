/** All verbs, in the order in which they are told. A new one is one entry here. */
import { backup } from './backup.js';
import { check } from './check.js';
import { completion } from './completion.js';
import { controlVerbs } from './control-verbs.js';
import { debug } from './debug.js';
import { diff } from './diff.js';
import { du } from './du.js';
import { dump } from './dump.js';
import { load } from './load.js';
import { log } from './log.js';
import { mount } from './mount.js';
import type { Command } from './options/command.js';
import { repair } from './repair.js';
import { set } from './set.js';
import { snapshot } from './snapshot.js';
import { status } from './status/status.js';
import { top } from './top.js';
import { umount } from './umount.js';
import { upgrade } from './upgrade.js';
import { warm } from './warm.js';

const VERBS: readonly Command[] = [
  mount,
  umount,
  upgrade,
  status,
  set,
  ...controlVerbs,
  log,
  top,
  snapshot,
  diff,
  du,
  warm,
  backup,
  check,
  repair,
  dump,
  load,
  debug,
];

export const COMMANDS: readonly Command[] = [...VERBS, completion(VERBS)];
