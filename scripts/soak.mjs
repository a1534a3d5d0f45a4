/** Runs the soaks one after another, each for its share of the time, and prints their figures as a table. See scripts/soak. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [minutes, only, seed] = process.argv.slice(2);
const folder = 'test/soak';
const report = join(mkdtempSync(join(tmpdir(), 'spinney-soak-')), 'report.jsonl');

/** What needs an S3 server has this end, and vitest a configuration of its own. */
const REMOTE = '.remote.ts';

/** One soak for each `soak({ line: N, ...`. */
const soaks = readdirSync(folder, { recursive: true })
  .filter((name) => name.endsWith('.test.ts') || name.endsWith(REMOTE))
  .flatMap((name) =>
    Array.from(readFileSync(join(folder, name), 'utf8').matchAll(/\bline: (\d+)/g), ([, line]) => ({
      file: join(folder, name),
      line: Number(line),
    })),
  )
  .filter(({ line }) => only === '' || line === Number(only))
  .sort((a, b) => a.line - b.line);
if (soaks.length === 0) {
  console.error(`soak: nothing searches for line ${only}`);
  process.exit(2);
}

const lines = [...new Map(soaks.map((soak) => [`${soak.file} ${soak.line}`, soak])).values()];
const seconds = Math.max(1, Math.floor((Number(minutes) * 60) / soaks.length));
const server = lines.some(({ file }) => file.endsWith(REMOTE)) ? startServer() : undefined;
let failed = 0;
for (const [index, { file, line }] of lines.entries()) {
  console.log(`soak: line ${line}, ${index + 1} of ${lines.length}: ${file}, ${seconds} s`);
  const environment = { ...process.env, SPINNEY_SOAK_SECONDS: String(seconds), SPINNEY_SOAK_REPORT: report };
  // Trees are opened by the thousand: their large, mostly untouched memory must come from the system, which need not clear it.
  environment.MALLOC_MMAP_THRESHOLD_ = '262144';
  if (seed !== '') environment.SPINNEY_SOAK_SEED = seed;
  const isRemote = file.endsWith(REMOTE);
  if (isRemote) Object.assign(environment, server);
  const configuration = isRemote ? ['--config', 'vitest.remote.config.ts'] : [];
  const child = spawn(
    'npx',
    ['--no-install', 'vitest', 'run', ...configuration, file, '-t', `line ${line}:`],
    {
      env: environment,
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  failed += (await new Promise((resolve) => child.once('exit', resolve))) === 0 ? 0 : 1;
}

if (server !== undefined) execFileSync('scripts/radosgw', ['stop', server.SPINNEY_RADOSGW]);

const rows = readFileSync(report, 'utf8')
  .trim()
  .split('\n')
  .map((row) => JSON.parse(row));
console.log('\n| line | what | seconds | figures | violations |\n| --- | --- | --- | --- | --- |');
for (const { line, title, seconds: took, figures, failure } of rows) {
  const text = Object.entries(figures)
    .map(([name, value]) => `${value.toLocaleString('en')} ${name}`)
    .join(', ');
  console.log(`| ${line} | ${title} | ${took} | ${text} | ${failure ?? 0} |`);
}
rmSync(join(report, '..'), { recursive: true });
process.exitCode = failed === 0 ? 0 : 1;

/** The variables that tell how to reach it. */
function startServer() {
  const text = execFileSync('scripts/radosgw', ['start'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return Object.fromEntries(
    Array.from(text.matchAll(/^export (\w+)='(.*)'$/gm), ([, name, value]) => [name, value]),
  );
}
