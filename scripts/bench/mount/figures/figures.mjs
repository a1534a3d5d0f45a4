/**
 * The figures: how tables call them, and whether they are microseconds per operation or milliseconds for the whole. In
 * braces: which size belongs there.
 *
 * Of those of what can be looked at several times, `cold` is the first time, a second after the system was mounted anew
 * and the kernel has forgotten all entries, those below too; `first` that by a server that is warm, while the kernel still
 * knows those below; `again` the time after that.
 */

function us(title) {
  return { title, unit: 'us' };
}

function ms(title) {
  return { title, unit: 'ms' };
}

function several(name, title, unit) {
  return {
    [`${name}.cold`]: unit(`${title}, cold`),
    [`${name}.first`]: unit(`${title}, first`),
    [`${name}.again`]: unit(`${title}, again`),
  };
}

export const FIGURES = {
  create: us('create and close'),
  setxattr: us('setxattr'),
  getxattr: us('getxattr'),
  rename: us('rename'),
  unlink: us('unlink'),
  ...several('stat', 'stat', us),
  'absent.first': us('stat of an absent file'),
  'absent.again': us('stat of an absent file, again'),
  'stat.few': us('stat, again, of {few} files only'),
  ...several('read', 'open, read 2 KiB, close', us),
  ...several('readdir', 'readdir of {listed}', ms),
  ...several('ls', '`ls -l` of {listed}', ms),
  ...several('readdir100k', 'readdir of {listedLarge}', ms),
  ...several('ls100k', '`ls -l` of {listedLarge}', ms),
  ...several('find', '`find` over {tree}', ms),
  untar: ms('`tar -x` of {archived} small files'),
  rm: ms('`rm -rf` of these'),
  ...several('status', '`git status` of {versioned} files', ms),
  write: ms('write and fsync {streamMiB} MiB'),
  'streamRead.cold': ms('read {streamMiB} MiB, cold'),
  'streamRead.again': ms('read {streamMiB} MiB, again'),
  idle: ms('CPU time in {idleMs} ms of idleness'),
};

export function titleOf(figure, sizes) {
  return FIGURES[figure].title.replace(/\{(\w+)\}/, (_, name) => sizes[name].toLocaleString('en'));
}
