import { Tree } from '../../engine/index.js';
import { ModelTree } from '../support/model-tree.js';
import { fileSystemSuite } from './suite.js';
import { linuxSuite } from './suite-linux.js';

for (const suite of [fileSystemSuite, linuxSuite]) {
  suite('the model tree', () => new ModelTree());
  suite('the engine', () => Tree.open({ memory: true, cacheBytes: 64 * 1024 * 1024 }));
}
