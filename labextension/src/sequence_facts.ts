/** A sequence's definition and its index as facts. */

import { Fact, filled } from './run_facts';
import { trans } from './translation';
import { duration } from './words';

export function sequenceFacts(full: any): Fact[] {
  const told = full?.kind === 'sequence' ? full.spec?.record : null;
  if (!told) {
    return [];
  }
  const { outputs = {} } = full;
  const index = outputs.index
    ? trans.__('%1 at snapshot %2, %3 buckets', outputs.index, outputs.snapshot_id, outputs.buckets)
    : trans.__('not built: %1', `%sequence build ${full.name}`);
  return filled([
    [trans.__('events of'), told.source],
    [trans.__('entity'), (told.entity ?? []).join(', ')],
    [
      trans.__('time'),
      [told.time, told.arrival ? trans.__('known at %1', told.arrival) : ''].filter(Boolean).join(', ')
    ],
    [
      trans.__('event id'),
      [(told.id ?? []).join(', '), trans.__('of equal ones the %1 counts', told.dedupe)]
        .filter(Boolean)
        .join(': ')
    ],
    ...Object.entries<any>(told.events ?? {}).map(([name, each]): Fact => [name, eventText(each)]),
    [trans.__('as of'), asOfText(told.as_of)],
    [
      trans.__('features'),
      Object.entries<any>(told.features ?? {})
        .map(([name, each]) => `${name}: ${each.function}`)
        .join(', ')
    ],
    [trans.__('variants'), Object.keys(told.variants ?? {}).join(', ')],
    [trans.__('examples'), outputs.on ?? ''],
    [trans.__('index'), index],
    [trans.__('version'), String(full.identity ?? '').slice(0, 12)]
  ]);
}

/** `last 20, within 90 d, where amount > 0`. */
function eventText(each: any): string {
  return [
    each.last ? trans.__('last %1', each.last) : trans.__('all'),
    each.within_us ? trans.__('within %1', duration(each.within_us / 1000)) : '',
    each.where ? trans.__('where %1', each.where) : ''
  ]
    .filter(Boolean)
    .join(', ');
}

function asOfText(asOf: any): string {
  if (!asOf) {
    return '';
  }
  const before = asOf.strict ? trans.__('before %1', asOf.time) : trans.__('up to %1', asOf.time);
  return asOf.gap_us ? trans.__('%1, with a gap of %2', before, duration(asOf.gap_us / 1000)) : before;
}
