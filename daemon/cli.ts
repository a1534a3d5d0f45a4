#!/usr/bin/env node
import { run } from './run.js';

// A daemon's threads must not keep the process, nor its lock on the store, once the verb is done.
process.exit(await run(process.argv.slice(2)));
