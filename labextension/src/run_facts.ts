/** A run's record as tables of words: what was planned, what the audit found, what it was made of. */

import { trans } from './translation';
import { bytes, duration, Tone } from './words';

export type Fact = [name: string, value: string];

/** What the plan of a backfill says; empty for what has none. */
export function planFacts(full: any): Fact[] {
  const plan = full?.plan;
  if (!plan?.base || !Array.isArray(plan.units)) {
    return [];
  }
  const sum = (key: string): number => plan.units.reduce((total: number, unit: any) => total + unit[key], 0);
  const sources: any[] = plan.sources ?? [];
  const read = sources.reduce((total, source) => total + source.read_bytes, sum('read_bytes'));
  const spliced = plan.units.filter((unit: any) => unit.strategy === 'splice').length;
  return filled([
    [trans.__('files'), trans.__('%1 in %2 queries', plan.units.length, plan.groups?.length ?? 1)],
    [trans.__('rows'), sum('rows').toLocaleString('en')],
    [trans.__('reads'), bytes(read)],
    [trans.__('stages'), trans.__('about %1 (%2)', bytes(plan.write_bytes), plan.write_basis)],
    [trans.__('takes'), plan.seconds ? trans.__('about %1', duration(1000 * plan.seconds)) : ''],
    [trans.__('promotion'), trans.__('splices %1 of %2 files', spliced, plan.units.length)],
    [trans.__('window'), windowText(plan.window)],
    [trans.__('keys'), [(plan.keys ?? []).join(', '), plan.key_check].filter(Boolean).join(': ')],
    [trans.__('row by row'), plan.row_wise ? trans.__('yes') : trans.__('no: %1', plan.why)],
    [trans.__('audit'), (plan.checks ?? []).join('; ')],
    [trans.__('conflicts'), [...(plan.conflicts ?? []), ...(plan.overlaps ?? [])].join(', ')],
    [trans.__('plan'), String(full.plan_hash ?? plan.identity ?? '').slice(0, 12)]
  ]);
}

/** What a backfill's columns were made of and where they went: tables with their snapshots. */
export function lineageFacts(full: any): Fact[] {
  const { plan, spec, outputs } = full ?? {};
  if (!plan?.base) {
    return [];
  }
  const pin = (each: any): string =>
    each.snapshot_id === null
      ? trans.__('%1, empty', each.table)
      : trans.__('%1 at snapshot %2', each.table, each.snapshot_id);
  const columns = (plan.columns ?? []).map((each: any) => `${each.name} ${each.type}`).join(', ');
  const publication = outputs?.publication;
  return filled([
    [trans.__('from'), `${pin(plan.base)}: ${(plan.base_columns ?? []).join(', ')}`],
    ...(plan.sources ?? []).map((each: any): Fact => ['', `${pin(each.pin)}: ${each.columns.join(', ')}`]),
    [trans.__('by'), trans.__('the body %1, on %2', String(plan.identity ?? '').slice(0, 12), plan.engine)],
    [trans.__('environment'), spec?.python?.env?.name ?? spec?.env ?? ''],
    [trans.__('gives'), columns],
    [trans.__('staged in'), outputs?.staging_table ?? ''],
    [
      trans.__('promoted to'),
      publication ? pin({ table: plan.base.table, snapshot_id: publication.snapshot_id }) : ''
    ],
    [trans.__('before it'), publication ? trans.__('snapshot %1', publication.previous_snapshot_id) : ''],
    [trans.__('extends'), spec?.extends ?? '']
  ]);
}

export interface IFindingRow {
  rule: string;
  column: string;
  /** In words; `ok`, `blocks`, `warns`. */
  verdict: string;
  tone: Tone;
  message: string;
  fix: string;
}

const WORST_FIRST: Tone[] = ['bad', 'warn', 'good'];

/** The audit's findings, the broken ones first. */
export function findingRows(full: any): IFindingRow[] {
  const findings: any[] = full?.outputs?.audit?.findings ?? [];
  const rows = findings.map(each => ({
    rule: each.rule,
    column: each.column || '',
    verdict: each.passed ? trans.__('ok') : each.blocks ? trans.__('blocks') : trans.__('warns'),
    tone: (each.passed ? 'good' : each.blocks ? 'bad' : 'warn') as Tone,
    message: each.message ?? '',
    fix: each.fix ?? ''
  }));
  return rows.sort((a, b) => WORST_FIRST.indexOf(a.tone) - WORST_FIRST.indexOf(b.tone));
}

function windowText(window: any): string {
  if (!window?.from && !window?.to) {
    return trans.__('all of the table');
  }
  return `[${window.from ?? '…'}, ${window.to ?? '…'})`;
}

/** Without those that have nothing to say. */
export function filled(facts: Fact[]): Fact[] {
  return facts.filter(([, value]) => value);
}
