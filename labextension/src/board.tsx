/** The left panel's inside: a filter, what is wrong, and five sections of rows. */

import * as React from 'react';
import { IActions, openRow } from './actions';
import { Bar, State } from './bar';
import { useTruth } from './changes';
import { Fault } from './fault';
import { ILesson, LESSONS } from './lessons';
import { IRow, ISection, sections } from './rows';
import { Truth } from './truth';

/** Rows of a section before one asks for more. */
const FIRST = 12;

export function Board(props: { truth: Truth; actions: IActions }): JSX.Element {
  const { truth, actions } = props;
  const [filter, setFilter] = React.useState('');
  const [closed, setClosed] = React.useState<ReadonlySet<string>>(new Set());
  const [active, setActive] = React.useState<string | null>(null);
  const found = sections(truth, filter);
  const live = found.reduce((sum, each) => sum + each.live, 0);
  useTruth(truth, live > 0);
  const shown = found.filter(each => !closed.has(each.id)).flatMap(each => each.rows ?? []);
  const current = shown.some(row => row.key === active) ? active : (shown[0]?.key ?? null);

  const toggle = (id: string): void => {
    const next = new Set(closed);
    if (!next.delete(id)) {
      next.add(id);
    }
    setClosed(next);
  };

  return (
    <div className="nbp-board" onKeyDown={event => onKey(event, shown, truth, actions)}>
      <div className="nbp-tools">
        <input
          className="jp-mod-styled"
          type="search"
          placeholder="Filter"
          aria-label="Filter by name, table, state or owner"
          value={filter}
          onChange={event => setFilter(event.target.value)}
        />
        <button className="nbp-tool" title="Refresh" aria-label="Refresh" onClick={() => truth.refresh()}>
          ↻
        </button>
      </div>
      {truth.fault && <Trouble fault={truth.fault} actions={actions} />}
      <p className="nbp-aside" role="status">
        {truth.board ? summary(found) : truth.fault ? '' : 'Asking the service …'}
      </p>
      {found.map(section => (
        <Section
          key={section.id}
          section={section}
          open={!closed.has(section.id)}
          toggle={() => toggle(section.id)}
          filtered={filter.trim() !== ''}
          current={current}
          setActive={setActive}
          truth={truth}
          actions={actions}
        />
      ))}
    </div>
  );
}

/** What is wrong and the command that mends it, in place of a dead panel. */
export function Trouble(props: { fault: Fault; actions: IActions }): JSX.Element {
  const { fault, actions } = props;
  return (
    <div className="nbp-trouble" role="alert">
      <strong>{capital(fault.message)}</strong>
      <div>{capital(fault.fix)}</div>
      <div className="nbp-code">
        {fault.code}{' '}
        <button
          className="nbp-link"
          onClick={() => actions.copy(`${fault.code}: ${fault.message}. Fix: ${fault.fix}`)}
        >
          Copy
        </button>
      </div>
    </div>
  );
}

interface ISectionProps {
  section: ISection;
  open: boolean;
  toggle: () => void;
  filtered: boolean;
  current: string | null;
  setActive: (key: string) => void;
  truth: Truth;
  actions: IActions;
}

function Section(props: ISectionProps): JSX.Element {
  const { section, open, filtered } = props;
  const [all, setAll] = React.useState(false);
  const rows = section.rows;
  const first = all || !rows ? rows : rows.slice(0, FIRST);
  const body = `nbp-section-${section.id}`;
  return (
    <section className="nbp-section" aria-label={section.title}>
      <h3>
        <button className="nbp-head" aria-expanded={open} aria-controls={body} onClick={props.toggle}>
          <span className="nbp-caret" aria-hidden="true">
            {open ? '▾' : '▸'}
          </span>
          {section.title}
          <span className="nbp-count">
            {section.live ? `${section.live} running · ` : ''}
            {rows ? rows.length : '…'}
          </span>
        </button>
      </h3>
      <div id={body} hidden={!open}>
        {open && first && first.length > 0 && (
          <ul className="nbp-rows" aria-label={section.title}>
            {first.map(row => (
              <Row key={row.key} row={row} {...props} />
            ))}
          </ul>
        )}
        {open && rows && first && rows.length > first.length && (
          <button className="nbp-link nbp-more" onClick={() => setAll(true)}>
            Show {rows.length - first.length} more
          </button>
        )}
        {open && rows?.length === 0 && filtered && <p className="nbp-aside">Nothing fits the filter.</p>}
        {open && rows?.length === 0 && !filtered && (
          <Lesson lesson={LESSONS[section.id]} actions={props.actions} />
        )}
      </div>
    </section>
  );
}

function Lesson(props: { lesson: ILesson; actions: IActions }): JSX.Element {
  const { lesson, actions } = props;
  return (
    <div className="nbp-lesson">
      <p>{lesson.text}</p>
      <button className="nbp-button" onClick={() => actions.insert(lesson.cell)}>
        {lesson.label}
      </button>
    </div>
  );
}

interface IRowProps {
  row: IRow;
  current: string | null;
  setActive: (key: string) => void;
  truth: Truth;
  actions: IActions;
}

const Row = (props: IRowProps): JSX.Element => {
  const { row, current, truth, actions } = props;
  const focused = row.key === current;
  return (
    <li
      className="nbp-row"
      data-row={row.key}
      data-tone={row.tone}
      tabIndex={focused ? 0 : -1}
      aria-label={[row.title, row.state, row.about, row.figures, row.error].filter(Boolean).join(', ')}
      onFocus={() => props.setActive(row.key)}
      onDoubleClick={() => openRow(row, actions)}
    >
      <div className="nbp-row-top">
        <span className="nbp-title" title={row.title}>
          {row.title}
        </span>
        <State tone={row.tone} text={row.state} />
      </div>
      {row.about && <div className="nbp-aside nbp-cut">{row.about}</div>}
      {row.run?.job && !row.run.job.ended && <Bar share={row.share} label={`Progress of ${row.title}`} />}
      <div className="nbp-row-end">
        <span className="nbp-aside">{row.figures}</span>
        <span className="nbp-acts">
          <Acts row={row} truth={truth} actions={actions} tabIndex={focused ? 0 : -1} />
        </span>
      </div>
      {row.doing && <div className="nbp-aside nbp-cut">{row.doing}</div>}
      {row.error && <div className="nbp-error">{row.error}</div>}
    </li>
  );
};

function Acts(props: { row: IRow; truth: Truth; actions: IActions; tabIndex: number }): JSX.Element {
  const { row, truth, actions, tabIndex } = props;
  const act = (label: string, what: string, work: () => void): JSX.Element => (
    <button className="nbp-link" tabIndex={tabIndex} aria-label={`${label} ${what}`} onClick={work}>
      {label}
    </button>
  );
  const session = row.session;
  return (
    <>
      {(row.run || session) && act('Open', row.title, () => openRow(row, actions))}
      {row.logJob && act('Log', `of ${row.title}`, () => actions.openJobLog(row.logJob!, row.title))}
      {session &&
        !session.ended &&
        act('Attach', row.title, () => actions.insert(`%session attach ${row.id}`))}
      {session && !session.ended && act('Stop', row.title, () => void stopRow(row, truth, actions))}
      {row.cancelJob && act('Cancel', row.title, () => void stopRow(row, truth, actions))}
    </>
  );
}

/** End what a row is of, after asking. */
async function stopRow(row: IRow, truth: Truth, actions: IActions): Promise<void> {
  const session = row.session && !row.session.ended ? row.session : null;
  if (!session && !row.cancelJob) {
    return;
  }
  const sure = session
    ? await actions.confirm(
        `Stop ${row.title}?`,
        'The session ends, with its variables and what it runs.',
        'Stop session'
      )
    : await actions.confirm(`Cancel ${row.title}?`, 'Its job ends; what is finished is kept.', 'Cancel job');
  if (!sure) {
    return;
  }
  try {
    await (session ? truth.stop(session.id) : truth.cancel(row.cancelJob!));
  } catch (error) {
    actions.failed(error);
  }
}

function onKey(
  event: React.KeyboardEvent<HTMLElement>,
  shown: IRow[],
  truth: Truth,
  actions: IActions
): void {
  const focused = event.target as HTMLElement;
  const key = focused.getAttribute('data-row');
  if (key === null) {
    return;
  }
  const rows = Array.from(event.currentTarget.querySelectorAll<HTMLElement>('[data-row]'));
  const at = rows.indexOf(focused);
  const row = shown.find(each => each.key === key);
  const moves: { [name: string]: number } = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    Home: 0,
    End: rows.length - 1
  };
  if (event.key in moves) {
    rows[Math.min(rows.length - 1, Math.max(0, moves[event.key]))]?.focus();
  } else if (event.key === 'Enter' && row) {
    openRow(row, actions);
  } else if (event.key === 'Delete' && row) {
    void stopRow(row, truth, actions);
  } else {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}

function summary(found: ISection[]): string {
  const running = found
    .filter(each => each.live > 0)
    .map(each => `${each.live} in ${each.title.toLowerCase()}`);
  return running.length ? `Running: ${running.join(', ')}.` : 'Nothing is running.';
}

function capital(text: string): string {
  return text ? text[0].toUpperCase() + text.slice(1) : '';
}
