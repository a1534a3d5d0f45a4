/** What long work tells of how far it is. */
export interface WorkProgress {
  /** A new part begins, of so many steps; 0: not known. */
  begin(what: string, steps: number): void;
  step(count?: number): void;
}

export const SILENT: WorkProgress = { begin: () => {}, step: () => {} };
