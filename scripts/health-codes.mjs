/**
 * Writes the codes of health (daemon/health/codes.ts) into docs/RUNNING.md and packaging/alerts.yml, between their markers; from the
 * built table, so build first. With --check it writes nothing, and fails where one of them is stale.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HEALTH_CODES } from '../dist/daemon/health/codes.js';

const ROOT = join(import.meta.dirname, '..');
const MADE = 'made by scripts/health-codes.mjs from daemon/health/codes.ts';
const CODES = Object.entries(HEALTH_CODES);
/** How long it must be so until somebody is told, and how urgent it is. */
const URGENCY = { failing: ['1m', 'critical'], degraded: ['5m', 'warning'] };

/** A paragraph each. */
function document() {
  const sections = CODES.map(
    ([code, { severity, meaning, remedy }]) => `**\`${code}\`** (${severity}): ${meaning}\n${remedy}`,
  );
  return `\n${sections.join('\n\n')}\n\n`;
}

function rules() {
  return CODES.map(([code, { severity, meaning, remedy }]) => {
    const [patience, urgency] = URGENCY[severity];
    const name = code.toLowerCase().replaceAll(/(?:^|_)(\w)/g, (_, letter) => letter.toUpperCase());
    return `      - alert: Spinney${name}
        expr: spinney_health{code="${code}"} == 1
        for: ${patience}
        labels:
          severity: ${urgency}
        annotations:
          summary: ${JSON.stringify(`Spinney at {{ $labels.instance }}: ${meaning}`)}
          description: ${JSON.stringify(remedy)}
`;
  }).join('');
}

function between(text, begin, end, made, name) {
  const from = text.indexOf(`${begin}\n`);
  const to = text.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`${name} lacks the lines "${begin}" and "${end}"`);
  return `${text.slice(0, from)}${begin}\n${made}${text.slice(to)}`;
}

for (const [name, begin, end, make] of [
  ['docs/RUNNING.md', `<!-- ${MADE} -->`, '<!-- end -->', document],
  ['packaging/alerts.yml', `      # ${MADE}`, '      # end', rules],
]) {
  const path = join(ROOT, name);
  const old = readFileSync(path, 'utf8');
  const text = between(old, begin, end, make(), name);
  if (text === old) continue;
  if (process.argv.includes('--check')) {
    console.error(`${name} is stale: run node scripts/health-codes.mjs`);
    process.exitCode = 1;
  } else {
    writeFileSync(path, text);
  }
}
