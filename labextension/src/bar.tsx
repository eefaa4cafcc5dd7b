import * as React from 'react';
import { glyph, Tone } from './words';

/** A bar that says its name and its value; without a known total it only says that something goes on. */
export function Bar(props: { share: number | null; label: string }): JSX.Element {
  const percent = props.share === null ? undefined : Math.floor(100 * props.share);
  return (
    <div
      className="nbp-bar"
      role="progressbar"
      aria-label={props.label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
    >
      <div
        className={percent === undefined ? 'nbp-bar-moving' : 'nbp-bar-done'}
        style={percent === undefined ? undefined : { width: `${percent}%` }}
      />
    </div>
  );
}

/** A state in words, with a sign and a colour that only repeat them. */
export function State(props: { tone: Tone; text: string }): JSX.Element {
  return (
    <span className="nbp-state" data-tone={props.tone}>
      <span aria-hidden="true">{glyph(props.tone)}</span> {props.text}
    </span>
  );
}
