/** What an empty section teaches: what the thing is for, and a cell that makes one. */

import { SectionId } from './rows';

export interface ILesson {
  text: string;
  /** The button's words. */
  label: string;
  /** The cell that it puts below the active one; nothing is run. */
  cell: string;
}

export const LESSONS: { [id in SectionId]: ILesson } = {
  sessions: {
    text: 'No Spark session lives. A session keeps Spark warm between cells and outlives this notebook.',
    label: 'Insert %session start',
    cell: '%load_ext nbplat\n%session start --name spark'
  },
  backfill: {
    text: 'No backfill yet. It computes a new column over the whole history of a table, beside the table, and audits it before you publish it.',
    label: 'Insert a %%backfill cell',
    cell: '%%backfill my_feature --table retail.train --key example_id --dry-run\nSELECT base.example_id, base.basket_value * 2 AS my_feature\nFROM base'
  },
  training: {
    text: 'No training yet. It compares a model with and without a staged column, before anything is published.',
    label: 'Insert a %%training cell',
    cell: '%%training buys_again --table retail.train --stage my_feature --label label --time label_ts\n# The default model; assign `model = ...` to bring your own.'
  },
  environment: {
    text: 'No environment is built. One declaration gives kernel, Spark and Ray workers the same Python.',
    label: 'Insert an %%environment cell',
    cell: '%%environment features\nchannels: [conda-forge]\ndependencies:\n  - python=3.12\n  - pyarrow'
  },
  sequence: {
    text: 'No sequence is kept. It shows the last events before each example, and what would leak.',
    label: 'Insert a %%sequence cell',
    cell: '%%sequence history --on retail.train --preview 6\nsource: retail.events\nentity: customer_id\ntime:   event_ts\nid:     event_id\nevents:\n  purchase: {last: 20}\nas_of: {time: label_ts, strict: true}'
  }
};
