/** The engine's figures as tables in Markdown. A ratio is a system's time divided by Spinney's at its first level. */
import { SHAPES } from '../lib/keys.mjs';
import { ratioText, table, timeText as us } from '../lib/table.mjs';
import { WORKLOADS } from './workloads.mjs';

const NAMES = { spinney: 'Spinney', lmdb: 'lmdb', sqlite: 'SQLite', level: 'LevelDB' };

/** All tables that the figures give, each under a heading. */
export function markdownTables(figures) {
  const sections = [];
  for (const group of groups(figures, ({ keys, shape }) => `${keys} ${shape}`)) {
    sections.push(
      ...workloadSection(group.filter(({ figure }) => figure in WORKLOADS && !isSpecial(figure))),
    );
    sections.push(...renamePrefixSection(group));
  }
  sections.push(...durableSection(figures.filter(({ figure }) => figure === 'putDurable')));
  sections.push(...threadsSection(figures.filter(({ figure }) => figure.startsWith('threads.'))));
  sections.push(...spaceSection(figures.filter(({ figure }) => figure === 'space')));
  return sections.join('\n\n').concat('\n');
}

/** Those with tables of their own. */
function isSpecial(figure) {
  return ['renamePrefix', 'renameMany', 'putDurable'].includes(figure);
}

function workloadSection(figures) {
  if (figures.length === 0) return [];
  const systems = groups(figures, ({ system }) => system).flatMap((group) => [...new Set(group.map(label))]);
  const cells = (of, cell) =>
    systems.map((system) => {
      const figure = of.find((each) => label(each) === system);
      return figure === undefined ? '' : cell(figure);
    });
  const rows = [];
  for (const group of groups(figures, ({ figure }) => figure)) {
    const { title } = WORKLOADS[group[0].figure];
    rows.push([title, ...cells(group, withRatio)]);
    if (group[0].p50 === undefined) continue;
    rows.push([`${title}, p50 / p99`, ...cells(group, ({ p50, p99 }) => `${us(p50)} / ${us(p99)}`)]);
  }
  return [
    `### ${heading(figures[0])}`,
    'Microseconds per operation (that of the rollup is the whole rollup).',
    table(['', ...systems], rows),
  ];
}

/** Directories of half of the keys: at once, and what it would take key by key. */
function renamePrefixSection(figures) {
  const whole = figures.find(({ figure }) => figure === 'renamePrefix');
  const single = figures.filter(({ figure }) => figure === 'renameMany');
  if (whole === undefined || single.length === 0) return [];
  const moved = whole.keys / 2;
  const wholeMs = whole.median / 1000;
  const rows = [[`${label(whole)}, renamePrefix`, 'measured', us(wholeMs), '']];
  for (const each of single) {
    const ms = (each.median * moved) / 1000;
    const how = `${us(each.median)} us per key, measured with 10,000 keys, times ${moved.toLocaleString('en')}`;
    rows.push([`${label(each)}, key by key`, how, us(ms), ratioText(ms / wholeMs)]);
  }
  return [
    `### Renaming a directory of ${moved.toLocaleString('en')} keys among ${whole.keys.toLocaleString('en')}`,
    table(['', '', 'ms', 'ratio'], rows),
  ];
}

function durableSection(figures) {
  if (figures.length === 0) return [];
  const rows = figures.map((figure) => [label(figure), withRatio(figure)]);
  return [`### Puts that survive a power cut, ${heading(figures[0])}`, table(['', 'us per put'], rows)];
}

function threadsSection(figures) {
  if (figures.length === 0) return [];
  const rows = groups(figures, ({ system, keys, shape }) => `${system} ${keys} ${shape}`).map((group) => {
    const cell = (name, threads) => {
      const { median, ratio } = group.find((each) => each.figure === name && each.threads === threads);
      const thousands = String(Math.round(median / 1000));
      return ratio === undefined ? thousands : `${thousands} (${ratioText(ratio)})`;
    };
    return [
      heading(group[0]),
      label(group[0]),
      cell('threads.get', 1),
      cell('threads.get', 2),
      cell('threads.getBesidePut', 2),
      cell('threads.put', 1),
      cell('threads.putBesideGet', 2),
    ];
  });
  const head = [
    'keys',
    '',
    '1 reader',
    '2 readers',
    'reader beside writer',
    'writer',
    'writer beside reader',
  ];
  return [
    '### Threads',
    'Thousands of operations per second; in brackets against one thread alone.',
    table(head, rows),
  ];
}

function spaceSection(figures) {
  if (figures.length === 0) return [];
  const rows = figures.map((figure) => {
    const { system, liveBytesPerKey, liveRatio, averageFill } = figure;
    const live = liveBytesPerKey === undefined ? '' : `${bytes(liveBytesPerKey)} (${ratioText(liveRatio)})`;
    return [
      heading(figure),
      NAMES[system],
      bytes(figure.leastBytesPerKey),
      live,
      averageFill === undefined ? '' : averageFill.toFixed(2),
      `${bytes(figure.diskBytesPerKey)} (${ratioText(figure.diskRatio)})`,
      us(figure.loadUsPerKey),
    ];
  });
  const head = ['keys', '', 'least', 'live', 'fill', 'on disk', 'load, us per key'];
  return [
    '### Space',
    'Bytes per key. "Least" is the value and that part of the key that it does not share with the one before it.',
    table(head, rows),
  ];
}

function label({ system, durability }) {
  return `${NAMES[system]} \`${durability}\``;
}

function heading({ keys, shape }) {
  return `${keys.toLocaleString('en')} keys, ${SHAPES[shape].title}`;
}

function withRatio({ median, ratio, system }) {
  return system === 'spinney' && ratio === 1 ? us(median) : `${us(median)} (${ratioText(ratio)})`;
}

function bytes(value) {
  return value.toFixed(1);
}

/** The items with the same key together, in the order of their first. */
function groups(items, keyOf) {
  const byKey = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!byKey.has(key)) byKey.set(key, []);
    byKey.get(key).push(item);
  }
  return [...byKey.values()];
}
