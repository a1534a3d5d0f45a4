/** Waits in shared memory until a record is shipped, and says what came of it. */
import { parentPort, workerData } from 'node:worker_threads';
import { ShippingBoard } from '../../../dist/engine/shipping/live/shipping-board.js';

parentPort.postMessage(new ShippingBoard(workerData.board).waitUntilShipped(workerData.lsn));
