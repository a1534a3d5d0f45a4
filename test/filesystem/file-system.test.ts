import { Tree } from '../../engine/index.js';
import { ModelTree } from '../support/model-tree.js';
import { fileSystemSuite } from './suite.js';

fileSystemSuite('the model tree', () => new ModelTree());
fileSystemSuite('the engine', () => Tree.open({ memory: true, cacheBytes: 64 * 1024 * 1024 }));
