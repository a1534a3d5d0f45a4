import type { TreeOperations } from '../../../../engine/api.js';

export function operation(number: number): [key: string, value: Uint8Array | undefined][];
export function perform(tree: TreeOperations, number: number): void;
