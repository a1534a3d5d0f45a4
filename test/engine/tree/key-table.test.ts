import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeyTable } from '../../../engine/tree/write/key-table.js';

test('a table of few keys and of many finds what was added, in order', () => {
  const key = fc.uint8Array({ minLength: 0, maxLength: 3, min: 97, max: 99 });
  fc.assert(
    fc.property(fc.array(key, { maxLength: 40 }), fc.array(key, { maxLength: 20 }), (added, asked) => {
      const table = new KeyTable<{ key: Uint8Array; number: number }>();
      const model = new Map<string, number>();
      added.forEach((bytes, number) => {
        const name = Buffer.from(bytes).toString();
        expect(table.get(bytes)?.number).toBe(model.get(name));
        if (model.has(name)) return;
        table.add({ key: bytes, number });
        model.set(name, number);
      });
      for (const bytes of [...added, ...asked]) {
        expect(table.get(bytes)?.number).toBe(model.get(Buffer.from(bytes).toString()));
      }
      expect(table.all.map(({ number }) => number)).toEqual([...model.values()]);
    }),
  );
});
