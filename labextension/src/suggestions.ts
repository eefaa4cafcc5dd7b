/** What a form's field may hold, of what the panel knows already: nothing is asked for it. */

import { IField, IForm } from './forms';
import { Truth } from './truth';

const MOST = 100;

/** Values to choose from, in order; any other may be typed. */
export function suggestions(truth: Truth, form: IForm, field: IField): string[] {
  const runs = truth.board?.runs ?? [];
  const found = (): string[] => {
    switch (field.name) {
      case 'table':
      case 'on':
        return runs.map(run => run.table);
      case 'stage':
        return runs
          .filter(run => run.kind === 'backfill' && ['audited', 'awaiting_promotion'].includes(run.state))
          .map(run => run.id);
      case 'sequence':
        return runs.filter(run => run.kind === 'sequence').map(run => run.id);
      case 'env':
        return (truth.environments ?? []).map(each => each.name);
      case 'name':
        return form.id === 'sequence' ? runs.filter(run => run.kind === 'sequence').map(run => run.name) : [];
      default:
        return [];
    }
  };
  return [...new Set(found())].filter(Boolean).slice(0, MOST);
}
