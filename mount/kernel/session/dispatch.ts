/**
 * Serves one request at a time from a session's request buffer into its reply buffer; what reads and writes the descriptor
 * is in device/connection.ts. Operations are a table; the default (ENOSYS), malformed requests (EINVAL) and exceptions
 * (EIO) are handled here, in one place each.
 */
import { constants } from 'node:os';
import { stopwatch } from '../../../engine/stopwatch.js';
import { ContentAwaited } from '../../filesystem/errno.js';
import { NO_REPLY } from '../protocol/reply.js';
import { SNAPSHOT_OPERATIONS } from './operations/snapshots.js';
import { OPERATIONS } from './operations/table.js';
import { refuse } from './refusals.js';
import type { Session } from './session.js';
import { isSnapshotNode } from './snapshot-nodes.js';

const { EINVAL, EIO, ENFILE, ENOSPC, ENOSYS } = constants.errno;

/**
 * Serves the request of `length` bytes in `session.request`. Returns the length of the reply in `session.reply`, 0 for none: of
 * one that must wait for a content it is put aside, and served from its beginning later. `arrived`: it was put aside, and
 * came at that time, as the stopwatch tells it.
 */
export function handle(session: Session, length: number, arrived?: number): number {
  if (session.state.isTiming) stopwatch.start(arrived);
  if (!session.begin(length, arrived !== undefined)) return 0;
  const { request, reply, state } = session;
  const note = session.tables.request;
  if (request.isResent) {
    const answered = note.replyAgain(request, reply);
    if (answered > 0) {
      state.served(request.opcode, 0, false);
      session.requestLog.answered(0);
      return answered;
    }
  } else if (session.isResending && operationReplies(request.opcode)) {
    // What it sends again comes before all else.
    session.resent();
  }
  const operations = isSnapshotNode(request.node) ? SNAPSHOT_OPERATIONS : OPERATIONS;
  const operation = operations[request.opcode];
  const refusal = session.services.remote?.refusal ?? 0;
  let result = refusal !== 0 && operation !== undefined ? refuse(refusal, request.opcode, operation) : 0;
  if (operation === undefined) result = -ENOSYS;
  else if (result < 0) note.clear();
  else if (!request.holds(operation.minimum)) result = operation.replies ? -EINVAL : NO_REPLY;
  else {
    try {
      if (operation.noted === 'all') {
        note.begin(request, length, session.fileSystem.facts.lastLsn(), operation.before?.(session) ?? 0);
      }
      result = operation.run(session);
      // What failed so has changed nothing.
      if (result === -ENOSPC && session.services.makeRoom()) result = operation.run(session);
    } catch (error) {
      if (error instanceof ContentAwaited) {
        note.clear();
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
  if (result === NO_REPLY) {
    // Of what another thread will reply to that thread tells.
    if (operation?.replies !== false) return 0;
    state.served(request.opcode, 0, false);
    session.requestLog.answered(0);
    return 0;
  }
  state.served(request.opcode, result, operation?.changes === true);
  session.requestLog.answered(result);
  if (result === -ENFILE) state.setOpeningFails(true);
  const replied =
    result < 0
      ? reply.finish(request.uniqueLow, request.uniqueHigh, result, 0)
      : reply.finish(request.uniqueLow, request.uniqueHigh, 0, result);
  if (operation !== undefined && operation.noted !== 'nothing') note.done(request, reply, replied);
  return replied;
}

/** FORGETs and INTERRUPTs are sent in between. */
function operationReplies(opcode: number): boolean {
  return OPERATIONS[opcode]?.replies !== false;
}
