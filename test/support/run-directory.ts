/**
 * A directory for each run of the tests, below which all of theirs are made, and a guardian that clears it when the run
 * is over, however it ends: see run-guardian.mjs. Used as vitest's globalSetup.
 *
 * A guardian is there before its directory and goes after it. So a directory without one belongs to nobody, and
 * concurrent runs leave each other alone.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const GUARDIAN = join(import.meta.dirname, 'run-guardian.mjs');
const PREFIX = 'spinney-run-';

export default async function setup(): Promise<() => Promise<void>> {
  for (const directory of abandoned()) await ended(startGuardian(directory, 'ignore'));
  const directory = join(tmpdir(), `${PREFIX}${randomBytes(6).toString('hex')}`);
  const guardian = startGuardian(directory, 'pipe');
  mkdirSync(directory);
  process.env.TMPDIR = directory;
  return async () => {
    guardian.stdin!.end();
    await ended(guardian);
  };
}

/** It clears the directory when its standard input ends. */
function startGuardian(directory: string, stdin: 'pipe' | 'ignore'): ChildProcess {
  // In a session of its own: a signal from the terminal is for the run.
  const guardian = spawn(process.execPath, [GUARDIAN, directory], {
    detached: true,
    stdio: [stdin, 'ignore', 'inherit'],
  });
  guardian.unref();
  return guardian;
}

function abandoned(): string[] {
  // Directories first: one that is made meanwhile has a guardian that is not seen yet.
  const directories = readdirSync(tmpdir()).filter((name) => name.startsWith(PREFIX));
  const guarded = new Set(readdirSync('/proc').flatMap(guardedBy));
  return directories.map((name) => join(tmpdir(), name)).filter((directory) => !guarded.has(directory));
}

/** The directory that a process guards. */
function guardedBy(pid: string): string[] {
  try {
    const [, script = '', directory = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return script.endsWith('/run-guardian.mjs') ? [directory] : [];
  } catch {
    return [];
  }
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  child.ref();
  return new Promise((resolve) => child.once('exit', () => resolve()));
}
