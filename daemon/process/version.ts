import { readFileSync } from 'node:fs';

/** Version of the package, looked for upwards from this file: it lies at another depth in `dist`. */
function readVersion(): string {
  for (const up of ['../../package.json', '../../../package.json']) {
    try {
      const manifest = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8')) as {
        name?: string;
        version?: string;
      };
      if (manifest.name === 'spinney' && manifest.version !== undefined) return manifest.version;
    } catch {
      // Not at this depth.
    }
  }
  return 'unknown';
}

export const version = readVersion();
