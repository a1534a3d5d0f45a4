/** Completion, in the shells themselves where they are installed. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../../daemon/commands/all.js';
import { spinney } from '../../daemon/support.js';
import { Site } from '../site.js';

const TYPIST = join(import.meta.dirname, '../../support/shell.py');
const isHere = (shell: string) => {
  try {
    execFileSync(shell, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** A site with the script for a shell, and a directory with some names to complete. */
async function siteWith(shell: string): Promise<Site> {
  const site = new Site();
  const { code, out } = await spinney('completion', shell);
  expect(code).toBe(0);
  writeFileSync(join(site.directory, 'completion'), out);
  mkdirSync(join(site.directory, 'some directory'));
  writeFileSync(join(site.directory, 'some file'), '');
  return site;
}

/** What is offered for the beginning of a mount's place with a blank in it. */
async function completeMount(
  shell: string,
  complete: (site: Site, typed: string) => Promise<string>,
): Promise<string> {
  const site = await siteWith(shell);
  await site.sh('mkdir "my mount"');
  const mountpoint = join(site.directory, 'my mount');
  await site.must('mount', mountpoint, '--store', site.store);
  const completed = await complete(site, `spinney umount ${site.directory}/my`);
  await site.must('umount', mountpoint);
  return completed.replaceAll(`${site.directory}/`, '').trim();
}

/** What is typed, what the command line becomes after a tab. */
const CASES = [
  ['spinney um', 'umount'],
  ['spinney comple', 'completion'],
  ['spinney completion f', 'completion fish'],
  ['spinney mount --cache', 'mount --cache-size'],
  ['spinney mount --driver ker', 'mount --driver kernel'],
  ['spinney mount --durability=sy', 'mount --durability=synced'],
  ['spinney mount -o nosuid,nod', 'mount -o nosuid,nodev'],
  ['spinney mount --store some', 'mount --store some directory/'],
  ['spinney check some', 'check some directory/'],
  ['spinney check --js', 'check --json'],
  ['spinney set /mnt dur', 'set /mnt durability='],
] as const;

it('refuses a shell that it does not know', async () => {
  expect(await spinney('completion', 'zhs')).toEqual({
    code: 2,
    out: '',
    err: 'spinney: Cannot read the arguments: the shell is "zhs", but completion takes bash, zsh, fish; did you mean zsh?\n',
  });
});

it.each(['bash', 'zsh', 'fish'])('for %s has every verb and every option', async (shell) => {
  const { out } = await spinney('completion', shell);
  for (const { name, options } of COMMANDS) {
    expect(out).toMatch(new RegExp(`\\b${name}\\b`));
    for (const option of Object.keys(options)) expect(out).toMatch(new RegExp(`-[ls]? ?${option}\\b`));
  }
});

describe.skipIf(!isHere('bash'))('bash', () => {
  /** What stands after `spinney` when the line was completed by a tab and entered. */
  const complete = (site: Site, typed: string) =>
    site.sh(`cat > rc <<'END'
spinney() { printf '<%s>\\n' "$*"; }
bind 'set enable-bracketed-paste off'
. ./completion
PS1='ready$ '
END
      python3 ${TYPIST} '>' '${typed}\\t\\n' -- bash --noprofile --rcfile rc -i | sed -n 's/.*<\\(.*\\)>.*/\\1/p'`);

  it.each(CASES)('%s', async (typed, completed) => {
    expect((await complete(await siteWith('bash'), typed)).trim()).toBe(completed);
  });

  it('completes the places of mounts, with blanks in them', async () => {
    expect(await completeMount('bash', complete)).toBe('umount my mount/');
  });
});

describe.skipIf(!isHere('zsh'))('zsh', () => {
  const complete = (site: Site, typed: string) =>
    site.sh(`cat > .zshrc <<'END'
spinney() { print -r -- "<$*>" }
autoload -U compinit; compinit -u -D
. ./completion
unsetopt zle_bracketed_paste prompt_sp
PS1='ready$ '
END
      ZDOTDIR=$DIR python3 ${TYPIST} '>' '${typed}\\t\\n' -- zsh -d -i | sed -n 's/.*<\\(.*\\)>.*/\\1/p'`);

  it.each(CASES)('%s', async (typed, completed) => {
    // It takes the slash back when the line is entered.
    const entered = completed.replace(/\/$/, '');
    expect((await complete(await siteWith('zsh'), typed)).trim()).toBe(entered);
  });

  it('completes the places of mounts, with blanks in them', async () => {
    expect(await completeMount('zsh', complete)).toBe('umount my mount');
  });
});

describe.skipIf(!isHere('fish'))('fish', () => {
  /** The one word that is offered for the last one, without what is said of it. */
  const complete = (site: Site, typed: string) =>
    site.sh(`HOME=$DIR fish --no-config -c '. ./completion; complete -C "${typed}"' | cut -f1`);

  it.each(CASES)('%s', async (typed, completed) => {
    const last = completed.replace(/^.* (?!directory)/, '');
    expect(await complete(await siteWith('fish'), typed)).toBe(last);
  });

  it('completes the places of mounts, with blanks in them', async () => {
    expect(await completeMount('fish', complete)).toMatch(/^my mount$/m);
  });
});
