/** Pipes between processes. Node makes sockets where it says pipe, and those cannot be opened anew through /proc. */
import { SpinneyError } from '../../engine/errors.js';
import * as libc from './libc.js';

/** The reading and the writing end, both closed on exec. Throws ERR_IO. */
export function makePipe(): [readEnd: number, writeEnd: number] {
  const ends = new Int32Array(2);
  if (libc.pipe2(ends, libc.O_CLOEXEC) !== 0) {
    throw new SpinneyError('ERR_IO', `Cannot make a pipe: ${libc.errnoName(libc.errno())}`);
  }
  return [ends[0]!, ends[1]!];
}

/** Whether somebody has the other end open that `writeEnd` writes to: of a pipe, or of a connection of FUSE. */
export function hasReader(writeEnd: number): boolean {
  // struct pollfd { int fd; short events, revents; }
  const polled = new Int32Array([writeEnd, 0]);
  return libc.poll(polled, 1, 0) <= 0 || ((polled[1]! >> 16) & libc.POLLERR) === 0;
}

/** What this process starts from here on does not have the descriptor. */
export function closeOnExec(fd: number): void {
  libc.fcntl(fd, libc.F_SETFD, libc.FD_CLOEXEC);
}
