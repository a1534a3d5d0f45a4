/** How commands tell what they find in a store: line by line as it comes, or all of it in one JSON report. */
import { failureOf } from '../../process/failure.js';
import type { Output } from './output.js';
import { formatTable } from './output.js';
import { Progress } from './progress.js';

/** Exit code where the store cannot be opened. */
export const CANNOT_OPEN = 2;
/** A wrecked store may give a finding for each of its files; nobody reads more than this. */
const MOST_FINDINGS = 10_000;

export class Findings<Finding extends { kind: string; message: string }> {
  readonly progress: Progress;
  readonly #output: Output;
  readonly #isJson: boolean;
  readonly #counts = new Map<string, number>();
  readonly #kept: Finding[] = [];
  #told = 0;

  constructor(output: Output, isJson: boolean) {
    this.#output = output;
    this.#isJson = isJson;
    this.progress = new Progress(output);
  }

  readonly report = (finding: Finding): void => {
    this.#counts.set(finding.kind, this.count(finding.kind) + 1);
    if (++this.#told > MOST_FINDINGS) return;
    if (this.#isJson) {
      this.#kept.push(finding);
      return;
    }
    this.progress.clear();
    this.#output.out(`${finding.kind}: ${finding.message}\n`);
  };

  count(kind: Finding['kind']): number {
    return this.#counts.get(kind) ?? 0;
  }

  /** The work came to no end. Returns the exit code. */
  fail(error: unknown): number {
    const { code, message } = failureOf(error);
    this.progress.clear();
    this.#output.err(`spinney: ${message}\n`);
    if (this.#isJson)
      this.#output.out(`${JSON.stringify({ status: 'unknown', error: { code, message } })}\n`);
    return CANNOT_OPEN;
  }

  /** Tells the result, with the findings where they were not told before. */
  end(result: Readonly<Record<string, unknown>>): void {
    this.progress.clear();
    const told = this.#isJson
      ? JSON.stringify({ ...result, findings: this.#kept }, null, 2)
      : formatTable(result);
    this.#output.out(`${told}\n`);
  }
}
