import { MemoryBlobStore } from '../../../engine/store/memory-blob-store.js';
import { describeBlobStore } from './contract.js';

describeBlobStore('MemoryBlobStore', () => new MemoryBlobStore());
