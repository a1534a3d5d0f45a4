/** All verbs, in the order in which they are told. A new one is one entry here. */

import { completion } from './completion.js';
import { debug } from './inspecting/debug.js';
import { du } from './inspecting/du.js';
import { log } from './inspecting/log.js';
import { status } from './inspecting/status/status.js';
import { top } from './inspecting/top.js';
import { controlVerbs } from './mounts/control-verbs.js';
import { mount } from './mounts/mount.js';
import { set } from './mounts/set.js';
import { umount } from './mounts/umount.js';
import { upgrade } from './mounts/upgrade.js';
import { warm } from './mounts/warm.js';
import type { Command } from './options/command.js';
import { backup } from './stores/backup.js';
import { check } from './stores/check.js';
import { diff } from './stores/diff.js';
import { dump } from './stores/dump.js';
import { load } from './stores/load.js';
import { repair } from './stores/repair.js';
import { snapshot } from './stores/snapshot.js';

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
