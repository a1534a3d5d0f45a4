/** What makes up an open tree in shared memory, and how another thread attaches to it. */
import type { Measure } from '../../art/measure.js';
import { FrameCache, type FrameCacheHandle } from '../../cache/frame-cache.js';
import { PreImages, type PreImagesHandle } from '../../cache/pre-images.js';
import { AnchoredDisk } from '../../disk/anchored-disk.js';
import { NodeDisk } from '../../disk/node-disk.js';
import { SpinneyError } from '../../errors.js';
import { Journal, type JournalHandle } from '../../journal/journal.js';
import { Control } from '../../shared/control.js';
import { FileBlobStore, type FileBlobStoreHandle } from '../../store/file/file-blob-store.js';
import { otherMeasure, TreeState } from './state.js';
import { threadNumber } from './thread-number.js';

/** Posted to another thread, `Tree.attach` opens the same tree there. */
export interface TreeHandle {
  control: SharedArrayBuffer;
  cache: FrameCacheHandle;
  preImages: PreImagesHandle;
  store: FileBlobStoreHandle;
  journal: JournalHandle | undefined;
  options: TreeState['options'];
}

/** @throws ERR_NOT_SHAREABLE for a tree without a directory */
export function handleOf({ control, cache, preImages, store, journal, options }: TreeState): TreeHandle {
  if (!(store instanceof FileBlobStore)) {
    throw new SpinneyError(
      'ERR_NOT_SHAREABLE',
      `Cannot share the tree in ${options.place}: only one in a directory can be shared`,
    );
  }
  return {
    control: control.buffer,
    cache: cache.handle,
    preImages: preImages.handle,
    store: store.share(),
    journal: journal?.share(),
    options,
  };
}

/**
 * The calling thread's view of the tree behind the handle; one thread attaches as the store's writer. `measure`: that of the
 * tree, if it has one and the thread is to change records or to sum them up.
 * @throws ERR_MEASURE where it is another
 */
export function attachState(
  handle: TreeHandle,
  role: 'reader' | 'writer',
  measure: Measure | undefined,
): TreeState {
  if (handle?.control === undefined) {
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      'Cannot attach to a tree: it takes what share() gave in the thread that opened it',
    );
  }
  const { place, anchor } = handle.options;
  if (measure !== undefined && measure.identity !== handle.options.measure?.identity) {
    throw otherMeasure(place, measure, handle.options.measure);
  }
  const disk = anchor === undefined ? new NodeDisk() : new AnchoredDisk(place, anchor);
  const control = new Control(handle.control);
  return new TreeState(
    control,
    new FrameCache(control, handle.cache),
    new PreImages(control, handle.preImages),
    FileBlobStore.attach(handle.store, disk, role),
    handle.journal === undefined ? undefined : Journal.attach(handle.journal, disk),
    threadNumber,
    handle.options,
    measure,
  );
}
