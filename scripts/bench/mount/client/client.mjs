/** The client (client.c) at work in one directory. Every call is a process of its own, with a time-out. */
import { join } from 'node:path';
import { run } from '../processes.mjs';

export class Client {
  #program;
  #root;
  #mount;

  /** `program`: where it was compiled to; `root`: what the directories are in; `mount`: what is mounted there, if anything is. */
  constructor(program, root, mount) {
    this.#program = program;
    this.#root = root;
    this.#mount = mount;
  }

  /**
   * One of client.c's operations: { ns, cpuNs }, the time and that of the serving process, undefined where there is none.
   * `count` is that of all clients together.
   */
  async do(operation, directory, { clients = 1, repeats = 1, count, size, program = [] } = {}) {
    const argv = [this.#program, '-c', String(clients), '-r', String(repeats)];
    if (this.#mount !== undefined) argv.push('-p', String(this.#mount.pid));
    argv.push(operation, join(this.#root, directory), ...program);
    if (count !== undefined) argv.push(String(count));
    if (size !== undefined) argv.push(String(size));
    const stuck = () => this.#mount?.abort();
    const [ns, cpuNs] = (await run(argv, { stuck })).split(' ').map(Number);
    return { ns, cpuNs: this.#mount && cpuNs };
  }

  /** Runs a program in a directory. */
  exec(directory, ...program) {
    return this.do('exec', directory, { program });
  }

  make(directory) {
    return this.exec('.', 'mkdir', directory);
  }

  remove(directory) {
    return this.exec('.', 'rm', '-rf', directory);
  }
}
