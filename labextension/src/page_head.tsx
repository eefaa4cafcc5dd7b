/** How every page of the main area begins: the name, the state, whose it is, what went wrong, what may be done. */

import * as React from 'react';
import { IActions } from './actions';
import { State } from './bar';
import { Fault } from './fault';
import { fileName, IPlace } from './place';
import { ISaid } from './records';
import { trans } from './translation';
import { Trouble } from './trouble';
import { Tone } from './words';

/** A button of a page: `what` is what comes of it. */
export interface IStep {
  label: string;
  what: string;
  /** The one that most people want next. */
  main?: boolean;
  act: () => void;
}

export function PageHead(props: {
  title: string;
  place: IPlace;
  actions: IActions;
  /** null: not known (it may have gone). */
  state: { tone: Tone; text: string } | null;
  /** Table, owner, times: what is empty is left out. */
  about: string[];
  /** Path of the notebook that it was asked for from, as its kernel was told. */
  notebook?: string;
  runId?: string;
  fault: Fault | null;
  error: ISaid | null;
  steps: IStep[];
  /** Bar and figures. */
  children?: React.ReactNode;
}): JSX.Element {
  const { title, place, actions, state, about, fault, error, steps } = props;
  return (
    <header className="nbp-page-head">
      <h2>
        <span>{title}</span>
        {state && <State tone={state.tone} text={state.text} />}
        <button className="nbp-link" onClick={() => actions.copyLink(place)}>
          {trans.__('Copy link')}
        </button>
      </h2>
      <p className="nbp-aside">
        {about.filter(Boolean).join(' · ')}
        <Notebook {...props} />
      </p>
      {fault && <Trouble fault={fault} actions={actions} />}
      {props.children}
      {error && (
        <div className="nbp-wrong">
          <div>{error.message}</div>
          {error.fix && <div>{trans.__('Fix: %1', error.fix)}</div>}
        </div>
      )}
      {steps.length > 0 && (
        <p className="nbp-steps">
          {steps.map(each => (
            <button
              key={each.label}
              className={each.main ? 'nbp-button nbp-main' : 'nbp-button'}
              title={each.what}
              onClick={each.act}
            >
              {each.label}
            </button>
          ))}
        </p>
      )}
    </header>
  );
}

/** The way back to the notebook; one that cannot be opened here is only named. */
function Notebook(props: { actions: IActions; notebook?: string; runId?: string }): JSX.Element {
  const { actions, notebook = '', runId = null } = props;
  const path = actions.notebookOf(runId, notebook);
  if (path === null) {
    return <>{notebook && ` · ${trans.__('asked for in %1', notebook)}`}</>;
  }
  return (
    <>
      {' · '}
      <button className="nbp-link" title={path} onClick={() => actions.openNotebook(runId, path)}>
        {fileName(path)}
      </button>
    </>
  );
}
