/**
 * Serves one request at a time from a session's request buffer into its reply buffer; what reads and writes the descriptor
 * is in device/connection.ts. Operations are a table; the default (ENOSYS), malformed requests (EINVAL) and exceptions
 * (EIO) are handled here, in one place each.
 */
import { constants } from 'node:os';
import { ContentAwaited } from '../../filesystem/errno.js';
import { NO_REPLY } from '../protocol/reply.js';
import { SNAPSHOT_OPERATIONS } from './operations/snapshots.js';
import { OPERATIONS } from './operations/table.js';
import type { Session } from './session.js';
import { isSnapshotNode } from './snapshot-nodes.js';

const { EINVAL, EIO, ENFILE, ENOSPC, ENOSYS } = constants.errno;

/**
 * Serves the request of `length` bytes in `session.request`. Returns the length of the reply in `session.reply`, 0 for none: of
 * one that must wait for a content it is put aside, and served from its beginning later.
 */
export function handle(session: Session, length: number): number {
  if (!session.begin(length)) return 0;
  const { request, reply } = session;
  const operations = isSnapshotNode(request.node) ? SNAPSHOT_OPERATIONS : OPERATIONS;
  const operation = operations[request.opcode];
  let result: number;
  if (operation === undefined) result = -ENOSYS;
  else if (!request.holds(operation.minimum)) result = operation.replies ? -EINVAL : NO_REPLY;
  else {
    try {
      result = operation.run(session);
      // What failed so has changed nothing.
      if (result === -ENOSPC && session.services.makeRoom()) result = operation.run(session);
    } catch (error) {
      if (error instanceof ContentAwaited) {
        session.park(length);
        return 0;
      }
      session.failures.tell(operation.name, error, {
        opcode: request.opcode,
        node: request.node,
        unique: request.uniqueHigh * 0x1_0000_0000 + request.uniqueLow,
      });
      result = operation.replies ? -EIO : NO_REPLY;
    }
  }
  // Before the reply: who has it and asks for figures finds in them what it did.
  session.publishNodes();
  if (result === NO_REPLY) return 0;
  const { failures } = session.state;
  if (result < 0) failures.failed(request.opcode, -result, operation?.changes === true);
  else if (failures.areAny) failures.succeeded(request.opcode);
  if (result === -ENFILE) session.state.setOpeningFails(true);
  return result < 0
    ? reply.finish(request.uniqueLow, request.uniqueHigh, result, 0)
    : reply.finish(request.uniqueLow, request.uniqueHigh, 0, result);
}
