/** Turns the Markdown of our documents into man(7): paragraphs, lists, code, tables and headings, and links to their words. */

const FONT = { code: ['\\fB', '\\fR'], strong: ['\\fB', '\\fR'], emphasis: ['\\fI', '\\fR'] };

/** Text as roff has it: nothing in it is taken for a request or an escape. */
export function plain(text) {
  return text
    .replace(/\\/g, '\\e')
    .replace(/-/g, '\\-')
    .replace(/'/g, '\\(aq')
    .replace(/`/g, '\\(ga')
    .replace(/\^/g, '\\(ha')
    .replace(/~/g, '\\(ti')
    .replace(/^\./gm, '\\&.');
}

/** The marks within a line. */
export function inline(text) {
  const marks = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*|\[([^\]]+)\]\([^)]*\)/g;
  let made = '';
  let at = 0;
  for (const found of text.matchAll(marks)) {
    const [whole, code, strong, emphasis, link] = found;
    made += plain(text.slice(at, found.index));
    if (code !== undefined) made += within(FONT.code, plain(code));
    else if (strong !== undefined) made += within(FONT.strong, inline(strong));
    else if (emphasis !== undefined) made += within(FONT.emphasis, inline(emphasis));
    else made += inline(link);
    at = found.index + whole.length;
  }
  return made + plain(text.slice(at));
}

function within([begin, end], text) {
  return `${begin}${text}${end}`;
}

/** The text below a heading, up to the next one of its level or a higher. Throws where there is none. */
export function section(document, heading) {
  const lines = document.split('\n');
  const levels = levelsOf(lines);
  const start = lines.findIndex((line, at) => levels[at] > 0 && line.slice(levels[at] + 1) === heading);
  if (start < 0) throw new Error(`Cannot make the manual pages: no document has the heading "${heading}"`);
  const end = levels.findIndex((level, at) => at > start && level > 0 && level <= levels[start]);
  return lines.slice(start + 1, end < 0 ? undefined : end).join('\n');
}

/** Of each line the level of the heading that it is; 0: none. In code a line may look like one. */
function levelsOf(lines) {
  let isCode = false;
  return lines.map((line) => {
    if (line.startsWith('```')) isCode = !isCode;
    return isCode ? 0 : (/^(#+) /.exec(line)?.[1].length ?? 0);
  });
}

/** A document's text before its second heading. */
export function opening(document) {
  const [, text] = document.split(/^#+ .*$/m);
  return text;
}

/** Blocks of Markdown as lines of man(7). */
export function toMan(text) {
  const made = [];
  for (const block of blocksOf(text)) made.push(...lines(block));
  return made.join('\n');
}

/** Blocks are separated by empty lines; code has its own marks around it. */
function blocksOf(text) {
  const parts = text.split(/^(```[^\n]*\n[\s\S]*?^```)$/m);
  return parts.flatMap((part) => (part.startsWith('```') ? [part] : part.split(/\n\s*\n/))).filter(isText);
}

function isText(block) {
  return block.trim() !== '' && !block.trim().startsWith('<!--');
}

function lines(block) {
  const text = block.trim();
  if (text.startsWith('```')) return code(text.split('\n').slice(1, -1));
  if (text.startsWith('#')) return [`.SS ${inline(text.replace(/^#+ /, ''))}`];
  if (text.startsWith('|')) return table(text.split('\n'));
  if (/^[-*] /.test(text))
    return text.split(/\n(?=[-*] )/).flatMap((item) => ['.IP \\(bu 2', joined(item.slice(2))]);
  return ['.PP', joined(text)];
}

function code(text) {
  return ['.PP', '.RS 2', '.nf', ...text.map((line) => plain(line) || '\\&'), '.fi', '.RE'];
}

function joined(text) {
  return inline(
    text
      .split('\n')
      .map((line) => line.trim())
      .join(' '),
  );
}

/** Each row is a term, in the first column, and what the others say of it. */
function table(rows) {
  const [, , ...body] = rows.map((row) =>
    row
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.replace(/\\\|/g, '|').trim()),
  );
  return body.flatMap(([term, ...rest]) => [
    '.TP',
    inline(term) || '\\&',
    inline(rest.filter(Boolean).join('; ')) || '\\&',
  ]);
}
