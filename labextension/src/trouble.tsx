import * as React from 'react';
import { IActions } from './actions';
import { Fault } from './fault';
import { trans } from './translation';
import { capital } from './words';

/** What is wrong and the command that mends it, in place of a dead panel. */
export function Trouble(props: { fault: Fault; actions: IActions }): JSX.Element {
  const { fault, actions } = props;
  return (
    <div className="nbp-trouble" role="alert">
      <strong>{capital(fault.message)}</strong>
      <div>{trans.__('Fix: %1', fault.fix)}</div>
      <div className="nbp-code">
        {fault.code}{' '}
        <button
          className="nbp-link"
          onClick={() => actions.copy(`${fault.code}: ${fault.message}. Fix: ${fault.fix}`)}
        >
          {trans.__('Copy')}
        </button>
      </div>
    </div>
  );
}

/** What stands in for a page while the service has said nothing of it. */
export function Waiting(props: { error: unknown; actions: IActions }): JSX.Element {
  return props.error instanceof Fault ? (
    <Trouble fault={props.error} actions={props.actions} />
  ) : (
    <p className="nbp-aside">{trans.__('Asking the service …')}</p>
  );
}
