/** Tables of words: facts with their names, and rows below heads. */

import * as React from 'react';
import { Fact } from './run_facts';

export function FactTable(props: { facts: Fact[] }): JSX.Element {
  return (
    <table className="nbp-facts">
      <tbody>
        {props.facts.map(([name, value], at) => (
          <tr key={at}>
            <th scope="row">{name}</th>
            <td>{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A part of a page with facts below its title; nothing where there are none. */
export function FactPart(props: { title: string; facts: Fact[] }): JSX.Element {
  return props.facts.length ? (
    <section aria-label={props.title}>
      <h3>{props.title}</h3>
      <FactTable facts={props.facts} />
    </section>
  ) : (
    <></>
  );
}

/** Rows below heads; the first cell of each names it. */
export function RowTable(props: { heads: string[]; rows: React.ReactNode[][] }): JSX.Element {
  return (
    <table className="nbp-facts">
      <thead>
        <tr>
          {props.heads.map(each => (
            <th key={each} scope="col">
              {each}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {props.rows.map(([name, ...cells], at) => (
          <tr key={at}>
            <th scope="row">{name}</th>
            {cells.map((cell, column) => (
              <td key={column}>{cell}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Text as it was written, folded unless `open`. */
export function FoldedText(props: { title: string; text: string; open?: boolean }): JSX.Element {
  return props.text ? (
    <details open={props.open}>
      <summary>{props.title}</summary>
      <pre className="nbp-lines" tabIndex={0} role="region" aria-label={props.title}>
        {props.text}
      </pre>
    </details>
  ) : (
    <></>
  );
}
