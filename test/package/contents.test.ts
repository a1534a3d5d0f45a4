/** What `npm pack` puts into the package. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const MANIFEST = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  bin: Record<string, string>;
  man: string[];
  os: string[];
  scripts: Record<string, string>;
};

interface Packed {
  files: { path: string; mode: number }[];
}

const [packed] = JSON.parse(
  execFileSync('npm', ['pack', '--dry-run', '--json'], { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' }),
) as [Packed];
const paths = new Set(packed.files.map(({ path }) => path));
/** The package's own files, without those of the packages that it brings. */
const own = [...paths].filter((path) => !path.startsWith('node_modules/'));

it('has the built program, whole and nothing else of the build', () => {
  const dist = own.filter((path) => path.startsWith('dist/'));
  const sourceOf = (path: string) => path.replace(/^dist\//, '').replace(/(\.d\.ts|\.js)$/, '.ts');
  const pages = dist.filter((path) => path.startsWith('dist/man/'));
  expect(pages).toEqual(MANIFEST.man);
  const chunks = dist.filter((path) => path.startsWith('dist/chunks/'));
  const compiled = dist.filter((path) => !pages.includes(path) && !chunks.includes(path));
  expect(
    compiled.filter((path) => !/\.(d\.ts|js)$/.test(path) || !existsSync(join(ROOT, sourceOf(path)))),
  ).toEqual([]);
  const text = [...compiled, ...chunks].map((path) => readFileSync(join(ROOT, path), 'utf8')).join('\n');
  expect(
    chunks.filter(
      (path) =>
        !text.includes(`/${path.split('/').at(-1)}'`) && !text.includes(`/${path.split('/').at(-1)}"`),
    ),
  ).toEqual([]);
  expect(dist).toContain('dist/engine/index.d.ts');
  expect(dist.filter((path) => readFileSync(join(ROOT, path), 'utf8').includes('sourceMappingURL'))).toEqual(
    [],
  );
  for (const path of Object.values(MANIFEST.bin)) {
    expect(packed.files.find((file) => file.path === path)!.mode & 0o111).toBe(0o111);
  }
});

it('has what its own scripts run', () => {
  const [, script] = MANIFEST.scripts.postinstall!.split(' ');
  for (const path of [script, 'scripts/launch', 'packaging/spinney@.service']) expect(own).toContain(path);
  expect(MANIFEST.os).toEqual(['linux']);
});

it('has every file and folder that its documents link to', () => {
  const documents = own.filter((path) => path.endsWith('.md'));
  expect(documents).toEqual(
    expect.arrayContaining(['README.md', 'ARCHITECTURE.md', 'CHANGELOG.md', 'mount/fuse-native/limits.md']),
  );
  const missing = documents.flatMap((document) =>
    linksOf(readFileSync(join(ROOT, document), 'utf8'))
      .filter((link) => !/^([a-z]+:|#)/.test(link))
      .map((link) => posix.join(posix.dirname(document), link.replace(/(#.*|\/)$/, '')))
      .filter((path) => !paths.has(path) && !own.some((packed) => packed.startsWith(`${path}/`)))
      .map((path) => `${document} -> ${path}`),
  );
  expect(missing).toEqual([]);
});

it('brings fuse-native whole, with no script that runs when it is installed', () => {
  const folder = 'node_modules/fuse-native';
  const manifest = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8')) as {
    gypfile: boolean;
    scripts: Record<string, string>;
  };
  // Without `gypfile: false` npm compiles what has a binding.gyp.
  expect(manifest.gypfile).toBe(false);
  for (const event of ['preinstall', 'install', 'postinstall'])
    expect(manifest.scripts).not.toHaveProperty(event);
  for (const name of ['node.napi.node', 'libfuse.so']) {
    expect(paths).toContain(`${folder}/prebuilds/linux-x64/${name}`);
  }
  // A binding that was compiled on this machine would be preferred, and run here alone.
  expect([...paths].filter((path) => path.startsWith(`${folder}/build/`))).toEqual([]);
  const scripts = [...paths].filter((path) => /^node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(path));
  expect(
    scripts.filter((path) => /"(pre|post)?install":/.test(readFileSync(join(ROOT, path), 'utf8'))),
  ).toEqual([]);
});

/** Targets of a document's links, in line and as references. */
function linksOf(text: string): string[] {
  const prose = text.replace(/^```.*?^```/gms, '').replace(/`[^`\n]*`/g, '');
  return [...prose.matchAll(/\]\(([^)\s]+)[^)]*\)|^\[[^\]]+\]:\s*(\S+)/gm)].map(([, inline, reference]) =>
    String(inline ?? reference),
  );
}
