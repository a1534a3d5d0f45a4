/**
 * A terminal's screen as a picture: `tmux capture-pane -peN | node scripts/pictures/svg.mjs TITLE > picture.svg`. Text stays text; spans
 * with a colour of their own are placed by the column that they begin in, so that no font can shift them.
 */
import { readFileSync } from 'node:fs';
import { columnsOf } from '../../dist/daemon/commands/inspecting/top/screen/text.js';

const COLUMN = 8.4;
const LINE = 18;
const MARGIN = 12;
const FONT_SIZE = 14;
const BACKGROUND = '#14181d';
const FOREGROUND = '#d7dce2';
/** Of the eight colours that every terminal has. */
const COLOURS = ['#14181d', '#f06a6a', '#7fc97a', '#e5c05c', '#6fa8e8', '#c48ce0', '#5cc4c9', '#ffffff'];
const PLAIN = { isBold: false, isDim: false, isReverse: false, colour: undefined, behind: undefined };

const title = process.argv[2] ?? 'A terminal';
/** How the next text looks: what was said last holds on, over the ends of lines too. */
let look = PLAIN;
const lines = readFileSync(0, 'utf8').replace(/\n+$/, '').split('\n').map(spansOf);
const columns = Math.max(...lines.map((spans) => spans.reduce((sum, { text }) => sum + columnsOf(text), 0)));
process.stdout.write(picture());

/** Runs of text with one look each. */
function spansOf(line) {
  const spans = [];
  for (const [, codes, text] of `\x1b[m${line}`.matchAll(/\x1b\[([0-9;]*)m([^\x1b]*)/g)) {
    if (codes !== '') for (const code of codes.split(';').map(Number)) look = after(look, code);
    if (text !== '') spans.push({ text, ...look });
  }
  return spans;
}

function after(look, code) {
  if (code === 0) return PLAIN;
  if (code === 1) return { ...look, isBold: true };
  if (code === 2) return { ...look, isDim: true };
  if (code === 7) return { ...look, isReverse: true };
  if (code === 22) return { ...look, isBold: false, isDim: false };
  if (code === 27) return { ...look, isReverse: false };
  if (code === 39) return { ...look, colour: undefined };
  if (code === 49) return { ...look, behind: undefined };
  if (code >= 30 && code <= 37) return { ...look, colour: COLOURS[code - 30] };
  if (code >= 40 && code <= 47) return { ...look, behind: COLOURS[code - 40] };
  throw new Error(`Cannot draw the screen: it has the attribute ${code}`);
}

function picture() {
  const width = Math.ceil(columns * COLUMN + 2 * MARGIN);
  const height = Math.ceil(lines.length * LINE + 2 * MARGIN);
  const rows = lines.flatMap((spans, row) => drawn(spans, MARGIN + row * LINE));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="100%" height="100%" rx="8" fill="${BACKGROUND}"/>`,
    `<g font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="${FONT_SIZE}" fill="${FOREGROUND}" xml:space="preserve">`,
    ...rows,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

function drawn(spans, top) {
  const made = [];
  let column = 0;
  for (const { text, isBold, isDim, isReverse, ...colours } of spans) {
    const taken = columnsOf(text);
    const x = round(MARGIN + column * COLUMN);
    const length = round(taken * COLUMN);
    const behind = isReverse ? (colours.colour ?? FOREGROUND) : colours.behind;
    const colour = isReverse ? (colours.behind ?? BACKGROUND) : colours.colour;
    if (behind !== undefined)
      made.push(`<rect x="${x}" y="${top}" width="${length}" height="${LINE}" fill="${behind}"/>`);
    if (text.trim() !== '') {
      const attributes = [
        `x="${x}" y="${top + LINE - 5}" textLength="${length}"`,
        colour === undefined ? '' : ` fill="${colour}"`,
        isBold ? ' font-weight="bold"' : '',
        isDim ? ' opacity="0.6"' : '',
      ].join('');
      made.push(`<text ${attributes}>${escaped(text)}</text>`);
    }
    column += taken;
  }
  return made;
}

function round(number) {
  return Math.round(number * 10) / 10;
}

function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
