/**
 * Preloaded into a daemon: ends one of its threads alone, the one that a file in $DEATHS is called by. The file is removed when the thread is
 * gone. `admin-worker.reading` is the end of the admin thread by itself, at its next read of a file, in the middle of its work.
 */
const fs = require('node:fs');
const { syncBuiltinESMExports } = require('node:module');
const threads = require('node:worker_threads');

const { DEATHS } = process.env;
const LOOK_EVERY_MS = 20;
const { existsSync, readSync, rmSync } = fs;

if (threads.isMainThread) watchWorkers();
else dieReading();

function watchWorkers() {
  const { Worker } = threads;
  threads.Worker = class extends Worker {
    constructor(url, options) {
      super(url, options);
      const due = `${DEATHS}/${/([\w-]+)\.js$/.exec(String(url))[1]}`;
      const looking = setInterval(() => {
        if (existsSync(due)) this.terminate();
      }, LOOK_EVERY_MS).unref();
      this.once('exit', () => {
        clearInterval(looking);
        rmSync(due, { force: true });
      });
    }
  };
  syncBuiltinESMExports();
}

function dieReading() {
  const due = `${DEATHS}/admin-worker.reading`;
  fs.readSync = (...given) => {
    if (process.argv[1].endsWith('admin-worker.js') && existsSync(due)) {
      rmSync(due);
      process.exit(1);
    }
    return readSync(...given);
  };
  syncBuiltinESMExports();
}
