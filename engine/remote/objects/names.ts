/**
 * Names of objects in a remote. All but HEAD and pins tell the epoch of the writer that made them, and a number of its own, so that no
 * two writers ever make the same name, and no name is ever made again: what nothing needs any more, nothing will need.
 */

export const HEAD = 'HEAD';
export const JOURNAL = 'journal/';
export const PINS = 'pins/';

/** What a manifest may refer to, and manifests themselves. */
export const KINDS = ['manifest', 'blobs', 'content'] as const;
export type Kind = (typeof KINDS)[number];

/** A place in the journal: objects of an epoch are numbered from 1, and the next epoch's follow its fence. */
export interface Position {
  epoch: number;
  sequence: number;
}

const EPOCH_DIGITS = 10;
const NUMBER_DIGITS = 16;

export function journalName({ epoch, sequence }: Position): string {
  return `${JOURNAL}${padded(epoch, EPOCH_DIGITS)}/${padded(sequence, NUMBER_DIGITS)}`;
}

export function objectName(kind: Kind, epoch: number, number: number): string {
  return `${kind}/${padded(epoch, EPOCH_DIGITS)}/${padded(number, NUMBER_DIGITS)}`;
}

/** All that a pin says; the object is empty. */
export interface Pin {
  /** 32 hex digits, another one each time that a follower adopts a manifest. */
  adoption: string;
  /** From 1, ascending with each renewal. */
  number: number;
  manifest: string;
  leaseMs: number;
}

export function pinName({ adoption, number, manifest, leaseMs }: Pin): string {
  return `${PINS}${adoption}/${padded(number, EPOCH_DIGITS)}/${manifest}/${leaseMs}`;
}

/** Undefined where the name is no such. */
export function parsePinName(name: string): Pin | undefined {
  const parts = /^pins\/([0-9a-f]{32})\/(\d{10})\/(manifest\/\d{10}\/\d{16})\/(\d{1,9})$/.exec(name);
  if (parts === null) return undefined;
  const [, adoption, number, manifest, leaseMs] = parts as unknown as [
    string,
    string,
    string,
    string,
    string,
  ];
  return { adoption, number: Number(number), manifest, leaseMs: Number(leaseMs) };
}

/** Undefined where the name is no such. */
export function parseJournalName(name: string): Position | undefined {
  const numbers = /^journal\/(\d{10})\/(\d{16})$/.exec(name);
  return numbers === null ? undefined : { epoch: Number(numbers[1]), sequence: Number(numbers[2]) };
}

/** Undefined where the name is none of `objectName`'s. */
export function parseObjectName(name: string): { kind: Kind; epoch: number; number: number } | undefined {
  const parts = /^(manifest|blobs|content)\/(\d{10})\/(\d{16})$/.exec(name);
  if (parts === null) return undefined;
  return { kind: parts[1] as Kind, epoch: Number(parts[2]), number: Number(parts[3]) };
}

/** Below 0: `a` comes before `b`. */
export function comparePositions(a: Position, b: Position): number {
  return a.epoch - b.epoch || a.sequence - b.sequence;
}

function padded(number: number, digits: number): string {
  return String(number).padStart(digits, '0');
}
