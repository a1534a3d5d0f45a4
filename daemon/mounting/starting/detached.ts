/** Starts the daemon as a process of its own and waits until its mount answers. */
import { spawn } from 'node:child_process';
import { type ErrorCode, SpinneyError } from '../../../engine/errors.js';
import { closeLogFile, openLogFile } from '../../process/log/log-file.js';
import { limitChildren } from '../../process/privileges.js';
import { programLine } from '../../process/program.js';
import { ServiceManager } from '../../process/service-manager.js';
import type { StartMessage } from './foreground.js';

/**
 * Runs `spinney <args>` in the background, its stderr in `logFile` (a crash of the runtime then leaves a
 * trace). Resolves when the daemon says that the mount answers. Throws its reason when it does not come up.
 * `notice` gets what else it says until then. What this process starts from here on has no more privileges than a daemon needs.
 */
export async function startDetached(
  args: readonly string[],
  logFile: string,
  notice: (text: string) => void,
): Promise<void> {
  const stderr = openLogFile(logFile);
  const service = ServiceManager.fromEnvironment();
  limitChildren();
  const [program, ...words] = programLine(args);
  const child = spawn(program!, words, {
    // It leaves this group of processes after it has mounted (foreground.ts).
    cwd: '/',
    env: { ...process.env, ...service?.heirsEnvironment },
    stdio: ['ignore', 'ignore', stderr, 'ipc'],
  });
  closeLogFile(stderr);
  // Giving up on the command gives up on the daemon, as long as its mount does not answer.
  const giveUp = () => void child.kill('SIGTERM');
  process.on('SIGINT', giveUp);
  process.on('SIGTERM', giveUp);
  try {
    const message = await new Promise<Exclude<StartMessage, { notice: string }>>((resolve, reject) => {
      child.on('message', (received) => {
        const told = received as StartMessage;
        if ('ready' in told) resolve(told);
        else {
          service?.status(told.notice);
          notice(told.notice);
        }
      });
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        // The message may still be on its way: the channel's end comes after it.
        const ended = signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`;
        const fail = () =>
          reject(
            new SpinneyError(
              'ERR_MOUNT',
              `Cannot start the daemon: ${ended} before the mount answered; see ${logFile}`,
            ),
          );
        if (child.connected) child.once('disconnect', fail);
        else fail();
      });
    });
    if (!message.ready) throw new SpinneyError(message.code as ErrorCode, message.message);
    // The manager listens to the process that it started, until that one names another.
    service?.ready(message.status, child.pid);
  } finally {
    process.off('SIGINT', giveUp);
    process.off('SIGTERM', giveUp);
    if (child.connected) child.disconnect();
    child.unref();
  }
}
