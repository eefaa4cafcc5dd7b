/** One timer for everything that is looked at: it asks while somebody looks, and never twice at once. */

export interface ITimers {
  now(): number;
  /** Calls back after `ms`; returns what cancels it. */
  after(ms: number, work: () => void): () => void;
}

export const browserTimers: ITimers = {
  now: () => Date.now(),
  after: (ms, work) => {
    const handle = window.setTimeout(work, ms);
    return () => window.clearTimeout(handle);
  }
};

export class Poller {
  /**
   * @param work - What is done each round; its failures are its own.
   * @param everyMs - Tells the time between the end of one round and the next.
   * @param leastMs - Least time between the starts of two rounds, however often `soon` is called.
   */
  constructor(
    private readonly _work: () => Promise<void>,
    private readonly _everyMs: () => number,
    private readonly _leastMs: number,
    private readonly _timers: ITimers
  ) {}

  /** Whether anybody looks; from false to true a round begins at once. */
  set wanted(value: boolean) {
    if (value === this._wanted) {
      return;
    }
    this._wanted = value;
    this._cancel();
    if (value) {
      this.soon();
    }
  }

  get wanted(): boolean {
    return this._wanted;
  }

  /** A round as soon as may be: something has changed. Nothing happens while nobody looks. */
  soon(): void {
    if (!this._wanted) {
      return;
    }
    if (this._busy) {
      this._again = true;
      return;
    }
    this._plan(Math.max(0, this._began + this._leastMs - this._timers.now()));
  }

  private _plan(ms: number): void {
    const due = this._timers.now() + ms;
    if (this._due !== null && this._due <= due) {
      return;
    }
    this._cancel();
    this._due = due;
    this._stop = this._timers.after(ms, () => {
      this._due = null;
      void this._round();
    });
  }

  private async _round(): Promise<void> {
    this._busy = true;
    this._again = false;
    this._began = this._timers.now();
    try {
      await this._work();
    } finally {
      this._busy = false;
      if (this._wanted) {
        this._plan(
          this._again ? Math.max(0, this._began + this._leastMs - this._timers.now()) : this._everyMs()
        );
      }
    }
  }

  private _cancel(): void {
    this._stop?.();
    this._stop = null;
    this._due = null;
  }

  private _wanted = false;
  private _busy = false;
  private _again = false;
  private _began = -Infinity;
  private _due: number | null = null;
  private _stop: (() => void) | null = null;
}
