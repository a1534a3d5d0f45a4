import { Tree } from '../../engine/index.js';
import { FILESYSTEM_MEASURE } from '../../mount/sums/filesystem-measure.js';
import { ModelTree } from '../support/model-tree.js';
import { attributesSuite } from './suites/suite-attributes.js';
import { contentsSuite } from './suites/suite-contents.js';
import { linuxSuite } from './suites/suite-linux.js';
import { namesSuite } from './suites/suite-names.js';
import { snapshotsSuite } from './suites/suite-snapshots.js';
import { sumsSuite } from './suites/suite-sums.js';

for (const suite of [namesSuite, contentsSuite, attributesSuite, linuxSuite, sumsSuite, snapshotsSuite]) {
  suite('the model tree', () => new ModelTree());
  suite('the engine', () =>
    Tree.open({ memory: true, cacheBytes: 64 * 1024 * 1024, measure: FILESYSTEM_MEASURE }));
}
