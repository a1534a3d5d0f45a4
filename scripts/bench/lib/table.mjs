/** Tables in Markdown, and how numbers are written in them. */

export function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

export function ratioText(ratio) {
  return `${ratio >= 100 ? Math.round(ratio).toLocaleString('en') : ratio.toFixed(ratio < 0.95 ? 2 : 1)}x`;
}

/** Three digits or so of a time. */
export function timeText(value) {
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
}
