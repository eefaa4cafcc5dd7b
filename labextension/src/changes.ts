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
