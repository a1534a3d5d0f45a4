/** All verbs, in the order in which they are told. A new one is one entry here. */
import { backup } from './backup.js';
import { check } from './check.js';
import type { Command } from './command.js';
import { completion } from './completion.js';
import { controlVerbs } from './control-verbs.js';
import { diff } from './diff.js';
import { du } from './du.js';
import { dump } from './dump.js';
import { load } from './load.js';
import { mount } from './mount.js';
import { repair } from './repair.js';
import { snapshot } from './snapshot.js';
import { umount } from './umount.js';

const VERBS: readonly Command[] = [
  mount,
  umount,
  ...controlVerbs,
  snapshot,
  diff,
  du,
  backup,
  check,
  repair,
  dump,
  load,
];

export const COMMANDS: readonly Command[] = [...VERBS, completion(VERBS)];
