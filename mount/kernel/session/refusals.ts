/** What is refused of a store whose remote says so: all of one that another machine has by now, and what adds to one that is too far behind. */
import { constants } from 'node:os';
import { LOST } from '../../../engine/shipped-contents.js';
import { Opcode } from '../protocol/protocol.js';
import type { Operation } from './operations/table.js';

const { EIO, ENOSPC } = constants.errno;

/** They end something, or begin the session. */
const NEVER: ReadonlySet<number> = new Set([Opcode.INIT, Opcode.DESTROY, Opcode.RELEASE, Opcode.RELEASEDIR]);
/** They add nothing, or are how it gets there. */
const WHEN_FULL: ReadonlySet<number> = new Set([
  ...NEVER,
  Opcode.UNLINK,
  Opcode.RMDIR,
  Opcode.FSYNC,
  Opcode.FSYNCDIR,
]);

/** The negative errno with which the request is refused; 0: it is not. `refusal`: as the board of whoever ships tells it, not WELCOME. */
export function refuse(refusal: number, opcode: number, { changes, replies }: Operation): number {
  if (!replies) return 0;
  if (refusal === LOST) return NEVER.has(opcode) ? 0 : -EIO;
  return changes && !WHEN_FULL.has(opcode) ? -ENOSPC : 0;
}
