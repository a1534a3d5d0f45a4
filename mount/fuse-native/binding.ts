/**
 * Loads the fuse-native package. Its addon needs libfuse.so.2 and has no run path, so the library that lies
 * beside it is loaded first; the dynamic linker then finds it by its name. So nothing is compiled when it is installed,
 * and whether it loads here turns out when it is asked for.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import koffi from 'koffi';
import { SpinneyError } from '../../engine/errors.js';

/** A reply: an errno (negative) or count, then what the operation returns. */
export type Reply = (result: number, ...values: unknown[]) => void;

export interface BindingOptions {
  /** Becomes `fsname=<this>` in the mount options, verbatim: further options may follow after commas. */
  fsname: string;
  subtype: string;
  defaultPermissions: boolean;
  allowOther: boolean;
  /** Milliseconds after which the binding answers ETIMEDOUT by itself. */
  timeout: number;
}

export interface FuseBinding {
  mount(done: (error: Error | null) => void): void;
}

export type FuseBindingClass = new (
  mountpoint: string,
  operations: Record<string, unknown>,
  options: BindingOptions,
) => FuseBinding;

let loaded: FuseBindingClass | undefined;

/** Throws ERR_MOUNT, and says what to do, where the package is not installed or does not load. */
export function loadBinding(): FuseBindingClass {
  if (loaded !== undefined) return loaded;
  const require = createRequire(import.meta.url);
  try {
    const folder = dirname(require.resolve('fuse-native/package.json'));
    const library = join(folder, 'prebuilds', `${process.platform}-${process.arch}`, 'libfuse.so');
    if (existsSync(library)) koffi.load(library, { global: true });
    loaded = require('fuse-native') as FuseBindingClass;
    return loaded;
  } catch (cause) {
    throw new SpinneyError(
      'ERR_MOUNT',
      `Cannot load the fuse-native driver: ${reasonOf(cause)}; use --driver kernel, which needs no binding`,
      { cause },
    );
  }
}

function reasonOf(cause: unknown): string {
  const line = (cause instanceof Error ? cause.message : String(cause)).split('\n', 1)[0]!;
  if (line.startsWith("Cannot find module 'fuse-native")) return 'its package fuse-native is not installed';
  if (line.startsWith('No native build was found')) {
    return `its package fuse-native has no binary for ${process.platform} on ${process.arch}`;
  }
  return line;
}
