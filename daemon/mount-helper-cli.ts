#!/usr/bin/env node
import { ignoreDebuggerSignal } from './process/debugger-signal.js';

ignoreDebuggerSignal();
const { runMountHelper } = await import('./mount-helper.js');
process.exit(await runMountHelper(process.argv.slice(2)));
