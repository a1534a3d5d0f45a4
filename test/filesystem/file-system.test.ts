import { ModelTree } from '../support/model-tree.js';
import { fileSystemSuite } from './suite.js';

fileSystemSuite('the model tree', () => new ModelTree());
