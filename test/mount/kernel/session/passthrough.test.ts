/** How open files are accessed: fixed at the first open, registered once, ended with the last release. */
import { constants as fsConstants } from 'node:fs';
import { constants } from 'node:os';
import { beforeEach, describe, expect, test } from 'vitest';
import { Passthrough } from '../../../../mount/kernel/session/passthrough.js';
import { MemoryFileSystem } from './memory-filesystem.js';

const { EIO, ENOENT, ENOMEM, EPERM } = constants.errno;
const { O_RDWR, O_DSYNC, O_SYNC } = fsConstants;

let backing: (handle: number) => number;
let fsync: (handle: number) => number;
let calls: string[];
let answer: number;
let passthrough: Passthrough;

beforeEach(() => {
  calls = [];
  answer = 7;
  backing = (handle) => 100 + handle;
  const fileSystem = new MemoryFileSystem();
  fileSystem.backing = (handle) => backing(handle);
  fileSystem.pass = (handle) => Math.min(backing(handle), 0);
  fileSystem.fsync = (handle) => fsync(handle);
  passthrough = new Passthrough(
    fileSystem,
    {
      register: (fd) => {
        calls.push(`register ${fd}`);
        return answer;
      },
      end: (number) => calls.push(`end ${number}`),
    },
    (errno) => calls.push(`refused ${errno}`),
  );
  passthrough.enable(true);
});

test('an inode is registered at its first open and ended with its last release', () => {
  expect([passthrough.opened(5, 1, O_RDWR), passthrough.opened(5, 2, O_RDWR)]).toEqual([7, 7]);
  answer = 8;
  expect(passthrough.opened(6, 3, O_RDWR)).toBe(8);
  passthrough.released(5);
  expect(calls).toEqual(['register 101', 'register 103']);
  passthrough.released(5);
  passthrough.released(6);
  expect(calls.slice(2)).toEqual(['end 7', 'end 8']);
  passthrough.released(6);
  expect(calls.length).toBe(4);
});

test('what has no content when it is first opened goes through the daemon until all have released it', () => {
  backing = () => -ENOENT;
  expect(passthrough.opened(5, 1, O_RDWR)).toBe(0);
  backing = (handle) => handle;
  expect(passthrough.opened(5, 2, O_RDWR)).toBe(0);
  passthrough.released(5);
  expect(passthrough.opened(5, 3, O_RDWR)).toBe(0);
  passthrough.released(5);
  passthrough.released(5);
  expect(calls).toEqual([]);
  expect(passthrough.opened(5, 4, O_RDWR)).toBe(7);
});

test('what is first opened so that each write is durable goes through the daemon, which sees to names and records', () => {
  expect([passthrough.passesNew(O_RDWR), passthrough.passesNew(O_RDWR | O_DSYNC)]).toEqual([true, false]);
  for (const flag of [O_DSYNC, O_SYNC]) {
    expect(passthrough.opened(5, 1, O_RDWR | flag)).toBe(0);
    expect(passthrough.opened(5, 2, O_RDWR)).toBe(0);
    passthrough.released(5);
    passthrough.released(5);
  }
  expect(calls).toEqual([]);
});

test('the name and record of what is passed through are made durable for a handle whose writes are to be', () => {
  expect(passthrough.opened(5, 1, O_RDWR)).toBe(7);
  fsync = (handle) => {
    calls.push(`fsync ${handle}`);
    return 0;
  };
  expect(passthrough.opened(5, 2, O_RDWR | O_DSYNC)).toBe(7);
  fsync = () => -EIO;
  expect(passthrough.opened(5, 3, O_RDWR | O_SYNC)).toBe(-EIO);
  passthrough.released(5);
  passthrough.released(5);
  expect(calls).toEqual(['register 101', 'fsync 2', 'end 7']);
});

test('each later handle is told to the filesystem layer, and its failure is that of the open', () => {
  expect(passthrough.opened(5, 1, O_RDWR)).toBe(7);
  backing = () => -EIO;
  expect(passthrough.opened(5, 2, O_RDWR)).toBe(-EIO);
  expect(passthrough.opened(6, 3, O_RDWR)).toBe(-EIO);
  // Neither counts as open.
  passthrough.released(5);
  expect(calls).toEqual(['register 101', 'end 7']);
});

describe('a kernel that refuses', () => {
  test('is not asked again', () => {
    answer = -EPERM;
    expect([
      passthrough.opened(5, 1, O_RDWR),
      passthrough.opened(6, 2, O_RDWR),
      passthrough.opened(5, 3, O_RDWR),
    ]).toEqual([0, 0, 0]);
    expect(calls).toEqual(['register 101', `refused ${EPERM}`]);
    expect(passthrough.isEnabled).toBe(false);
    passthrough.released(5);
    passthrough.released(5);
    expect(calls.length).toBe(2);
  });

  test('one file for a reason that passes is asked again for the next', () => {
    answer = -ENOMEM;
    expect(passthrough.opened(5, 1, O_RDWR)).toBe(0);
    answer = 7;
    expect([passthrough.opened(5, 2, O_RDWR), passthrough.opened(6, 3, O_RDWR)]).toEqual([0, 7]);
  });

  test('leaves what is passed through already as it is', () => {
    expect(passthrough.opened(5, 1, O_RDWR)).toBe(7);
    answer = -EPERM;
    expect(passthrough.opened(6, 2, O_RDWR)).toBe(0);
    expect(passthrough.opened(5, 3, O_RDWR)).toBe(7);
    passthrough.released(5);
    passthrough.released(5);
    expect(calls.at(-1)).toBe('end 7');
  });
});

test('without anyone to register files nothing is passed through, and the kernel is not asked to', () => {
  const none = new Passthrough(new MemoryFileSystem(), undefined, () => {});
  expect(none.isWanted).toBe(false);
  none.enable(false);
  expect(none.opened(5, 1, O_RDWR)).toBe(0);
});
