import { Tree } from '../../engine/index.js';
import { FILESYSTEM_MEASURE } from '../../mount/sums/filesystem-measure.js';
import { ModelTree } from '../support/model-tree.js';
import { attributesSuite } from './suite-attributes.js';
import { contentsSuite } from './suite-contents.js';
import { linuxSuite } from './suite-linux.js';
import { namesSuite } from './suite-names.js';
import { snapshotsSuite } from './suite-snapshots.js';
import { sumsSuite } from './suite-sums.js';

for (const suite of [namesSuite, contentsSuite, attributesSuite, linuxSuite, sumsSuite, snapshotsSuite]) {
  suite('the model tree', () => new ModelTree());
  suite('the engine', () =>
    Tree.open({ memory: true, cacheBytes: 64 * 1024 * 1024, measure: FILESYSTEM_MEASURE }));
}
