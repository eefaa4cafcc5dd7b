import { ReactWidget } from '@jupyterlab/ui-components';
import { Signal } from '@lumino/signaling';
import * as React from 'react';
import { trans } from './translation';
import { Truth } from './truth';

/** The status bar's count, there while something runs; it asks on while something runs, so that its end is noticed with the panel closed. */
export class RunningCount extends ReactWidget {
  constructor(
    private readonly _truth: Truth,
    private readonly _open: () => void
  ) {
    super();
    this._unsubscribe = _truth.subscribe(() => this._settle());
    this._settle();
  }

  render(): JSX.Element {
    const count = this._truth.liveCount;
    return (
      <button className="nbp-status" onClick={this._open} title={trans.__('Show what nbplat runs')}>
        {trans.__('nbplat: %1 running', count)}
      </button>
    );
  }

  /** Whether it is to be seen; the status bar asks at every `activeStateChanged`. */
  isActive(): boolean {
    return this._truth.liveCount > 0;
  }

  readonly activeStateChanged = new Signal<this, void>(this);

  dispose(): void {
    this._unsubscribe();
    Signal.clearData(this);
    this._stop?.();
    super.dispose();
  }

  private _settle(): void {
    const some = this.isActive();
    if (some && !this._stop) {
      this._stop = this._truth.watch('count');
    } else if (!some) {
      this._stop?.();
      this._stop = null;
    }
    this.activeStateChanged.emit();
    this.update();
  }

  private readonly _unsubscribe: () => void;
  private _stop: (() => void) | null = null;
}
