/** Names of Spinney's own attributes, which are in no list: see operations/own-attributes.ts. */

const OWN = Buffer.from('spinney.');

export function isOwnAttribute(name: Uint8Array): boolean {
  return name.length > OWN.length && OWN.compare(name, 0, OWN.length) === 0;
}
