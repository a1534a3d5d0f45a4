/** Gathers what helps to find out what is wrong with a mount, into one file that can be sent to somebody. */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { reasonOf, SpinneyError } from '../../../engine/errors.js';
import { findMount } from '../../../mount/mountpoints/mountinfo.js';
import { isSpinney } from '../../places/mountpoint.js';
import { hasCode } from '../../process/failure.js';
import { writeBytes } from '../../process/standard-output.js';
import { badArgument, textOption } from '../options/arguments.js';
import type { Command } from '../options/command.js';
import { placeArgument, targetOptions } from '../options/target.js';
import type { Output } from '../output/output.js';
import { type Bundle, gatherBundle } from './debug/bundle.js';
import { Names } from './debug/names.js';
import { type Subject, subjectOf } from './debug/subject.js';
import { tarOf } from './debug/tar.js';
import { WITH_NAMES, withoutNames } from './debug/told.js';
import { PROGRAM, programWords } from './debug/vocabulary.js';

const STANDARD_OUTPUT = '-';

export const debug: Command = {
  name: 'debug',
  summary: 'Gather what helps to find out what is wrong with a mount, for somebody to look at',
  argument: placeArgument,
  options: {
    ...targetOptions,
    out: {
      takesValue: true,
      values: 'file',
      describe: 'The file to make, a .tar.gz; - for the standard output',
    },
    'with-names': { describe: 'Leave names of files, mountpoints and stores as they are' },
    profile: { describe: 'Profile all threads for 10 s, too' },
    force: { describe: 'Replace the file if it is there' },
  },
  async run(options, output) {
    const subject = await subjectOf(options);
    const out = textOption(options, 'out');
    if (out === undefined)
      throw badArgument('say where to: --out bundle.tar.gz, or --out - for the standard output');
    const file = out === STANDARD_OUTPUT ? undefined : openOut(out, options.force === true);
    try {
      const withNames = options['with-names'] === true;
      const told = withNames ? WITH_NAMES : withoutNames(namesOf(subject));
      const bundle = await gatherBundle(subject, { profile: options.profile === true, told });
      const seconds = Math.floor(Date.now() / 1000);
      const contents = { name: 'README.txt', bytes: Buffer.from(readmeOf(bundle, withNames)) };
      const files = [contents, ...bundle.files].map(({ name, bytes }) => ({
        name: `spinney-debug/${name}`,
        bytes,
      }));
      const archive = gzipSync(tarOf(files, seconds));
      if (file === undefined) writeBytes(archive);
      else file.write(archive);
      tellSummary(output, out, bundle, withNames);
      return 0;
    } catch (error) {
      file?.remove();
      throw error;
    } finally {
      file?.close();
    }
  },
};

interface OutFile {
  write(bytes: Uint8Array): void;
  remove(): void;
  close(): void;
}

/** Before anything is gathered: whoever waits for that is to have a place for it. Throws ERR_EXISTS, ERR_IO, ERR_INVALID_ARGUMENT. */
function openOut(out: string, replaces: boolean): OutFile {
  const path = resolve(out);
  refuseOurMount(path);
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants;
  const how = replaces ? O_NOFOLLOW | O_NONBLOCK : O_EXCL;
  let fd: number;
  try {
    fd = openSync(path, O_WRONLY | O_CREAT | how, 0o600);
  } catch (error) {
    if (hasCode(error, 'EEXIST'))
      throw new SpinneyError('ERR_EXISTS', `Cannot write ${path}: it is there already; --force replaces it`);
    throw new SpinneyError('ERR_IO', `Cannot write ${path}: ${reasonOf(error)}`, { cause: error });
  }
  if (!fstatSync(fd).isFile()) {
    closeSync(fd);
    throw new SpinneyError('ERR_IO', `Cannot write ${path}: it is no plain file`);
  }
  fchmodSync(fd, 0o600);
  return {
    write(bytes) {
      ftruncateSync(fd, 0);
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
    },
    remove: () => rmSync(path, { force: true }),
    close: () => closeSync(fd),
  };
}

/** A mount that hangs would never take its own bundle. */
function refuseOurMount(path: string): void {
  for (let at = dirname(path); ; at = dirname(at)) {
    const mount = findMount(at);
    if (mount !== undefined && isSpinney(mount))
      throw badArgument(`--out ${path} lies in the mount ${at}, which may hang; give a file elsewhere`);
    if (mount !== undefined || at === dirname(at)) return;
  }
}

function namesOf({ mountpoint, store, socket }: Subject): Names {
  return new Names(programWords(), [
    [PROGRAM, '<spinney>'],
    [mountpoint ?? '', '<mountpoint>'],
    [store ?? '', '<store>'],
    [socket, '<control socket>'],
    [homedir(), '<home>'],
  ]);
}

const ABOUT: Readonly<Record<string, string>> = {
  'README.txt': 'this list',
  'system.json': 'version of Spinney, Node.js and the kernel; processors and memory',
  'process.txt': "the daemon's state, limits, I/O and control group",
  'threads.txt': "each of its threads: state, what it waits for, and the kernel's stack",
  'mountinfo.txt': 'the mount, as the kernel shows it',
  'store.json': "files in the store's directory, and their sizes",
  'health.json': 'what health tells',
  'settings.json': 'options and settings of the mount',
  'stats.json': 'what stats tells',
  'metrics.txt': 'the metrics',
  'slow-requests.jsonl': 'the last requests that took long, and what they waited for',
  'log.jsonl': 'the last lines of the log',
  'stacks.txt': 'where the JavaScript of each thread was found, looked at for a moment',
};

const NAMES_ARE_THERE = 'Names of files, mountpoints and stores are in it as they are.';
const NAMES_ARE_NOT =
  'No names are in it: of files, directories, snapshots, mountpoints or stores. Each is a hash, as ~1a2b3c4d, that is the same ' +
  'throughout this bundle and another in the next. Words that the program itself has, sizes, times, inode numbers, users and pids are left.';
const NEVER =
  "Contents of files, extended attributes and their names, environment variables and the machine's name are never in it.";

function listOf({ files, missing }: Bundle): string[] {
  return [
    ...files.map(
      ({ name }) =>
        `  ${name.padEnd(20)}  ${ABOUT[name] ?? 'CPU profile of a thread, for Chrome or speedscope'}`,
    ),
    ...(missing.length === 0 ? [] : ['What is missing:']),
    ...missing.map(({ name, why }) => `  ${name.padEnd(20)}  ${why}`),
  ];
}

function readmeOf(bundle: Bundle, withNames: boolean): string {
  const lines = [
    'A debug bundle of Spinney.',
    '',
    ...listOf(bundle),
    '',
    withNames ? NAMES_ARE_THERE : NAMES_ARE_NOT,
    NEVER,
  ];
  return `${lines.join('\n')}\n`;
}

/** To the standard error: the bundle itself may go to the other one. */
function tellSummary(output: Output, out: string, bundle: Bundle, withNames: boolean): void {
  const where = out === STANDARD_OUTPUT ? 'the bundle' : out;
  output.err(
    `${[`${where} has:`, ...listOf(bundle), withNames ? NAMES_ARE_THERE : NAMES_ARE_NOT, NEVER].join('\n')}\n`,
  );
}
