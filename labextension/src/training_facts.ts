/** A kept training as tables of words: what was gained, how far the joined columns reach, what it was made of. */

import { Fact, filled } from './run_facts';
import { trans } from './translation';
import { duration, percent } from './words';

/** A score with its interval. */
interface IScore {
  value: number;
  low: number;
  high: number;
}

/** Model, score, interval: without the joined columns, with them where there are any, and what they gain. */
export function scoreRows(full: any): string[][] {
  const told = full?.outputs;
  if (full?.kind !== 'training' || !told?.auc_without) {
    return [];
  }
  const row = (name: string, score: IScore, signed = false): string[] => [
    name,
    figure(score.value, signed),
    trans.__('%1 to %2', figure(score.low, signed), figure(score.high, signed))
  ];
  return [
    row(trans.__('without %1', joined(told)), told.auc_without),
    ...(told.auc_with ? [row(trans.__('with %1', joined(told)), told.auc_with)] : []),
    ...(told.gain ? [row(trans.__('gain'), told.gain, true)] : [])
  ];
}

/** How many rows of each period found what they were joined with. */
export function coverageRows(full: any): string[][] {
  const told: any[] = full?.kind === 'training' ? (full.outputs?.coverage ?? []) : [];
  return told.map(each => [
    each.ref,
    each.period,
    each.rows.toLocaleString('en'),
    each.rows ? percent(each.covered / each.rows) : '',
    each.how
  ]);
}

export function trainingFacts(full: any): Fact[] {
  const told = full?.outputs;
  if (full?.kind !== 'training' || !told) {
    return [];
  }
  const { spec = {} } = full;
  const rows = (count: unknown): string => (typeof count === 'number' ? count.toLocaleString('en') : '');
  return filled([
    [
      trans.__('label'),
      [
        spec.label,
        told.label_share_test === undefined
          ? ''
          : trans.__('%1 of the test rows', percent(told.label_share_test))
      ]
        .filter(Boolean)
        .join(', ')
    ],
    [trans.__('split'), told.cut ? trans.__('trained before %1, tested from there', told.cut) : ''],
    [
      trans.__('rows'),
      told.rows_train === undefined
        ? ''
        : trans.__('%1 to train, %2 to test', rows(told.rows_train), rows(told.rows_test))
    ],
    [trans.__('features'), (told.features ?? []).join(', ')],
    [trans.__('joined'), [...(told.staged_features ?? []), ...(told.sequences ?? [])].join(', ')],
    [trans.__('model'), told.provenance?.model ?? ''],
    [
      trans.__('read'),
      told.rows_read === undefined
        ? ''
        : trans.__('%1 rows in %2 epochs, %3 batches', rows(told.rows_read), told.epochs, told.batches)
    ],
    [trans.__('took'), told.seconds === undefined ? '' : duration(1000 * told.seconds)],
    [
      trans.__('rows a second'),
      told.rows_per_second === undefined ? '' : rows(Math.round(told.rows_per_second))
    ],
    [
      trans.__('waited for batches'),
      told.wait_share === undefined ? '' : trans.__('%1 of the time', percent(told.wait_share))
    ],
    [trans.__('notes'), (told.provenance?.notes ?? []).join('. ')]
  ]);
}

/** What can be asked for again: snapshots, runs, seed, code, packages. */
export function trainingLineage(full: any): Fact[] {
  const kept = full?.kind === 'training' ? full.outputs?.provenance : null;
  if (!kept) {
    return [];
  }
  const pins = Object.entries(kept.snapshots ?? {}).map(([table, id]) =>
    trans.__('%1 at snapshot %2', table, id)
  );
  const packages = Object.entries(kept.environment?.packages ?? {}).map(
    ([name, version]) => `${name} ${version}`
  );
  return filled([
    ...pins.map((pin, at): Fact => [at ? '' : trans.__('from'), pin]),
    [trans.__('runs'), [...(kept.runs ?? []), ...Object.keys(kept.sequences ?? {})].join(', ')],
    [trans.__('seed'), kept.seed === undefined ? '' : String(kept.seed)],
    [trans.__('code'), String(kept.code_hash ?? '').slice(0, 12)],
    [trans.__('plan'), String(kept.plan_id ?? '').slice(0, 12)],
    [
      trans.__('environment'),
      [kept.environment?.python ? `Python ${kept.environment.python}` : '', ...packages]
        .filter(Boolean)
        .join(', ')
    ],
    [trans.__('kept under'), kept.held ? trans.__('the tag %1 of each table', kept.held) : '']
  ]);
}

function joined(told: any): string {
  return (
    [...(told.staged_features ?? []), ...(told.sequences ?? [])].join(', ') || trans.__('joined columns')
  );
}

function figure(value: number, signed: boolean): string {
  return `${signed && value > 0 ? '+' : ''}${value.toFixed(4)}`;
}
