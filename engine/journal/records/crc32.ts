/**
 * CRC-32 (the polynomial of zlib) over aligned 64-bit groups of a word array, eight tables at once.
 * Journal records are small: a call into zlib, with the view that it needs, costs more than the whole sum.
 * The result equals `zlib.crc32(bytes, seed)` as a signed 32-bit number on a little-endian machine.
 */
const TABLE = makeTables();

function makeTables(): Int32Array {
  const table = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    table[byte] = crc;
  }
  for (let index = 256; index < table.length; index++) {
    const previous = table[index - 256]!;
    table[index] = (previous >>> 8) ^ table[previous & 255]!;
  }
  return table;
}

/** CRC of the words from index `start` up to `end`, an even number of them, continuing from `seed`. */
export function crc32Words(words: Int32Array, start: number, end: number, seed: number): number {
  const table = TABLE;
  let crc = ~seed;
  for (let index = start; index < end; index += 2) {
    const low = words[index]! ^ crc;
    const high = words[index + 1]!;
    crc =
      table[1792 + (low & 255)]! ^
      table[1536 + ((low >>> 8) & 255)]! ^
      table[1280 + ((low >>> 16) & 255)]! ^
      table[1024 + (low >>> 24)]! ^
      table[768 + (high & 255)]! ^
      table[512 + ((high >>> 8) & 255)]! ^
      table[256 + ((high >>> 16) & 255)]! ^
      table[high >>> 24]!;
  }
  return ~crc;
}
