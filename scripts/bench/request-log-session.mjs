/**
 * What the log of requests costs a session, without a kernel: looks at names and attributes, and files that are made, served from memory
 * one after another in this process. Processor time, which other programs on the machine change little.
 */
import { constants } from 'node:fs';
import { Tree } from '../../dist/engine/index.js';
import { FileSystem } from '../../dist/mount/filesystem/file-system.js';
import { MountState } from '../../dist/mount/kernel/device/mount-state.js';
import { Opcode } from '../../dist/mount/kernel/protocol/protocol.js';
import { handle } from '../../dist/mount/kernel/session/dispatch.js';
import { Session } from '../../dist/mount/kernel/session/session.js';
import { RequestLogMemory } from '../../dist/mount/request-log/memory.js';
import { FILESYSTEM_MEASURE } from '../../dist/mount/sums/filesystem-measure.js';

const NAMES = 1000;
const PASSES = 20;
const WARM_UP_TURNS = 20;
const TIMEOUT = 86_400;
const SIDES = ['without', 'idle', 'followed'];

/** Of `turns` turns: microseconds of a look (two requests) and of a file that is made (three), by sides. */
export function measureSession(turns) {
  const sides = SIDES.map((name) => ({ name, session: makeSession(name) }));
  const taken = { look: [], make: [] };
  for (const { session } of sides) for (let i = 0; i < NAMES; i++) create(session, `file-${i}`);
  for (let turn = -WARM_UP_TURNS; turn < turns; turn++) {
    const first = (turn + WARM_UP_TURNS) % sides.length;
    const order = [...sides.slice(first), ...sides.slice(0, first)];
    const looks = {};
    const makes = {};
    for (const { name, session } of order) looks[name] = cpuMicros(() => look(session)) / NAMES / PASSES;
    for (const { name, session } of order) makes[name] = cpuMicros(() => make(session)) / NAMES;
    if (turn < 0) continue;
    taken.look.push(looks);
    taken.make.push(makes);
  }
  return taken;
}

function makeSession(name) {
  const tree = Tree.open({
    memory: true,
    flushOnWrite: false,
    cacheBytes: 64 << 20,
    measure: FILESYSTEM_MEASURE,
  });
  const fileSystem = new FileSystem(tree, {
    contentDirectory: '/dev/null/contents',
    readOnly: false,
    keepsNodes: true,
    rests: false,
    reclaimer: { schedule: () => {} },
  });
  fileSystem.makeRoot();
  const log = new RequestLogMemory();
  if (name === 'followed') log.setListened(0);
  const state = new MountState({
    ...MountState.forNobody().memory,
    requestLog: name === 'without' ? undefined : log.shared,
  });
  const services = {
    log: () => {},
    ready: () => {},
    sync: () => false,
    makeRoom: () => false,
    interrupted: () => {},
    backingFiles: undefined,
    invalidateAttributes: () => {},
  };
  const timeouts = { entryTimeout: TIMEOUT, attributeTimeout: TIMEOUT, negativeTimeout: TIMEOUT };
  return new Session(fileSystem, state, services, timeouts);
}

function look(session) {
  for (let pass = 0; pass < PASSES; pass++) {
    for (let i = 0; i < NAMES; i++) {
      send(session, Opcode.LOOKUP, 1, [], `file-${i}`);
      send(session, Opcode.GETATTR, nodeOf(session), [0, 0, 0, 0]);
    }
  }
}

/** Makes files; that these are removed again is in it, too. */
function make(session) {
  for (let i = 0; i < NAMES; i++) create(session, `made-${i}`);
  for (let i = 0; i < NAMES; i++) send(session, Opcode.UNLINK, 1, [], `made-${i}`);
}

function create(session, name) {
  send(session, Opcode.CREATE, 1, [constants.O_CREAT | constants.O_WRONLY, 0o100644, 0o022, 0], name);
  const node = nodeOf(session);
  const handleNumber = new DataView(session.reply.bytes.buffer).getUint32(16 + 128, true);
  send(session, Opcode.RELEASE, node, [handleNumber, 0, 0, 0, 0, 0]);
  session.work();
}

function nodeOf(session) {
  return new DataView(session.reply.bytes.buffer).getUint32(16, true);
}

function send(session, opcode, node, words, name) {
  const request = new DataView(session.request.bytes.buffer);
  const { bytes } = session.request;
  bytes.fill(0, 0, 40);
  let at = 40;
  for (const word of words) {
    request.setUint32(at, word, true);
    at += 4;
  }
  if (name !== undefined) {
    for (let i = 0; i < name.length; i++) bytes[at++] = name.charCodeAt(i);
    bytes[at++] = 0;
  }
  request.setUint32(0, at, true);
  request.setUint32(4, opcode, true);
  request.setUint32(16, node, true);
  request.setUint32(24, 1000, true);
  request.setUint32(32, 4711, true);
  handle(session, at);
  const error = new DataView(session.reply.bytes.buffer).getInt32(4, true);
  if (error !== 0) throw new Error(`Cannot measure: operation ${opcode} gives ${error}`);
}

function cpuMicros(work) {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}
