/** How a bundle tells what was gathered: as it is, or without names. */
import type { CpuProfile } from '../../../control/reports.js';
import type { Names } from './names.js';

export interface Told {
  text(text: string): string;
  /** Anything that can be JSON. */
  value(value: unknown): unknown;
  metrics(text: string): string;
  /** A line of /proc/self/mountinfo. */
  mountLine(line: string): string;
  /** A line of a log: JSON, or what a runtime printed at its end. */
  logLine(line: string): string;
  profile(profile: CpuProfile): CpuProfile;
}

const same = <T>(what: T): T => what;

export const WITH_NAMES: Told = {
  text: same,
  value: same,
  metrics: same,
  mountLine: same,
  logLine: same,
  profile: same,
};

/** Fields of a line of mountinfo that are paths; then, behind the dash, the source. */
const ROOT = 3;
const MOUNTPOINT = 4;
const SOURCE = 1;

export function withoutNames(names: Names): Told {
  return {
    text: (text) => names.text(text),
    value: (value) => names.value(value),
    metrics: (text) => names.metrics(text),
    mountLine(line) {
      const [own = '', filesystem = ''] = line.split(' - ');
      const fields = own.split(' ').map((field, at) => {
        return at === ROOT || at === MOUNTPOINT ? names.path(unescaped(field)) : field;
      });
      const last = filesystem
        .split(' ')
        .map((field, at) => (at === SOURCE ? names.path(unescaped(field)) : field));
      return `${fields.join(' ')} - ${last.join(' ')}`;
    },
    logLine(line) {
      try {
        return JSON.stringify(names.value(JSON.parse(line)));
      } catch {
        return names.text(line);
      }
    },
    profile: (profile) => ({
      ...profile,
      nodes: profile.nodes.map((node) => ({
        ...node,
        callFrame: { ...node.callFrame, url: urlOf(names, node.callFrame.url) },
      })),
    }),
  };
}

/** The functions of a profile are the program's; only where it lies is somebody's. */
function urlOf(names: Names, url: string): string {
  if (url === '' || url.startsWith('node:') || !url.includes('/')) return url;
  return names.path(url.replace(/^file:\/\//, ''));
}

function unescaped(field: string): string {
  return field.replaceAll(/\\([0-3][0-7]{2})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
