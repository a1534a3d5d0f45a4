/**
 * The frame of soaks: what must be survived (docs/RELIABILITY.md), searched for by seeds. A soak is a test that does the same
 * thing over and over, each time from another seed, and counts. `scripts/test` runs each a fixed, small number of times from
 * fixed seeds; `scripts/soak` runs it for as long as it is told, from seeds that were never tried, and prints a table.
 *
 * A failure names its seed; `scripts/soak --only LINE --seed SEED` does that one again.
 */
import { appendFileSync } from 'node:fs';
import { it } from 'vitest';

/** Set by scripts/soak: seconds for each soak; the seed to begin with, or the only one; where the figures go. */
const SECONDS = numberOf('SPINNEY_SOAK_SECONDS');
const ONLY_SEED = numberOf('SPINNEY_SOAK_SEED');
const REPORT = process.env.SPINNEY_SOAK_REPORT;

/** Whether a seed may do all of what its line says, for which `scripts/test` has no time. */
export const isLong = SECONDS !== undefined;

/** Beyond the time that is given, for the last seed to come to its end: a long one takes a quarter of an hour on a busy machine. */
const GRACE_MS = isLong ? 1_800_000 : 240_000;

export interface SoakOptions {
  /** The line of docs/RELIABILITY.md that it is for. */
  line: number;
  title: string;
  /** Seeds that `scripts/test` tries; all of them together within a few seconds. */
  seeds: number;
}

/** What one seed did, by name: states, operations, kills, ... The sums are the soak's figures; of names with `longest` the largest. */
export type Figures = Readonly<Record<string, number>>;

/** Defines a soak. `body` does one seed's work, throws at a violation, and returns what it did. */
export function soak(options: SoakOptions, body: (seed: number) => Figures | Promise<Figures>): void {
  const { line, title, seeds } = options;
  const timeout = GRACE_MS + (SECONDS ?? 0) * 1000;
  it(`line ${line}: ${title}`, { timeout }, async () => {
    const sums: Record<string, number> = { seeds: 0 };
    const began = process.hrtime.bigint();
    const elapsed = () => Number(process.hrtime.bigint() - began) / 1e9;
    const first = ONLY_SEED ?? (SECONDS === undefined ? 1 : Date.now() % 2 ** 31);
    const more = (tried: number): boolean => {
      if (tried === 0) return true;
      if (ONLY_SEED !== undefined) return false;
      return SECONDS === undefined ? tried < seeds : elapsed() < SECONDS;
    };
    let failure: unknown;
    for (let tried = 0; more(tried); tried++) {
      const seed = (first + tried) % 2 ** 31;
      try {
        const figures = await body(seed);
        for (const [name, value] of Object.entries(figures)) {
          const sum = sums[name] ?? 0;
          sums[name] = name.startsWith('longest') ? Math.max(sum, value) : sum + value;
        }
        sums.seeds = tried + 1;
      } catch (error) {
        failure = new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, {
          cause: error,
        });
        break;
      }
    }
    if (REPORT !== undefined) {
      const row = { line, title, seconds: Math.round(elapsed()), figures: sums, failure: messageOf(failure) };
      appendFileSync(REPORT, `${JSON.stringify(row)}\n`);
    }
    if (failure !== undefined) throw failure;
  });
}

function messageOf(failure: unknown): string | undefined {
  return failure instanceof Error ? failure.message : undefined;
}

function numberOf(name: string): number | undefined {
  const text = process.env[name];
  return text === undefined || text === '' ? undefined : Number(text);
}
