/** What an empty section teaches: what the thing is for, and a cell that makes one. */

import { SectionId } from './rows';
import { trans } from './translation';

export interface ILesson {
  text: string;
  /** The magic that makes one. */
  magic: string;
  /** The cell that is put below the active one; nothing is run. */
  cell: string;
}

/** The words of the button that inserts it. */
export function insertWords(lesson: ILesson): string {
  return trans.__('Insert %1', lesson.magic);
}

/** Magics stand in translated words as values: a percent sign has a meaning there. */
export const LESSONS: { [id in SectionId]: () => ILesson } = {
  sessions: () => ({
    text: trans.__(
      'No Spark session lives. A session keeps Spark warm between cells and outlives this notebook.'
    ),
    magic: '%session start',
    cell: '%session start --name spark'
  }),
  backfill: () => ({
    text: trans.__(
      'No backfill yet. It computes a new column over the whole history of a table, beside the table, and audits it before you publish it.'
    ),
    magic: '%%backfill',
    cell: '%%backfill my_feature --table retail.train --key example_id --dry-run\nSELECT base.example_id, base.basket_value * 2 AS my_feature\nFROM base'
  }),
  training: () => ({
    text: trans.__(
      'No training yet. It compares a model with and without a staged column, before anything is published.'
    ),
    magic: '%%training',
    cell: '%%training buys_again --table retail.train --stage my_feature --label label --time label_ts\n# The default model; assign `model = ...` to bring your own.'
  }),
  environment: () => ({
    text: trans.__(
      'No environment is built. One declaration gives kernel, Spark and Ray workers the same Python.'
    ),
    magic: '%%environment',
    cell: '%%environment features\nchannels: [conda-forge]\ndependencies:\n  - python=3.12\n  - pyarrow'
  }),
  sequence: () => ({
    text: trans.__('No sequence is kept. It shows the last events before each example, and what would leak.'),
    magic: '%%sequence',
    cell: '%%sequence history --on retail.train --preview 6\nsource: retail.events\nentity: customer_id\ntime:   event_ts\nid:     event_id\nevents:\n  purchase: {last: 20}\nas_of: {time: label_ts, strict: true}'
  })
};

export const FORM_TITLES: { [id in SectionId]: () => string } = {
  sessions: () => trans.__('New session'),
  backfill: () => trans.__('New backfill'),
  training: () => trans.__('New training'),
  environment: () => trans.__('New environment'),
  sequence: () => trans.__('New sequence')
};
