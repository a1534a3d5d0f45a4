/**
 * What is run starts faster from few files: Node takes a third of a millisecond of processor time for each module, and a daemon has
 * five threads that load a hundred and more. So our own modules are put together in dist/chunks, and the programs and workers in dist
 * become doors to them. The other modules in dist stay as the compiler wrote them, for whoever embeds the engine.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { rolldown } from 'rolldown';

const CHUNKS = 'chunks';
const LAYERS = ['daemon', 'mount', 'engine'];
/** How a file is named that Node is to run: by a worker's or a child's starter. */
const STARTED = /new URL\('(\.[^']+)\.js', import\.meta\.url\)/g;

/** Sources of the programs and workers, without their ending: those that `programs` names, and those that a source starts. */
function entries(root, programs) {
  const found = new Set(programs);
  const listed = (layer) =>
    readdirSync(join(root, layer), { recursive: true }).map((name) => join(layer, name));
  for (const source of LAYERS.flatMap(listed).filter((name) => name.endsWith('.ts'))) {
    for (const [, name] of readFileSync(join(root, source), 'utf8').matchAll(STARTED))
      found.add(join(dirname(source), name));
  }
  return [...found].sort();
}

/** A module finds what is beside it where the compiler's output of it is, not where its chunk is. */
function staysAtItsPlace(root) {
  return {
    name: 'stays-at-its-place',
    transform(code, id) {
      if (!code.includes('import.meta.url')) return;
      const place = relative(root, id).replace(/\.ts$/, '.js');
      return code.replaceAll('import.meta.url', `new URL('../${place}', import.meta.url).href`);
    },
  };
}

/** Bundles into `dist` of the project at `root`. */
export async function bundle(root, dist, programs) {
  const names = entries(root, programs);
  const build = await rolldown({
    input: Object.fromEntries(names.map((name) => [name.replaceAll('/', '-'), join(root, `${name}.ts`)])),
    external: (id) => !id.startsWith('.') && resolve(id) !== id,
    platform: 'node',
    resolve: { extensionAlias: { '.js': ['.ts'] } },
    plugins: [staysAtItsPlace(root)],
    transform: { target: 'node20.19' },
  });
  const { output } = await build.write({
    dir: join(dist, CHUNKS),
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
  });
  // Only now: what runs from here loads some of them late, and most are the same as before.
  const written = new Set(output.map(({ fileName }) => fileName));
  for (const name of readdirSync(join(dist, CHUNKS)))
    if (!written.has(name)) rmSync(join(dist, CHUNKS, name));
  for (const name of names) {
    const door = join(dist, `${name}.js`);
    const up = relative(dirname(door), join(dist, CHUNKS, name.replaceAll('/', '-')));
    const shebang = readFileSync(join(root, `${name}.ts`), 'utf8').startsWith('#!')
      ? '#!/usr/bin/env node\n'
      : '';
    mkdirSync(dirname(door), { recursive: true });
    writeFileSync(door, `${shebang}import '${up}.js';\n`);
  }
}
