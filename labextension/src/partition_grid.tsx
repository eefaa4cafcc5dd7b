/** One box a partition, filled as its files are staged. */

import * as React from 'react';
import { IPartition } from './records';
import { RowTable } from './tables';
import { trans } from './translation';
import { bytes } from './words';

/** Boxes drawn; a table of more partitions says how many are left out. */
const MOST = 600;

type State = 'done' | 'going' | 'failed' | 'waiting';

const SIGNS: { [state in State]: string } = { done: '✓', going: '◐', failed: '✕', waiting: '' };

const STATES: { [state in State]: () => string } = {
  done: () => trans.__('staged'),
  going: () => trans.__('under way'),
  failed: () => trans.__('failed'),
  waiting: () => trans.__('waiting')
};

export function PartitionGrid(props: { partitions: IPartition[] }): JSX.Element {
  const { partitions } = props;
  const whole = partitions.filter(each => each.done === each.files).length;
  const failed = partitions.filter(each => each.failed > 0).length;
  const shown = partitions.slice(0, MOST);
  const states = new Set(shown.map(stateOf));
  return (
    <section aria-label={trans.__('Partitions')}>
      <h3>{trans.__('Partitions')}</h3>
      <p className="nbp-aside" role="status">
        {trans.__('%1 of %2 staged', whole, partitions.length)}
        {failed ? trans.__(', %1 with failed files', failed) : ''}
        {partitions.length > MOST ? trans.__('; the first %1 are drawn', MOST) : ''}
      </p>
      <ul className="nbp-grid">
        {shown.map(each => (
          <Box key={each.partition} partition={each} />
        ))}
      </ul>
      <p className="nbp-aside nbp-legend" aria-hidden="true" hidden={states.size < 2}>
        {(Object.keys(STATES) as State[])
          .filter(state => states.has(state))
          .map(state => (
            <span key={state}>
              <span className="nbp-box" data-state={state}>
                <span className="nbp-box-name">{SIGNS[state]}</span>
              </span>{' '}
              {STATES[state]()}
            </span>
          ))}
      </p>
      <details>
        <summary>{trans.__('As a table')}</summary>
        <RowTable
          heads={[
            trans.__('partition'),
            trans.__('state'),
            trans.__('files'),
            trans.__('rows'),
            trans.__('to read')
          ]}
          rows={shown.map(each => [
            nameOf(each),
            STATES[stateOf(each)](),
            `${each.done}/${each.files}`,
            each.rows.toLocaleString('en'),
            bytes(each.read_bytes)
          ])}
        />
      </details>
    </section>
  );
}

function stateOf(partition: IPartition): State {
  if (partition.failed) {
    return 'failed';
  }
  if (partition.done === partition.files) {
    return 'done';
  }
  return partition.leased || partition.done ? 'going' : 'waiting';
}

function nameOf(partition: IPartition): string {
  return partition.partition || trans.__('unpartitioned');
}

function Box(props: { partition: IPartition }): JSX.Element {
  const { partition } = props;
  const share = partition.files ? partition.done / partition.files : 0;
  const state = stateOf(partition);
  const said = partitionText(partition);
  return (
    <li className="nbp-box" data-state={state} title={said} aria-label={said}>
      {state === 'going' && (
        <span className="nbp-box-fill" style={{ height: `${Math.floor(100 * share)}%` }} />
      )}
      <span className="nbp-box-name" aria-hidden="true">
        {SIGNS[state]}
      </span>
    </li>
  );
}

/** `label_month=2011-05: 2 of 4 files staged, 1 failed, 1,943 rows, 1.2 MB to read`. */
export function partitionText(partition: IPartition): string {
  const name = nameOf(partition);
  return [
    trans.__('%1: %2 of %3 files staged', name, partition.done, partition.files),
    partition.failed ? trans.__('%1 failed', partition.failed) : '',
    partition.leased ? trans.__('%1 under way', partition.leased) : '',
    trans.__('%1 rows', partition.rows.toLocaleString('en')),
    trans.__('%1 to read', bytes(partition.read_bytes))
  ]
    .filter(Boolean)
    .join(', ');
}
