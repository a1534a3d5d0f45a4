/**
 * Which packs of a checkpoint that is under way are in the remote already, in a file beside the store: so a run that is cut short does not
 * ship them again. It may be lost at any time: then they are. Its lines are told in FORMAT.md.
 */
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { parseObjectName } from '../../remote/objects/names.js';
import type { ObjectStore } from '../../store/object/object-store.js';
import type { ShippedImage } from './catalog.js';

const NAME = 'shipped-packs';
const FORMAT = 'spinney-packs';
const VERSION = 1;

export class PackNote {
  readonly #path: string;
  readonly #holder: string;
  #images: ShippedImage[] = [];

  /** `holder`: of the remote that it is about. */
  constructor(directory: string, holder: string) {
    this.#path = `${directory}/${NAME}`;
    this.#holder = holder;
  }

  /** All that the remote has of it. */
  get images(): readonly ShippedImage[] {
    return this.#images;
  }

  /** Takes up what an earlier process noted, as far as the remote has it still. @throws as `list` */
  async load(store: ObjectStore): Promise<void> {
    const noted = this.#read();
    if (noted.length === 0) return;
    const there = new Set<string>();
    for (let after = ''; ; ) {
      const { objects, more } = await store.list('blobs/', { after });
      for (const { key } of objects) there.add(key);
      if (!more || objects.length === 0) break;
      after = objects.at(-1)!.key;
    }
    this.#images = noted.filter(({ pack }) => there.has(pack));
  }

  /** What fails here only costs a second journey. */
  add(images: readonly ShippedImage[]): void {
    const isFirst = this.#images.length === 0;
    this.#images.push(...images);
    const header = { format: FORMAT, version: VERSION, holder: this.#holder };
    try {
      if (isFirst) writeFileSync(this.#path, `${JSON.stringify(header)}\n`, { mode: 0o600 });
      appendFileSync(this.#path, `${JSON.stringify(images)}\n`);
    } catch {
      // A disk that is full.
    }
  }

  /** A checkpoint has them, or nothing will. */
  clear(): void {
    this.#images = [];
    rmSync(this.#path, { force: true });
  }

  #read(): ShippedImage[] {
    try {
      const [header, ...lines] = readFileSync(this.#path, 'utf8').split('\n').slice(0, -1);
      const { format, version, holder } = JSON.parse(header!) as Record<string, unknown>;
      if (format !== FORMAT || version !== VERSION || holder !== this.#holder) return [];
      const images: ShippedImage[] = [];
      for (const line of lines) {
        const pack = parsed(line);
        if (pack === undefined) break;
        images.push(...pack);
      }
      return images;
    } catch {
      return [];
    }
  }
}

/** A line that was torn is none. */
function parsed(line: string): ShippedImage[] | undefined {
  try {
    const images = JSON.parse(line) as ShippedImage[];
    const isPack =
      Array.isArray(images) && images.every(({ pack }) => parseObjectName(pack)?.kind === 'blobs');
    return isPack ? images : undefined;
  } catch {
    return undefined;
  }
}
