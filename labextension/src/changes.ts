/** Lets React follow the truth, and the seconds where something is under way. */

import * as React from 'react';
import { Truth } from './truth';

/** Draw again at every change of the truth, and every second while `ticking` is true of it. */
export function useTruth(truth: Truth, ticking: boolean): void {
  const [, draw] = React.useReducer((count: number) => count + 1, 0);
  React.useEffect(() => truth.subscribe(draw), [truth]);
  React.useEffect(() => {
    if (!ticking) {
      return;
    }
    const timer = window.setInterval(draw, 1000);
    return () => window.clearInterval(timer);
  }, [ticking]);
}

/** What a request gives; asked again when one of `on` changes, the last answer staying meanwhile. */
export function useAsked<T>(ask: () => Promise<T>, on: unknown[]): { value: T | null; error: unknown } {
  const [state, set] = React.useState<{ value: T | null; error: unknown }>({ value: null, error: null });
  React.useEffect(() => {
    let over = false;
    ask().then(
      value => !over && set({ value, error: null }),
      error => !over && set(before => ({ ...before, error }))
    );
    return () => {
      over = true;
    };
  }, on);
  return state;
}
