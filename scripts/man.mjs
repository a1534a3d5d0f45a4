/** Writes the manual pages into dist/man, or the directory that is given; from what is built, so build first. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pages } from './man/pages.mjs';

const directory = process.argv[2] ?? join(import.meta.dirname, '../dist/man');
mkdirSync(directory, { recursive: true });
for (const [name, text] of Object.entries(pages())) writeFileSync(join(directory, name), text);
