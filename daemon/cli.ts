#!/usr/bin/env node
import { runMountHelper } from './mount-helper.js';
import { run } from './run.js';

const args = process.argv.slice(2);
// mount.fuse3 runs the type's program with source and mountpoint; no verb is a path.
const exitCode = await (args[0]?.startsWith('/') ? runMountHelper(args) : run(args));
// A daemon's threads must not keep the process, nor its lock on the store, once the verb is done.
process.exit(exitCode);
