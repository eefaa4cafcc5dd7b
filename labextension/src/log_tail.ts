/** A log that is read on from where it was, piece by piece. */

import { IPiece } from './service';

/** Kept in the page; the download has all of it. */
const MOST_CHARS = 2_000_000;

export class LogTail {
  constructor(private readonly _read: (offset: number) => Promise<IPiece>) {}

  text = '';
  /** Bytes of the log so far. */
  size = 0;
  /** Whether the beginning was left out, because the page holds no more. */
  cut = false;

  /** Read what has come since; true when something has. */
  async more(): Promise<boolean> {
    const before = this._offset;
    for (;;) {
      const piece = await this._read(this._offset);
      if (piece.size < this._offset) {
        // Another log under this name: begin again.
        this.text = '';
        this._offset = 0;
        continue;
      }
      this.size = piece.size;
      this.text += piece.text;
      const moved = piece.next_offset > this._offset;
      this._offset = piece.next_offset;
      if (this.text.length > MOST_CHARS) {
        this.text = this.text.slice(this.text.length - MOST_CHARS);
        this.cut = true;
      }
      if (!moved || this._offset >= piece.size) {
        return this._offset !== before;
      }
    }
  }

  private _offset = 0;
}

/** The lines that hold all words, with their numbers from 1; no words take every line. */
export function matching(text: string, search: string): { number: number; line: string }[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const lines = text.split('\n').map((line, index) => ({ number: index + 1, line }));
  if (lines.length && lines[lines.length - 1].line === '') {
    lines.pop();
  }
  return words.length
    ? lines.filter(({ line }) => words.every(word => line.toLowerCase().includes(word)))
    : lines;
}
