import * as React from 'react';
import { LogTail, matching } from './log_tail';
import { SearchBox } from './search_box';
import { IPiece } from './service';
import { trans } from './translation';

/** Between two looks at a log that still grows. */
const EVERY_MS = 1000;
/** Lines drawn at once; the search looks through all. */
const MOST_LINES = 2000;

/** A log: its tail follows while `live`, a search keeps the lines that hold all words, the download has everything. */
export function LogView(props: {
  read: (offset: number) => Promise<IPiece>;
  live: boolean;
  /** Without an ending. */
  fileName: string;
}): JSX.Element {
  const { read, live, fileName } = props;
  const tail = React.useMemo(() => new LogTail(read), [read]);
  const [, draw] = React.useReducer((count: number) => count + 1, 0);
  const [search, setSearch] = React.useState('');
  const [trouble, setTrouble] = React.useState('');
  const [follow, setFollow] = React.useState(true);
  const box = React.useRef<HTMLPreElement>(null);

  React.useEffect(() => {
    let over = false;
    let timer = 0;
    const look = async (): Promise<void> => {
      try {
        if (document.visibilityState === 'visible' && (await tail.more()) && !over) {
          draw();
        }
        setTrouble('');
      } catch (error) {
        setTrouble((error as Error).message);
      }
      if (!over && live) {
        timer = window.setTimeout(() => void look(), EVERY_MS);
      }
    };
    void look();
    return () => {
      over = true;
      window.clearTimeout(timer);
    };
  }, [tail, live]);

  const lines = matching(tail.text, search);
  const shown = lines.slice(-MOST_LINES);
  React.useEffect(() => {
    if (follow && box.current) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  });

  const download = (): void => {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([tail.text], { type: 'text/plain' }));
    link.download = `${fileName}.log`;
    link.click();
    URL.revokeObjectURL(link.href);
  };

  return (
    <div className="nbp-log">
      <SearchBox words={search} label={trans.__('Search the log')} set={setSearch}>
        <label className="nbp-aside">
          <input type="checkbox" checked={follow} onChange={event => setFollow(event.target.checked)} />{' '}
          {trans.__('Follow')}
        </label>
        <button className="nbp-button" onClick={download} disabled={!tail.text}>
          {trans.__('Download')}
        </button>
      </SearchBox>
      {trouble && (
        <p className="nbp-error" role="alert">
          {trouble}
        </p>
      )}
      <p className="nbp-aside" role="status">
        {search
          ? trans._n('%1 line with “%2”', '%1 lines with “%2”', lines.length, search)
          : trans._n('%1 line', '%1 lines', lines.length)}
        {lines.length > shown.length ? trans.__(', the last %1 are shown', shown.length) : ''}
        {tail.cut ? trans.__('; the beginning is left out') : ''}
      </p>
      <pre ref={box} className="nbp-lines" tabIndex={0} role="region" aria-label={trans.__('Log')}>
        {shown.length
          ? shown.map(({ number, line }) => `${line}\n`)
          : live
            ? trans.__('Nothing yet.')
            : trans.__('The log is empty.')}
      </pre>
    </div>
  );
}
