/**
 * The order of the test files: those that take long come first, so that in the end no long one is left to run alone. A file's length tells how long
 * it takes only among its like; tests of whole daemons and searches by seeds take much longer than their lines.
 */
import { statSync } from 'node:fs';
import { relative } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Folders by how long a line of their tests takes, and by how much longer than others'. */
const WEIGHTS: readonly (readonly [folder: string, times: number])[] = [
  ['test/e2e', 20],
  ['test/soak', 20],
  ['test/docs', 10],
  ['test/package', 10],
  ['test/engine/tree', 4],
  ['test/engine/store', 4],
];
/** Files of few lines: what they do is in others, which they share. */
const SHORT_BUT_LONG = /^test\/e2e\/posix.*\.test\.ts$|^test\/soak\//;
const AT_LEAST_BYTES = 10_000;

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const weights = new Map(files.map((file) => [file, this.#weight(file.moduleId)]));
    return [...files].sort((a, b) => weights.get(b)! - weights.get(a)!);
  }

  #weight(file: string): number {
    const path = relative(this.ctx.config.root, file);
    const bytes = statSync(file).size;
    const [, times] = WEIGHTS.find(([folder]) => path.startsWith(`${folder}/`)) ?? ['', 1];
    return times * (SHORT_BUT_LONG.test(path) ? Math.max(bytes, AT_LEAST_BYTES) : bytes);
  }
}
