/** A form whose only effect is a cell: what the cell will be stands below the fields all the time. */

import * as React from 'react';
import { IActions } from './actions';
import { useAsked } from './changes';
import { cellOf, IField, IForm, labelOf, problems, startOf, Values } from './forms';
import { FORM_TITLES } from './lessons';
import { SectionId } from './rows';
import { suggestions } from './suggestions';
import { trans } from './translation';
import { Waiting } from './trouble';
import { Truth } from './truth';

export function FormView(props: {
  truth: Truth;
  section: SectionId;
  actions: IActions;
  close: () => void;
}): JSX.Element {
  const { truth, section, actions } = props;
  const asked = useAsked(() => truth.service.forms(), [truth]);
  const form = asked.value?.find(each => each.id === section);
  if (!form) {
    return <Waiting error={asked.error} actions={actions} />;
  }
  return <Filled key={section} {...props} form={form} />;
}

function Filled(props: {
  truth: Truth;
  form: IForm;
  section: SectionId;
  actions: IActions;
  close: () => void;
}): JSX.Element {
  const { truth, form, section, actions, close } = props;
  const [values, setValues] = React.useState<Values>(() => startOf(form));
  const [body, setBody] = React.useState(form.body);
  const [said, setSaid] = React.useState(false);
  const box = React.useRef<HTMLFormElement>(null);
  React.useEffect(() => box.current?.querySelector<HTMLElement>('input, select')?.focus(), []);
  const wrong = problems(form, values);
  const told = said ? wrong : [];
  const field = (each: IField): JSX.Element => (
    <Field
      key={each.name}
      id={`nbp-form-${form.id}-${each.name}`}
      field={each}
      value={values[each.name] ?? ''}
      offers={suggestions(truth, form, each)}
      problem={told.find(problem => problem.field === each.name)?.text ?? ''}
      set={value => setValues({ ...values, [each.name]: value })}
    />
  );
  const submit = (event: React.FormEvent): void => {
    event.preventDefault();
    if (wrong.length) {
      setSaid(true);
      const first = `#nbp-form-${form.id}-${wrong[0].field}`;
      box.current?.querySelector<HTMLElement>(first)?.focus();
      return;
    }
    actions.insert(cellOf(form, values, body));
    close();
  };
  const onKey = (event: React.KeyboardEvent): void => {
    if (event.key === 'Escape') {
      event.stopPropagation();
      close();
    }
  };
  const cell = cellOf(form, values, body);
  const rest = form.fields.filter(each => !each.first);
  return (
    <form
      ref={box}
      className="nbp-form"
      aria-label={FORM_TITLES[section]()}
      onSubmit={submit}
      onKeyDown={onKey}
      noValidate
    >
      <h2>{FORM_TITLES[section]()}</h2>
      <p className="nbp-aside">{form.summary}.</p>
      {form.fields.filter(each => each.first).map(field)}
      {rest.length > 0 && (
        <details>
          <summary>{trans.__('More options')}</summary>
          {rest.map(field)}
        </details>
      )}
      {form.body_language !== 'none' && (
        <div className="nbp-field">
          <label htmlFor={`nbp-form-${form.id}-body`}>{trans.__('Body (%1)', bodyName(form, values))}</label>
          <textarea
            id={`nbp-form-${form.id}-body`}
            rows={Math.min(14, body.split('\n').length + 2)}
            spellCheck={false}
            value={body}
            onChange={event => setBody(event.target.value)}
          />
        </div>
      )}
      <h3 id={`nbp-form-${form.id}-cell`}>{trans.__('The cell')}</h3>
      <pre className="nbp-lines" tabIndex={0} role="region" aria-labelledby={`nbp-form-${form.id}-cell`}>
        {cell}
      </pre>
      <div className="nbp-error" role="alert">
        {told.map(each => each.text).join('. ')}
      </div>
      <div className="nbp-steps">
        <button type="submit" className="nbp-button nbp-main">
          {trans.__('Insert the cell')}
        </button>
        <button type="button" className="nbp-button" onClick={close}>
          {trans.__('Close')}
        </button>
      </div>
    </form>
  );
}

function bodyName(form: IForm, values: Values): string {
  const names = { none: '', sql: 'SQL', yaml: 'YAML', python: 'Python' };
  return values.lang === 'python' ? names.python : names[form.body_language];
}

function Field(props: {
  id: string;
  field: IField;
  value: string;
  offers: string[];
  problem: string;
  set: (value: string) => void;
}): JSX.Element {
  const { id, field, value, offers, problem, set } = props;
  const shared = {
    id,
    'aria-describedby': `${id}-help`,
    'aria-invalid': problem ? true : undefined,
    'aria-required': field.required ? true : undefined
  };
  const help = (
    <div className="nbp-aside" id={`${id}-help`}>
      {problem && <span className="nbp-error">{problem}. </span>}
      {field.help}
      {field.many ? trans.__('; several: divide them by spaces') : ''}
    </div>
  );
  if (field.type === 'flag') {
    return (
      <div className="nbp-field">
        <label>
          <input
            {...shared}
            type="checkbox"
            checked={value === 'true'}
            onChange={event => set(event.target.checked ? 'true' : '')}
          />{' '}
          {labelOf(field)}
        </label>
        {help}
      </div>
    );
  }
  return (
    <div className="nbp-field">
      <label htmlFor={id}>
        {labelOf(field)}
        {field.required ? <span aria-hidden="true"> *</span> : null}
      </label>
      {field.choices.length > 0 ? (
        <select {...shared} value={value} onChange={event => set(event.target.value)}>
          {field.default ? null : <option value="">–</option>}
          {field.choices.map(each => (
            <option key={each} value={each}>
              {each}
            </option>
          ))}
        </select>
      ) : (
        <input
          {...shared}
          type="text"
          inputMode={field.type === 'int' || field.type === 'float' ? 'decimal' : undefined}
          list={offers.length ? `${id}-offers` : undefined}
          placeholder={field.type === 'date' ? trans.__('YYYY-MM-DD') : field.metavar}
          value={value}
          autoComplete="off"
          spellCheck={false}
          onChange={event => set(event.target.value)}
        />
      )}
      {offers.length > 0 && (
        <datalist id={`${id}-offers`}>
          {offers.map(each => (
            <option key={each} value={each} />
          ))}
        </datalist>
      )}
      {help}
    </div>
  );
}
