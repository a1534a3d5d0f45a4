#!/usr/bin/env node
import { ignoreDebuggerSignal } from './process/debugger-signal.js';

// Before all else is loaded, which takes a while.
ignoreDebuggerSignal();
const args = process.argv.slice(2);
// mount.fuse3 runs the type's program with source and mountpoint; no verb is a path.
const exitCode = args[0]?.startsWith('/')
  ? await (await import('./mount-helper.js')).runMountHelper(args)
  : await (await import('./run.js')).run(args);
// A daemon's threads must not keep the process, nor its lock on the store, once the verb is done.
process.exit(exitCode);
