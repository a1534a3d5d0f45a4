/**
 * The folder tree shows the architecture; this keeps it so. Reads the imports of all sources: no circle of files, in every
 * layer arrows that go down only, from a room to those before it, and no way into a layer but by its doors.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');

/** The layers, and in each its rooms (folders, and files beside them) from the lowest up. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  '': ['engine', 'mount', 'daemon'],
  engine: [
    'errors',
    'limits',
    'progress',
    'histogram',
    'stopwatch',
    'shared',
    'art',
    'disk',
    'store',
    'tree-stats',
    'api',
    'cache',
    'journal',
    'tree',
    'repair',
    'backup',
    'remote',
    'shipping',
    'following',
    'shipped-contents',
    'remote-store',
    'before-open',
    'index',
  ],
  'engine/store': [
    'blob-store',
    'page-checksums',
    'image',
    'checks',
    'absent-images',
    'file',
    'memory-blob-store',
    'object',
  ],
  'engine/store/file': [
    'names',
    'slot-map',
    'row',
    'data',
    'pins',
    'slots',
    'manifest',
    'lock',
    'directory',
    'live-pin',
    'file-blob-store',
  ],
  'engine/store/object': [
    'clock',
    'object-store',
    'errors',
    'memory-object-store',
    'retrying-object-store',
    's3',
  ],
  'engine/remote': [
    'objects',
    'site',
    'remote-record',
    'held-head',
    'remote-writer',
    'take-over',
    'follower',
    'collect',
    'probe',
    'open-remote',
  ],
  'engine/shipping': [
    'each-at-once',
    'checkpoints',
    'records',
    'contents',
    'images',
    'live',
    'restore',
    'open-remote-store',
    'verify',
  ],
  'engine/journal': [
    'records',
    'sizes',
    'shared',
    'segments',
    'ring',
    'run',
    'writing',
    'recovery',
    'journal',
    'live-formats',
  ],
  'engine/tree': ['state', 'read', 'write', 'upkeep', 'open', 'stats', 'conditions', 'tree', 'verify'],
  mount: [
    'request-log',
    'types',
    'snapshot-names',
    'libc',
    'process-calls',
    'mountpoints',
    'filesystem',
    'requests',
    'scrub-record',
    'stores',
    'sums',
    'check',
    'repair',
    'dump',
    'backup',
    'diff',
    'watched-worker',
    'kernel',
    'remote',
    'remote-thread',
    'session',
    'fuse-native',
    'index',
  ],
  'mount/filesystem': [
    'types',
    'errno',
    'arguments',
    'records',
    'followed-tree',
    'contents',
    'inodes',
    'quota-uses',
    'start',
    'open-files',
    'directories',
    'operations',
    'past',
    'taking-over',
    'file-system',
  ],
  'mount/filesystem/contents': [
    'disk',
    'remote-content',
    'content',
    'content-copy',
    'left-copies',
    'content-mark',
    'troubles',
    'taken-store',
    'spares',
    'content-directory',
    'open-inode',
    'away',
    'descriptors',
    'power-cut',
  ],
  'mount/kernel': ['protocol', 'kept', 'device', 'session', 'workers', 'kernel-mount', 'remote-end'],
  'mount/kernel/kept': [
    'growing-memory',
    'header',
    'kept-file',
    'name-arena',
    'node-memory',
    'rows',
    'notes',
    'session-tables',
    'session-files',
  ],
  daemon: [
    'process',
    'health',
    'control',
    'places',
    'mounting',
    'commands',
    'run',
    'mount-helper-options',
    'mount-helper',
    'cli',
    'mount-helper-cli',
    'index',
  ],
  'daemon/process': [
    'deadline',
    'debugger-signal',
    'descriptors',
    'failure',
    'privileges',
    'process-identity',
    'service-manager',
    'text',
    'uptime',
    'version',
    'inheritance',
    'log',
    'program',
    'standard-output',
  ],
  'daemon/control': [
    'peer',
    'reports',
    'socket-path',
    'tcp-address',
    'line-stream',
    'client-gone',
    'metrics',
    'routes',
    'client',
    'server',
  ],
  'daemon/mounting': [
    'admin',
    'control-sockets',
    'guard',
    'requests',
    'thread-profiles',
    'unmounting',
    'continuity',
    'health',
    'scrub',
    'snapshots',
    'store-survey',
    'daemon-options',
    'status',
    'unmounted',
    'open-tree',
    'remote',
    'settings',
    'daemon',
    'starting',
  ],
  'daemon/commands': ['output', 'options', 'completion', 'inspecting', 'mounts', 'stores', 'all'],
};

/** The files by which each of these is used from outside of it. */
const DOORS: Readonly<Record<string, RegExp>> = {
  engine:
    /^engine\/(index|api|tree-stats|errors|limits|progress|histogram|stopwatch|before-open|shipped-contents|remote-store)\.ts$/,
  mount:
    /^mount\/([^/]+|(mountpoints|requests|stores|sums)\/[^/]+|(backup|check|repair|dump|diff|request-log)\/index)\.ts$/,
  'mount/filesystem':
    /^mount\/filesystem\/([^/]+|(records|contents|contents\/(away|disk|spares)|past)\/[^/]+)\.ts$/,
  'mount/check': /^mount\/check\/index\.ts$/,
  'mount/backup': /^mount\/backup\/index\.ts$/,
  'mount/repair': /^mount\/repair\/index\.ts$/,
  'mount/dump': /^mount\/dump\/index\.ts$/,
  'mount/kernel':
    /^mount\/kernel\/(kernel-mount|remote-end|device\/mounting|kept\/session-files|kept\/notes\/state-note)\.ts$/,
  'mount/fuse-native': /^mount\/fuse-native\/driver\.ts$/,
};

/** So many files a folder holds at most; what would be more is a room more. */
const MOST_FILES = 16;

const IMPORT = /(?:import|export)\s[^;]*?from\s+'(\.[^']+)'|import\('(\.[^']+)'\)/g;

/** The files that each source file imports, types included. */
function imports(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const layer of LAYERS['']!) {
    for (const entry of readdirSync(join(ROOT, layer), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
      const file = relative(ROOT, join(entry.parentPath, entry.name));
      const targets = readFileSync(join(ROOT, file), 'utf8').matchAll(IMPORT);
      found.set(
        file,
        Array.from(targets, ([, from, loaded]) =>
          normalize(join(dirname(file), (from ?? loaded)!)).replace(/\.js$/, '.ts'),
        ),
      );
    }
  }
  return found;
}

/** The room of `layer` that the file is in. */
function roomOf(layer: string, file: string): string {
  return (layer === '' ? file : file.slice(layer.length + 1)).split('/')[0]!.replace(/\.ts$/, '');
}

const IMPORTS = imports();

describe('rooms', () => {
  it.each([...LAYERS['']!, 'test'])("no folder of '%s' is crowded", (top) => {
    const files = readdirSync(join(ROOT, top), { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    const counts = new Map<string, number>();
    for (const { parentPath } of files) {
      const folder = relative(ROOT, parentPath);
      counts.set(folder, (counts.get(folder) ?? 0) + 1);
    }
    expect(counts.size).toBeGreaterThan(10);
    expect([...counts].filter(([, count]) => count > MOST_FILES)).toEqual([]);
  });

  it('reads the imports of all sources', () => {
    expect(IMPORTS.size).toBeGreaterThan(150);
    expect(IMPORTS.get('mount/index.ts')).toContain('mount/fuse-native/driver.ts');
    const missing = [...IMPORTS.values()].flat().filter((file) => !IMPORTS.has(file));
    expect(missing).toEqual([]);
  });

  it.each(Object.keys(LAYERS))("arrows in '%s' go down", (layer) => {
    const rooms = LAYERS[layer]!;
    const isInside = (file: string): boolean => layer === '' || file.startsWith(`${layer}/`);
    const unknown = new Set<string>();
    const up: string[] = [];
    for (const [file, targets] of IMPORTS) {
      if (!isInside(file)) continue;
      const height = rooms.indexOf(roomOf(layer, file));
      if (height < 0) unknown.add(file);
      for (const target of targets) {
        if (isInside(target) && rooms.indexOf(roomOf(layer, target)) > height)
          up.push(`${file} -> ${target}`);
      }
    }
    expect([...unknown]).toEqual([]);
    expect(up).toEqual([]);
  });

  it.each(Object.keys(DOORS))("a layer's outside is used only through its doors: %s", (layer) => {
    const isInside = (file: string): boolean => file.startsWith(`${layer}/`);
    const used = [...IMPORTS]
      .filter(([file]) => !isInside(file))
      .flatMap(([file, targets]) => targets.filter(isInside).map((target) => ({ file, target })));
    expect(used.length).toBeGreaterThan(0);
    const besides = used.filter(({ target }) => !DOORS[layer]!.test(target));
    expect(besides.map(({ file, target }) => `${file} -> ${target}`)).toEqual([]);
  });

  it('has no circle of files', () => {
    const done = new Set<string>();
    const circles: string[] = [];
    const walk = (file: string, way: string[]): void => {
      const start = way.indexOf(file);
      if (start >= 0) circles.push([...way.slice(start), file].join(' -> '));
      if (start >= 0 || done.has(file)) return;
      for (const target of IMPORTS.get(file) ?? []) walk(target, [...way, file]);
      done.add(file);
    };
    for (const file of IMPORTS.keys()) walk(file, []);
    expect(circles).toEqual([]);
  });
});
