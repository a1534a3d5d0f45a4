/**
 * The manual pages. Verbs, options and defaults are those that the command line reads and that --help shows; the rest is
 * what our documents say. So no page can tell something else.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { COMMANDS } from '../../dist/daemon/commands/all.js';
import { EXIT_CODES, FLAGS, TOLD } from '../../dist/daemon/mount-helper-options.js';
import { version } from '../../dist/daemon/process/version.js';
import { inline, opening, plain, section, toMan } from './markdown.mjs';

const ROOT = join(import.meta.dirname, '../..');
const README = read('README.md');
const MANUAL = read('docs/MANUAL.md');
const FORMAT = read('engine/FORMAT.md');

/** Sections of the manual that are told in spinney(1), in their order. */
const MANUAL_SECTIONS = [
  'Exit codes',
  'Status',
  'Settings that change while mounted',
  'Unmounting',
  'Signals',
  'Restarts and upgrades',
  'Logs',
  'Watching a mount',
  'Health',
  'Checking',
  'What is in a directory',
  'Limits of directories',
  'Snapshots',
  'Backup and restore',
  'A store in an object store',
  'Running it as a service',
  'Figures and metrics',
  'Requests',
  'The control socket',
  'Errors',
];

/** Texts of the pages by their file names. */
export function pages() {
  return { 'spinney.1': spinney1(), 'spinney.5': spinney5(), 'mount.fuse.spinney.8': helper8() };
}

function spinney1() {
  return page('spinney', 1, 'a filesystem for very many small things', [
    ['Synopsis', COMMANDS.flatMap((command) => ['.br', bold(usageOf(command))]).slice(1)],
    [
      'Description',
      [
        toMan(opening(README)),
        '.PP',
        plain('What a store is, and what a crash loses, is told in spinney(5).'),
      ],
    ],
    ['Commands', COMMANDS.flatMap(commandLines)],
    ...MANUAL_SECTIONS.map((heading) => [heading, [toMan(section(MANUAL, heading))]]),
    ['See also', [seeAlso('spinney(5)', 'mount.fuse.spinney(8)', 'systemd.service(5)', 'fuse(4)')]],
  ]);
}

function spinney5() {
  return page('spinney', 5, 'the store of a filesystem of spinney(1)', [
    ['Description', [toMan(section(README, 'What a store is'))]],
    ['Files', [toMan(opening(FORMAT))]],
    ['What a crash loses', [toMan(section(README, 'What a crash loses'))]],
    ['When a disk lied', [toMan(section(MANUAL, 'When a disk lied'))]],
    ['See also', [seeAlso('spinney(1)', 'mount.fuse.spinney(8)')]],
  ]);
}

function helper8() {
  return page('mount.fuse.spinney', 8, 'what mount(8) runs for the type fuse.spinney', [
    [
      'Synopsis',
      [
        bold('mount -t fuse.spinney <store> <mountpoint> [-o options]'),
        '.br',
        bold('mount.fuse.spinney <store> <mountpoint> [-sfnv] [-t type] [-o options]'),
      ],
    ],
    ['Description', [toMan(section(MANUAL, 'mount(8) and /etc/fstab'))]],
    [
      'Options',
      [
        'With commas between them:',
        ...TOLD.flatMap(({ words, describe, default: usual }) => term(words, describe, usual)),
      ],
    ],
    ['Flags', FLAGS.flatMap(([flags, describe]) => term(flags, describe))],
    ['Exit codes', [plain(`${EXIT_CODES}.`)]],
    ['See also', [seeAlso('mount(8)', 'fstab(5)', 'systemd.mount(5)', 'spinney(1)', 'spinney(5)')]],
  ]);
}

function page(name, number, what, sections) {
  const title = `.TH ${name.toUpperCase()} ${number} "" "spinney ${version}" "Spinney"`;
  const head = [
    '.\\" Made by scripts/man.mjs from the command line and the documents: change those.',
    title,
    '.SH NAME',
    `${plain(name)} \\- ${plain(what)}`,
  ];
  const body = sections.flatMap(([heading, lines]) => [`.SH ${plain(heading.toUpperCase())}`, ...lines]);
  return `${[...head, ...body].join('\n')}\n`;
}

function usageOf({ name, argument, more = [], rest, options }) {
  const first = argument.isRequired ? `<${argument.name}>` : `[${argument.name}]`;
  const others = [
    ...more.map((other) => `[${other.name}]`),
    ...(rest === undefined ? [] : [`[${rest.name}...]`]),
  ];
  const places = [first, ...others].join(' ');
  return `spinney ${name} ${places}${Object.keys(options).length > 0 ? ' [options]' : ''}`;
}

function commandLines(command) {
  const { argument, more = [], rest, options } = command;
  return [
    `.SS ${plain(usageOf(command))}`,
    `${plain(command.summary)}.`,
    ...term(argument.isRequired ? `<${argument.name}>` : `[${argument.name}]`, argument.describe),
    ...more.flatMap((other) => term(`[${other.name}]`, other.describe)),
    ...(rest === undefined ? [] : term(`[${rest.name}...]`, rest.describe)),
    ...Object.entries(options).flatMap(([option, { describe, takesValue, default: usual }]) => {
      const dashes = option.length === 1 ? '-' : '--';
      return term(`${dashes}${option}${takesValue ? ' VALUE' : ''}`, describe, usual);
    }),
  ];
}

function term(word, describe, usual) {
  return ['.TP', bold(word), `${plain(describe)}${usual === undefined ? '' : plain(` [${usual}]`)}`];
}

function bold(text) {
  return `\\fB${plain(text)}\\fR`;
}

function seeAlso(...names) {
  return names.map((name) => inline(name.replace(/^(.*)\(/, '**$1**('))).join(', ');
}

function read(name) {
  return readFileSync(join(ROOT, name), 'utf8');
}
