/**
 * Shapes that outlive their objects. A full garbage collection that finds no object of a class makes V8 forget the class's
 * shape, and with it all code that was compiled for such objects: after each the first thousands of calls are slow again.
 * A class whose objects live no longer than a call therefore keeps one.
 */
const kept: object[] = [];

export function keepShape(object: object): void {
  kept.push(object);
}
