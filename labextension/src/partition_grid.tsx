/** One box a partition, filled as its files are staged. */

import * as React from 'react';
import { IPartition } from './records';
import { trans } from './translation';
import { bytes } from './words';

/** Boxes drawn; a table of more partitions says how many are left out. */
const MOST = 600;

export function PartitionGrid(props: { partitions: IPartition[] }): JSX.Element {
  const { partitions } = props;
  const whole = partitions.filter(each => each.done === each.files).length;
  const failed = partitions.filter(each => each.failed > 0).length;
  return (
    <section aria-label={trans.__('Partitions')}>
      <h3>{trans.__('Partitions')}</h3>
      <p className="nbp-aside" role="status">
        {trans.__('%1 of %2 staged', whole, partitions.length)}
        {failed ? trans.__(', %1 with failed files', failed) : ''}
        {partitions.length > MOST ? trans.__('; the first %1 are drawn', MOST) : ''}
      </p>
      <ul className="nbp-grid">
        {partitions.slice(0, MOST).map(each => (
          <Box key={each.partition} partition={each} />
        ))}
      </ul>
    </section>
  );
}

function Box(props: { partition: IPartition }): JSX.Element {
  const { partition } = props;
  const share = partition.files ? partition.done / partition.files : 0;
  const state = partition.failed
    ? 'failed'
    : share === 1
      ? 'done'
      : partition.leased || share
        ? 'going'
        : 'waiting';
  const said = partitionText(partition);
  return (
    <li className="nbp-box" data-state={state} title={said} aria-label={said}>
      <span className="nbp-box-fill" style={{ height: `${Math.floor(100 * share)}%` }} />
      <span className="nbp-box-name" aria-hidden="true">
        {partition.failed ? '✕' : share === 1 ? '✓' : partition.leased ? '◐' : ''}
      </span>
    </li>
  );
}

/** `label_month=2011-05: 2 of 4 files staged, 1 failed, 1,943 rows, 1.2 MB to read`. */
export function partitionText(partition: IPartition): string {
  const name = partition.partition || trans.__('unpartitioned');
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
