#!/usr/bin/env node
import { runMountHelper } from './mount-helper.js';

process.exit(await runMountHelper(process.argv.slice(2)));
