/** What a daemon appends its log to, and what it leaves alone. */
import { execFileSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { closeLogFile, examineLogFile, openLogFile } from '../../../daemon/process/log/log-file.js';
import { temporaryDirectory } from '../support.js';

const IS_ROOT = process.geteuid?.() === 0;
const NOBODY = 65_534;

/** The message of the refusal, which both give. */
function refusal(file: string): string {
  let message = '';
  for (const open of [examineLogFile, openLogFile]) {
    try {
      open(file);
    } catch (error) {
      const said = (error as Error).message;
      if (message !== '') expect(said).toBe(message);
      message = said;
      continue;
    }
    throw new Error(`${file} was opened`);
  }
  return message;
}

function append(file: string): void {
  examineLogFile(file);
  const fd = openLogFile(file);
  writeSync(fd, 'line\n');
  closeLogFile(fd);
}

describe('a log file', () => {
  it('is made, private, and appended to', () => {
    const file = join(temporaryDirectory(), 'log');
    examineLogFile(file);
    expect(existsSync(file)).toBe(false);
    append(file);
    append(file);
    expect(readFileSync(file, 'utf8')).toBe('line\nline\n');
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('has no directory made for it', () => {
    const directory = join(temporaryDirectory(), 'nope');
    expect(refusal(join(directory, 'log'))).toBe(
      `Cannot open the log file ${directory}/log: its directory ${directory} does not exist; make it first, or give another --log-file`,
    );
    expect(existsSync(directory)).toBe(false);
    writeFileSync(directory, '');
    expect(refusal(join(directory, 'log'))).toContain('a part of its path is not a directory');
  });

  it('is a plain file, /dev/null, or a stream of the process', () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'd'));
    execFileSync('mkfifo', [join(directory, 'fifo')]);
    expect(refusal(join(directory, 'd'))).toContain('it is a directory');
    expect(refusal(join(directory, 'fifo'))).toContain('it is not a plain file');
    expect(refusal('/dev/zero')).toContain('it is not a plain file');
    append('/dev/null');
    expect(openLogFile('/dev/stderr')).toBe(2);
    closeLogFile(2);
    expect(() => statSync('/proc/self/fd/2')).not.toThrow();
  });

  it('may be behind a link of the caller, and of nobody else', () => {
    const directory = temporaryDirectory();
    const file = join(directory, 'log');
    const link = join(directory, 'link');
    symlinkSync('log', link);
    expect(refusal(link)).toContain('a symbolic link that leads nowhere');
    writeFileSync(file, '');
    append(link);
    expect(readFileSync(file, 'utf8')).toBe('line\n');
    if (!IS_ROOT) return;
    execFileSync('chown', ['-h', String(NOBODY), link]);
    expect(refusal(link)).toContain('a symbolic link that uid 65534 made');
    expect(readFileSync(file, 'utf8')).toBe('line\n');
  });

  it('has one name, and is the caller’s', () => {
    const directory = temporaryDirectory();
    const file = join(directory, 'precious');
    writeFileSync(file, 'precious');
    linkSync(file, join(directory, 'log'));
    expect(refusal(join(directory, 'log'))).toContain('a second name');
    if (IS_ROOT) {
      const others = join(directory, 'others');
      writeFileSync(others, '');
      chownSync(others, NOBODY, NOBODY);
      expect(refusal(others)).toContain('it belongs to uid 65534');
    }
    expect(readFileSync(file, 'utf8')).toBe('precious');
  });
});
