import { MemoryObjectStore } from '../../../../engine/store/object/memory-object-store.js';
import { describeObjectStore } from './contract.js';

describeObjectStore('MemoryObjectStore', async () => new MemoryObjectStore());
