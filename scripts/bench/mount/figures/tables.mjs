/** The figures of mounts as tables in Markdown. A ratio is a system's time divided by that of Spinney's kernel driver. */
import { median } from '../../lib/report.mjs';
import { ratioText, table, timeText } from '../../lib/table.mjs';
import { BASE, SYSTEMS } from '../systems.mjs';
import { FIGURES, titleOf } from './figures.mjs';
import { targetsTable } from './targets.mjs';

const ONCE = '*';

/** All tables that the samples give, each under a heading. `quick`: whether it was a short try. */
export function mountTables(samples, { sizes, quick }) {
  const figures = samples.figures();
  const small = (clients) =>
    figures.filter((each) => FIGURES[each.figure].unit === 'us' && each.clients === clients);
  const whole = figures.filter(({ figure }) => FIGURES[figure].unit === 'ms');
  const measured = figures.filter(({ figure, clients }) => clients === 1 && figure !== 'idle');
  const section = sectionOf(sizes);
  const sections = [
    ...section('### One client', 'Microseconds per operation.', small(1), timeCell(samples)),
    ...section(
      '### Four clients',
      'Microseconds per operation: the time of all, divided by the number of their operations.',
      small(4),
      timeCell(samples),
    ),
    ...section('### Whole directories and files', 'Milliseconds.', whole, timeCell(samples)),
    ...section(
      '### CPU time of the serving process',
      'Microseconds per file, entry or MiB, one client.',
      measured,
      cpuCell(samples),
    ),
    ...targetsTable(samples, { quick }),
  ];
  return sections.length === 0 ? '' : sections.join('\n\n').concat('\n');
}

function sectionOf(sizes) {
  return (heading, text, figures, cell) => {
    const cells = figures.map((each) => SYSTEMS.map(({ name }) => cell(each, name)));
    const used = [...SYSTEMS.keys()].filter((column) => cells.some((row) => row[column] !== ''));
    if (used.length === 0) return [];
    const rows = figures.map(({ figure }, i) => [
      titleOf(figure, sizes),
      ...used.map((column) => cells[i][column]),
    ]);
    const some = cells.flat().some((cell) => cell.endsWith(ONCE));
    return [
      heading,
      some ? `${text} A star: so slow that it was done only once.` : text,
      table(['', ...used.map((column) => SYSTEMS[column].title)], rows),
    ];
  };
}

function timeCell(samples) {
  return ({ figure, clients }, system) => {
    const those = samples.of(figure, clients, system);
    if (those.length === 0) return '';
    const ratio = samples.ratio(figure, clients, system, BASE);
    const time = timeText(median(those.map(({ time }) => time)));
    const mark = samples.isOnce(figure, clients, system) ? ONCE : '';
    return ratio === undefined || system === BASE ? `${time}${mark}` : `${time} (${ratioText(ratio)})${mark}`;
  };
}

function cpuCell(samples) {
  return ({ figure, clients }, system) => {
    const times = samples.of(figure, clients, system).map(({ cpuUs }) => cpuUs);
    return times.length === 0 || times.includes(undefined) ? '' : timeText(median(times));
  };
}
