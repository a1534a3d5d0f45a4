/** HEAD: the one object that is replaced. Who holds it, and all that the remote's state begins with. Its bytes are told in FORMAT.md. */
import { SpinneyError } from '../../errors.js';
import { type Position, parseObjectName } from './names.js';

const FORMAT = 'spinney-head';
const VERSION = 1;

export interface Head {
  /** One more with each writer that takes over. */
  epoch: number;
  /** Another one in each HEAD that is written, so no two are the same bytes: 32 hex digits. */
  nonce: string;
  /** The store of the writer that has it, 32 hex digits. */
  holder: string;
  /** How long it is the holder's from when it was sent, in milliseconds; 0: given up. */
  leaseMs: number;
  /** Name of the manifest; undefined before the first checkpoint. */
  manifest: string | undefined;
  /** The first of the journal's objects that the manifest does not have. They go on to the end of HEAD's epoch. */
  journal: Position;
}

export function encodeHead(head: Head): Uint8Array {
  const { epoch, nonce, holder, leaseMs, manifest = null, journal } = head;
  const { epoch: from, sequence } = journal;
  const fields = { epoch, nonce, holder, leaseMs, manifest, journal: { epoch: from, sequence } };
  return Buffer.from(`${JSON.stringify({ format: FORMAT, version: VERSION, ...fields })}\n`);
}

/** @throws ERR_REMOTE_CORRUPT, ERR_FORMAT_VERSION */
export function decodeHead(bytes: Uint8Array): Head {
  const damaged = () =>
    new SpinneyError('ERR_REMOTE_CORRUPT', 'Cannot read HEAD: it is not a HEAD of Spinney');
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    throw damaged();
  }
  if (typeof fields !== 'object' || fields === null || fields.format !== FORMAT) throw damaged();
  if (fields.version !== VERSION) {
    throw new SpinneyError(
      'ERR_FORMAT_VERSION',
      `Cannot read HEAD: it is of version ${fields.version}, this release knows ${VERSION}`,
    );
  }
  const { epoch, nonce, holder, leaseMs, manifest } = fields;
  const { epoch: from, sequence } = (fields.journal ?? {}) as Record<string, unknown>;
  const isRight =
    isNumber(epoch, 1) &&
    isId(nonce) &&
    isId(holder) &&
    isNumber(leaseMs, 0) &&
    (manifest === null || (typeof manifest === 'string' && parseObjectName(manifest)?.kind === 'manifest')) &&
    isNumber(from, 1) &&
    isNumber(sequence, 1) &&
    from <= epoch;
  if (!isRight) throw damaged();
  return {
    epoch,
    nonce,
    holder,
    leaseMs,
    manifest: manifest ?? undefined,
    journal: { epoch: from, sequence },
  };
}

function isNumber(value: unknown, least: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least;
}

export function isId(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{32}$/.test(value);
}
