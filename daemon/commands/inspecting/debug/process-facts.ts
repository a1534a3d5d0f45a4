/** What the kernel tells of a process and its threads, as far as this user may look. */
import { readdirSync, readFileSync } from 'node:fs';
import { reasonOf } from '../../../../engine/errors.js';
import type { Told } from './told.js';

/** Of a process; each is a file in its directory of /proc. */
const OF_PROCESS = ['status', 'limits', 'io', 'oom_score_adj'];
/** Of a thread: its name, what it waits for, the call of the system that it is in, and the kernel's stack. */
const OF_THREAD = ['comm', 'wchan', 'syscall', 'stack'];
/** Lines of a thread's status that tell how it does. */
const STATES = /^(?:State|voluntary_ctxt_switches|nonvoluntary_ctxt_switches):.*/gm;

/** Throws where there is no such process. */
export function processText(pid: number, told: Pick<Told, 'text'>): string {
  readdirSync(`/proc/${pid}/task`);
  const files = OF_PROCESS.map((name) => [name, read(`/proc/${pid}/${name}`)]);
  // Its unit may be called after the store.
  const group = ['cgroup', told.text(read(`/proc/${pid}/cgroup`))];
  return [...files, group].map(([name, text]) => `== ${name}\n${text}\n`).join('\n');
}

/** Throws where there is no such process. */
export function threadsText(pid: number): string {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks)
    .map((thread) => {
      const at = `${tasks}/${thread}`;
      const states = [...read(`${at}/status`).matchAll(STATES)].map(([line]) => line.replace(/\s+/, ' '));
      const facts = OF_THREAD.map((name) => {
        const text = read(`${at}/${name}`);
        return text.includes('\n') ? `${name}:\n${text.replaceAll(/^/gm, '    ')}` : `${name}: ${text}`;
      });
      return [`== thread ${thread}`, ...states, ...facts, ''].join('\n');
    })
    .join('\n');
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').trimEnd();
  } catch (error) {
    return `(cannot be read: ${reasonOf(error)})`;
  }
}
