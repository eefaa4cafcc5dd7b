import * as React from 'react';

/** A field whose words narrow what stands below it, with what else belongs into its line. */
export function SearchBox(props: {
  words: string;
  /** What a screen reader says; also the hint where there is no shorter one. */
  label: string;
  hint?: string;
  set: (words: string) => void;
  children?: React.ReactNode;
}): JSX.Element {
  return (
    <div className="nbp-tools">
      <input
        className="jp-mod-styled"
        type="search"
        placeholder={props.hint ?? props.label}
        aria-label={props.label}
        value={props.words}
        onChange={event => props.set(event.target.value)}
      />
      {props.children}
    </div>
  );
}
