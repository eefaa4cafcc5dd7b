// Sequences as strips on a canvas: one row a user, one mark a token, everything also by keyboard and as text.
//
// One file on purpose: anywidget loads one module, and no notebook should need a network to see it.
// Reading order: unpack -> build -> layout -> draw -> point -> keys -> charts -> batch -> render.

const COLOURS = ["#3b7ec0", "#c8661d", "#3f9150", "#b0529a", "#7d6fd0", "#94802a", "#2f8f8f", "#7a7a7a"];
const ROW = 24, LABEL = 226, AXIS = 26, PAD = 12, MARK = 15;
const MODES = [["position", "position"], ["age", "age (log)"], ["calendar", "calendar"]];
const VERDICTS = { ok: ["✓", "ok"], risk: ["!", "risk"], leak: ["✗", "leak"], unchecked: ["?", "unchecked"] };
const FLAGS = ["time", "arrival", "own event", "enrichment"];

// -- unpack: a deflated block of a length, a JSON head and columns of numbers ------------------------

async function unpack(view) {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const whole = await new Response(stream).arrayBuffer();
  const length = new DataView(whole).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(whole, 4, length)));
  const kinds = { u8: Uint8Array, i8: Int8Array, u16: Uint16Array, i32: Int32Array, u32: Uint32Array, f32: Float32Array, f64: Float64Array };
  const column = ([kind, start, count]) => new kinds[kind](whole, start, count);
  const columns = Object.fromEntries(Object.entries(head.columns).map(([name, at]) => [name, column(at)]));
  return { head, columns };
}

function strips({ head, columns }) {
  let start = 0;
  return head.strips.map((strip, place) => {
    const tokens = [];
    for (let at = start; at < start + strip.tokens; at++) {
      const age = columns.age_s[at] + columns.age_us[at] / 1e6;
      tokens.push({
        at, age, time: strip.as_of - age, type: columns.type[at], reason: columns.reason[at], future: columns.future[at],
        row: place, number: at - start,
      });
    }
    start += strip.tokens;
    return { ...strip, place, tokens, split: tokens.findIndex((token) => token.age <= 0) };
  });
}

// -- words -------------------------------------------------------------------------------------------

const whole = (count) => Math.round(count).toLocaleString("en-US");
const share = (part, all) => {
  if (!all) return "-";
  if (part && part / all < 0.001) return "< 0.1 %";
  return `${Math.min(100 * part / all, part < all ? 99.9 : 100).toFixed(1).replace(/\.0$/, "")} %`;
};
const iso = (seconds) => {
  const moment = new Date(seconds * 1000);
  return Number.isNaN(moment.getTime()) ? `${seconds} s` : moment.toISOString().replace(/\.000Z$/, "Z");
};

const instantText = (strip) => (strip.timeless ? "end" : iso(strip.as_of));

function ageText(seconds) {
  if (seconds < 0) return `-${ageText(-seconds)}`;
  const units = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  for (let place = 0; place < 3; place++) {
    const [unit, size] = units[place];
    if (seconds >= size) {
      const rest = Math.floor((seconds % size) / units[place + 1][1]);
      return `${whole(Math.floor(seconds / size))}${unit}${rest ? rest + units[place + 1][0] : ""}`;
    }
  }
  return `${+seconds.toFixed(6)}s`;
}

function told(data, token) {
  const { head, columns } = data;
  const strip = head.strips[token.row];
  const when = token.age > 0 ? `${ageText(token.age)} before the instant`
    : token.age < 0 ? `${ageText(-token.age)} after the instant` : "at the very instant";
  const lines = [["type", head.types[token.type].name], ["time", iso(token.time)], ["age", when]];
  if (head.arrival) {
    const late = columns.late_s[token.at];
    lines.push(["known", late ? `${ageText(late)} later` : "at once"]);
  }
  head.shown.forEach((name, place) => lines.push([name, text(head.texts[place], columns[`value_${place}`][token.at])]));
  head.enriched.forEach((name, place) => {
    const value = text(head.enriched_texts[place], columns[`added_${place}`][token.at]);
    const from = columns[`from_${place}`] ? columns[`from_${place}`][token.at] : null;
    lines.push([name, value + (from === null || from === head.none ? "" : `, holds from ${iso(token.time - from)}`)]);
  });
  const why = head.reasons[token.reason];
  lines.push([why.key === "selected" ? "in" : "out", why.text]);
  const flags = FLAGS.filter((_, bit) => token.future & (1 << bit));
  if (flags.length) lines.push(["LEAK", `from the example's present or future: ${flags.join(", ")}`]);
  return { title: `${strip.entity} as of ${instantText(strip)}`, lines };
}

const text = (values, code) => (values[code] === null || values[code] === undefined ? "null" : values[code]);

// -- build: the page around the canvas ---------------------------------------------------------------

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function table(heads, rows, label) {
  const head = make("thead", {}, make("tr", {}, ...heads.map((name) => make("th", { scope: "col" }, name))));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell, place) => {
    const number = typeof cell === "object" && !(cell instanceof Node) ? cell : null;
    const inside = number ? number.text : cell;
    return place ? make("td", { class: number ? number.class : "" }, inside) : make("th", { scope: "row", class: number ? number.class : "" }, inside);
  })));
  return make("table", { "aria-label": label }, head, make("tbody", {}, ...body));
}

const right = (value) => ({ text: typeof value === "number" ? whole(value) : value, class: "n" });

function leakPanel({ head }) {
  const [mark] = VERDICTS[head.leak.verdict];
  const rows = head.leak.checks.map((check) => [
    { text: `${VERDICTS[check.verdict][0]} ${check.verdict}`, class: check.verdict }, check.title,
    right(check.count), right(share(check.count, check.of)), check.text,
  ]);
  return make("div", { class: `panel ${head.leak.verdict}`, role: "group", "aria-label": "Leak panel" },
    make("div", { class: `verdict ${head.leak.verdict}` }, `${mark} ${head.leak.said}`),
    make("details", { open: head.leak.verdict !== "ok" }, make("summary", {}, "how it was checked"),
      table(["", "", "found", "", ""], rows, "Leak checks")));
}

function hiddenTable(data, all) {
  const rows = all.map((strip) => [strip.entity, strip.kind, instantText(strip), whole(strip.selected), whole(strip.leaks),
    strip.counts.map(([why, count]) => `${whole(count)} ${why}`).join(", ")]);
  return make("div", { class: "hidden" }, table(["user", "history", "as of", "tokens", "tokens from the future", "events"], rows,
    `Strips of ${data.head.name}`));
}

// -- layout: where each mark stands -------------------------------------------------------------------

function visible(state, strip) {
  return strip.tokens.filter((token) => state.types[token.type] && (state.out || state.data.head.reasons[token.reason].key === "selected"));
}

function anchorOf(state, strip, tokens) {
  if (state.align === "as_of") return { time: strip.as_of, place: tokens.filter((token) => token.age > 0).length };
  const mine = tokens.filter((token) => token.type === +state.align);
  const token = mine[state.nth - 1];
  return token ? { time: token.time, place: tokens.indexOf(token) } : null;
}

function layout(state, width) {
  const inner = width - LABEL - PAD;
  const rows = state.order.map((place) => {
    const strip = state.strips[place];
    const tokens = visible(state, strip);
    return { strip, tokens, anchor: anchorOf(state, strip, tokens) };
  });
  const scale = SCALES[state.mode](state, rows, inner);
  rows.forEach((row, number) => {
    row.y = number * ROW;
    row.gap = gaps(row);
    row.marks = row.anchor ? row.tokens.map((token, place) => ({ token, x: LABEL + scale.x(token, row, place) })) : [];
    row.instant = row.anchor ? LABEL + scale.instant(row) : null;
  });
  return { rows, ...scale, width, inner };
}

// How many events are not drawn before each token that is.
function gaps(row) {
  const missing = new Map();
  const omitted = row.strip.omitted;
  row.tokens.forEach((token, place) => {
    const before = place ? row.tokens[place - 1].number : -1;
    const count = omitted.filter(([at]) => at > before && at <= token.number).reduce((sum, [, n]) => sum + n, 0);
    if (count) missing.set(token, count);
  });
  return missing;
}

const SCALES = {
  position(state, rows, inner) {
    const left = Math.max(1, ...rows.map((row) => (row.anchor ? row.anchor.place : 0)));
    const right_ = Math.max(1, ...rows.map((row) => (row.anchor ? row.tokens.length - row.anchor.place : 0)));
    const step = Math.max(2, Math.min(13, inner / (left + right_ + 1)));
    const zero = Math.min(inner - right_ * step, Math.max(left * step + 4, inner * 0.8));
    const x = (token, row, place) => zero + (place - row.anchor.place + (place >= row.anchor.place ? 0.65 : 0.35)) * step;
    const instant = (row) => {
      const place = row.tokens.findIndex((token) => token.age <= 0);
      return zero + ((place < 0 ? row.tokens.length : place) - row.anchor.place + (state.align === "as_of" ? 0 : 0.5)) * step;
    };
    const every = [100, 50, 20, 10, 5, 1].find((size) => left / size >= 3) || 1;
    const ticks = [];
    for (let at = every; at <= left; at += every) ticks.push([zero - at * step, `${at}`]);
    return { x, instant, ticks, size: Math.min(step - 1, 12), zero, caption: state.align === "as_of" ? "events before the instant" : "events before the aligned one" };
  },
  age(state, rows, inner) {
    const log = (seconds) => Math.sign(seconds) * Math.log10(1 + Math.abs(seconds) / 60);
    const ages = rows.flatMap((row) => (row.anchor ? row.tokens.map((token) => row.anchor.time - token.time) : []));
    const past = Math.max(1, ...ages.map(log)), next = Math.max(0.2, ...ages.map((age) => -log(age)));
    // What lies behind is what is looked for: it keeps three quarters of the room at least.
    const room = inner - 10, zero = room * Math.max(0.75, past / (past + next));
    const at = (seconds) => zero - (log(seconds) / (seconds > 0 ? past : next)) * (seconds > 0 ? zero : room - zero);
    const x = (token, row) => at(row.anchor.time - token.time);
    const names = [["1m", 60], ["10m", 600], ["1h", 3600], ["6h", 21600], ["1d", 86400], ["7d", 604800], ["30d", 2592000], ["1y", 31536000]];
    const ticks = names.flatMap(([name, seconds]) => [[at(seconds), name], [at(-seconds), `+${name}`]]).filter(([place]) => place > 0 && place < room);
    return { x, instant: (row) => at(row.anchor.time - row.strip.as_of), ticks, size: 4, zero, caption: state.align === "as_of" ? "age at the instant" : "before and after the aligned event" };
  },
  calendar(state, rows, inner) {
    const relative = state.align !== "as_of";
    const of = (time, row) => (relative ? time - row.anchor.time : time);
    const times = rows.flatMap((row) => (row.anchor ? [...row.tokens.map((token) => of(token.time, row)), of(row.strip.as_of, row)] : []));
    let low = Infinity, high = -Infinity;
    for (const time of times) { low = Math.min(low, time); high = Math.max(high, time); }
    if (!(high > low)) { low -= 1; high += 1; }
    const room = inner - 10, x = (time) => ((time - low) / (high - low)) * room;
    const count = Math.max(2, Math.floor(room / 120));
    const ticks = Array.from({ length: count }, (_, at) => {
      const time = low + ((high - low) * (at + 0.5)) / count;
      return [x(time), relative ? ageText(time) : iso(time).slice(0, high - low > 4 * 86400 ? 10 : 16).replace("T", " ")];
    });
    return { x: (token, row) => x(of(token.time, row)), instant: (row) => x(of(row.strip.as_of, row)), ticks, size: 4, zero: null, caption: relative ? "from the aligned event" : "time, UTC" };
  },
};

// -- draw ----------------------------------------------------------------------------------------------

function prepare(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.clearRect(0, 0, width, height);
  return pen;
}

function inks(root) {
  const style = getComputedStyle(root);
  const get = (name) => style.getPropertyValue(name).trim();
  return { text: style.color, red: get("--nb-red"), line: get("--nb-line"), focus: get("--nb-focus"), band: get("--nb-band") };
}

function drawStrips(state) {
  const { plan, ink } = state;
  const pen = prepare(state.canvas, plan.width, Math.max(ROW, plan.rows.length * ROW));
  pen.textBaseline = "middle";
  plan.rows.forEach((row, number) => {
    const middle = row.y + ROW / 2;
    if (number === state.focus.row) {
      pen.fillStyle = ink.band;
      pen.fillRect(0, row.y, plan.width, ROW);
    }
    drawLabel(pen, row, middle, ink);
    if (!row.anchor) {
      pen.globalAlpha = 0.6;
      pen.fillStyle = ink.text;
      pen.fillText(row.tokens.length ? "has no such event" : "no events", LABEL, middle);
      pen.globalAlpha = 1;
      return;
    }
    pen.strokeStyle = ink.text;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(row.instant, row.y + 1);
    pen.lineTo(row.instant, row.y + ROW - 1);
    pen.stroke();
    for (const mark of row.marks) drawMark(pen, state, mark, middle, plan.size);
    drawGaps(pen, row, middle, ink, plan.size);
  });
  drawFocus(pen, state);
}

function drawLabel(pen, row, middle, ink) {
  pen.font = "12px system-ui, sans-serif";
  pen.fillStyle = ink.text;
  pen.fillText(fit(pen, row.strip.entity, 84), 4, middle);
  pen.globalAlpha = 0.72;
  pen.font = "11px system-ui, sans-serif";
  pen.fillText(instantText(row.strip).slice(0, 10), 94, middle);
  pen.globalAlpha = 1;
  pen.textAlign = "right";
  pen.fillText(whole(row.strip.selected), LABEL - 44, middle);
  if (row.strip.leaks) {
    pen.fillStyle = ink.red;
    pen.fillText(`✗ ${whole(row.strip.leaks)}`, LABEL - 8, middle);
  }
  pen.textAlign = "left";
}

function fit(pen, words, room) {
  if (pen.measureText(words).width <= room) return words;
  let short = words;
  while (short && pen.measureText(`${short}…`).width > room) short = short.slice(0, -1);
  return `${short}…`;
}

function drawMark(pen, state, { token, x }, middle, size) {
  const why = state.data.head.reasons[token.reason];
  const colour = COLOURS[Math.min(token.type, COLOURS.length - 1)];
  const wide = Math.max(2, size), left = x - wide / 2, top = middle - MARK / 2;
  const letter = state.data.head.types[token.type].letter;
  if (why.key === "selected") {
    pen.globalAlpha = size < 6 ? 0.9 : 1;
    pen.fillStyle = colour;
    pen.fillRect(left, top, wide, MARK);
    if (token.future) {
      pen.fillStyle = state.ink.red;
      pen.fillRect(left, top - 2, wide, MARK - 2);
    }
    pen.globalAlpha = 1;
    if (size >= 7) sign(pen, token.future ? letter.toUpperCase() : letter, x, middle, "#fff");
    return;
  }
  const unknown = why.key === "not_known";
  pen.strokeStyle = unknown ? state.ink.red : colour;
  pen.lineWidth = 1;
  pen.setLineDash(unknown ? [2, 2] : []);
  if (size >= 4) pen.strokeRect(left + 0.5, top + 1.5, wide - 1, MARK - 3);
  else {
    pen.beginPath();
    pen.moveTo(x, top + 3);
    pen.lineTo(x, top + MARK - 3);
    pen.stroke();
  }
  pen.setLineDash([]);
  if (size >= 7) sign(pen, why.sign, x, middle, unknown ? state.ink.red : state.ink.text);
}

function sign(pen, letter, x, middle, colour) {
  pen.font = "9px ui-monospace, monospace";
  pen.textAlign = "center";
  pen.fillStyle = colour;
  pen.fillText(letter, x, middle + 0.5);
  pen.textAlign = "left";
}

function drawGaps(pen, row, middle, ink, size) {
  if (!row.gap.size) return;
  pen.font = "10px system-ui, sans-serif";
  pen.fillStyle = ink.text;
  for (const { token, x } of row.marks) {
    if (!row.gap.has(token)) continue;
    // A torn edge: two short strokes above and below the place where events are left out.
    pen.globalAlpha = 0.85;
    pen.fillRect(x - size / 2 - 1.5, row.y + 2, 2, 4);
    pen.fillRect(x - size / 2 - 1.5, row.y + ROW - 6, 2, 4);
    pen.globalAlpha = 1;
  }
}

function drawFocus(pen, state) {
  const mark = focused(state);
  if (!mark) return;
  const wide = Math.max(state.plan.size, 4) + 6;
  pen.strokeStyle = state.ink.focus;
  pen.lineWidth = 2;
  pen.strokeRect(mark.x - wide / 2, mark.y + 2, wide, ROW - 4);
}

function drawAxis(state) {
  const { plan, ink } = state;
  const pen = prepare(state.axis, plan.width, AXIS);
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  pen.fillStyle = ink.text;
  pen.globalAlpha = 0.72;
  pen.fillText("user", 4, AXIS / 2);
  pen.fillText("as of", 94, AXIS / 2);
  pen.textAlign = "right";
  pen.fillText("tokens", LABEL - 44, AXIS / 2);
  pen.fillText("leaks", LABEL - 8, AXIS / 2);
  pen.textAlign = "center";
  let last = -Infinity;
  for (const [x, name] of [...plan.ticks].sort((one, two) => one[0] - two[0])) {
    const half = pen.measureText(name).width / 2;
    if (x - half < last + 8 || x + half > plan.inner) continue;
    pen.fillText(name, LABEL + x, AXIS / 2);
    pen.fillRect(LABEL + x, AXIS - 4, 1, 4);
    last = x + half;
  }
  pen.globalAlpha = 1;
  state.caption.textContent = plan.caption;
}

// -- point: the nearest mark, its tooltip, its words ----------------------------------------------------

function nearest(state, x, y) {
  const number = Math.floor(y / ROW);
  const row = state.plan.rows[number];
  if (!row) return null;
  let best = null;
  row.marks.forEach((mark, place) => {
    const off = Math.abs(mark.x - x);
    if (off < Math.max(8, state.plan.size) && (!best || off < best.off)) best = { row: number, place, off };
  });
  return best;
}

function focused(state) {
  const row = state.plan.rows[state.focus.row];
  const mark = row && row.marks[state.focus.place];
  return mark ? { ...mark, y: row.y } : null;
}

function showTip(state, mark) {
  const { title, lines } = told(state.data, mark.token);
  const hidden = state.plan.rows[state.focus.row].gap.get(mark.token);
  if (hidden) lines.push(["before it", `${whole(hidden)} events are not drawn`]);
  state.tip.replaceChildren(make("b", {}, title), table(["", ""], lines.map(([name, value]) => [{ text: name, class: name === "LEAK" ? "leak" : "" }, value]), title),
    make("small", {}, state.pinned ? "pinned: Escape lets go" : "Enter or a click pins it"));
  state.tip.hidden = false;
  state.tip.classList.toggle("pinned", state.pinned);
  const shell = state.shell.getBoundingClientRect(), canvas = state.canvas.getBoundingClientRect();
  const x = canvas.left - shell.left + mark.x, y = canvas.top - shell.top + mark.y;
  const wide = state.tip.offsetWidth, tall = state.tip.offsetHeight;
  state.tip.style.left = `${Math.max(0, Math.min(x + 12, shell.width - wide - 4))}px`;
  state.tip.style.top = `${y + ROW + tall > shell.height && y > tall ? y - tall - 4 : y + ROW + 2}px`;
}

function hideTip(state) {
  if (!state.pinned) state.tip.hidden = true;
}

function say(state) {
  const row = state.plan.rows[state.focus.row];
  if (!row) return;
  const mark = focused(state);
  if (!mark) {
    state.live.textContent = `${row.strip.entity}, ${row.strip.kind} history, ${whole(row.strip.selected)} tokens, nothing to point at`;
    return;
  }
  const { lines } = told(state.data, mark.token);
  state.live.textContent = `${row.strip.entity}, event ${state.focus.place + 1} of ${row.marks.length}: ${lines.map(([name, value]) => `${name} ${value}`).join("; ")}`;
}

// -- keys ------------------------------------------------------------------------------------------------

function move(state, row, place) {
  const rows = state.plan.rows;
  const next = Math.max(0, Math.min(rows.length - 1, row));
  const marks = rows[next] ? rows[next].marks.length : 0;
  state.focus = { row: next, place: Math.max(0, Math.min(marks - 1, place)) };
  state.pinned = false;
  const top = next * ROW;
  if (top < state.scroll.scrollTop) state.scroll.scrollTop = top;
  if (top + ROW > state.scroll.scrollTop + state.scroll.clientHeight) state.scroll.scrollTop = top + ROW - state.scroll.clientHeight;
  refresh(state, false);
  const mark = focused(state);
  if (mark) showTip(state, mark);
  else hideTip(state);
  say(state);
}

// Up and down keep the place on the screen: the mark nearest to where one was.
function moveRow(state, by) {
  const mark = focused(state);
  const row = Math.max(0, Math.min(state.plan.rows.length - 1, state.focus.row + by));
  const marks = state.plan.rows[row] ? state.plan.rows[row].marks : [];
  let place = marks.length - 1;
  if (mark && state.focus.row >= 0) {
    marks.forEach((each, at) => { if (Math.abs(each.x - mark.x) < Math.abs(marks[place].x - mark.x)) place = at; });
  }
  move(state, row, place);
}

function onKey(state, event) {
  const { row, place } = state.focus;
  const last = state.plan.rows[row] ? state.plan.rows[row].marks.length - 1 : 0;
  const acts = {
    ArrowLeft: () => move(state, Math.max(row, 0), place - 1),
    ArrowRight: () => move(state, Math.max(row, 0), place + 1),
    ArrowUp: () => moveRow(state, -1),
    ArrowDown: () => moveRow(state, 1),
    PageUp: () => moveRow(state, -10),
    PageDown: () => moveRow(state, 10),
    Home: () => move(state, Math.max(row, 0), 0),
    End: () => move(state, Math.max(row, 0), last),
    Enter: () => pin(state),
    " ": () => pin(state),
    Escape: () => { state.pinned = false; hideTip(state); },
  };
  if (!acts[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
  // JupyterLab's own shortcuts must not act on a key that was meant for the strips.
  event.preventDefault();
  event.stopPropagation();
  acts[event.key]();
}

function pin(state) {
  const mark = focused(state);
  if (!mark) return;
  state.pinned = !state.pinned;
  showTip(state, mark);
  say(state);
}

// -- controls --------------------------------------------------------------------------------------------

function controls(state) {
  const { head } = state.data;
  const radios = make("fieldset", { class: "group" }, make("legend", {}, "across"), ...MODES.map(([mode, name]) =>
    make("label", {}, make("input", { type: "radio", name: state.id, value: mode, checked: mode === state.mode, onchange: () => { state.mode = mode; refresh(state); } }), name)));
  const nth = make("input", { type: "number", min: 1, max: 99, value: 1, "aria-label": "which one", disabled: true,
    onchange: (event) => { state.nth = Math.max(1, +event.target.value || 1); refresh(state); } });
  const align = make("select", { onchange: (event) => { state.align = event.target.value; nth.disabled = state.align === "as_of"; refresh(state); } },
    make("option", { value: "as_of" }, "the instant"), ...head.types.map((type, at) => make("option", { value: at }, type.name)));
  const sort = make("select", { onchange: (event) => { state.sort = event.target.value; order(state); refresh(state); } },
    ...Object.entries(SORTS).map(([key, [name]]) => make("option", { value: key }, name)));
  const types = head.types.map((type, at) => make("button", {
    type: "button", class: "chip", "aria-pressed": "true", title: type.rule,
    onclick: (event) => { state.types[at] = !state.types[at]; event.currentTarget.setAttribute("aria-pressed", state.types[at]); refresh(state); },
  }, swatch(at, type.letter), `${type.name} · ${type.rule}`));
  const out = make("button", { type: "button", class: "chip", "aria-pressed": "true",
    onclick: (event) => { state.out = !state.out; event.currentTarget.setAttribute("aria-pressed", state.out); refresh(state); } },
  make("span", { class: "swatch hollow" }), "what is out");
  return make("div", { class: "controls" },
    make("div", { class: "bar" }, radios, make("label", {}, "align on ", align), make("label", {}, "no. ", nth), make("label", {}, "sort by ", sort)),
    make("div", { class: "bar", role: "group", "aria-label": "Types shown" }, ...types, out),
    make("div", { class: "dim" }, "red: from the future · hollow: out, ", ...head.reasons.filter((why) => why.met).map((why) => `${why.sign} ${why.text} `)));
}

function swatch(at, letter) {
  const node = make("span", { class: "swatch" }, letter);
  node.style.background = COLOURS[Math.min(at, COLOURS.length - 1)];
  return node;
}

const SORTS = {
  given: ["history, short to heavy", (one, two) => one.place - two.place],
  heavy: ["history, heavy to short", (one, two) => two.place - one.place],
  leaks: ["tokens from the future", (one, two) => two.leaks - one.leaks],
  user: ["user", (one, two) => one.entity.localeCompare(two.entity, "en", { numeric: true })],
  as_of: ["instant", (one, two) => one.as_of - two.as_of],
};

function order(state) {
  const by = SORTS[state.sort][1];
  state.order = [...state.strips].sort((one, two) => by(one, two) || one.place - two.place).map((strip) => strip.place);
  state.focus = { row: -1, place: 0 };
}

// -- charts: steps and small multiples --------------------------------------------------------------------

function stepsTable({ head }) {
  return table(["step", "in", "out", "why"], head.steps.map((step) => [step.name, right(step.rows_in), right(step.rows_out), step.why]), "Steps");
}

function histogram(chart) {
  const top = Math.max(1, ...chart.counts), total = chart.counts.reduce((sum, count) => sum + count, 0);
  const bars = chart.counts.map((count, at) => {
    const bar = make("i", { class: at === chart.mark ? "mark" : "", title: `${chart.labels[at]}: ${whole(count)} (${share(count, total)})` });
    bar.style.height = `${(100 * count) / top}%`;
    return bar;
  });
  const said = chart.labels.map((label, at) => `${label}: ${whole(chart.counts[at])}`).join(", ");
  return make("figure", {}, make("figcaption", {}, chart.name),
    make("div", { class: "bars", role: "img", "aria-label": `${chart.name}: ${said}` }, ...bars),
    make("div", { class: "ends" }, make("span", {}, chart.labels[0] || ""), make("span", {}, chart.labels[chart.labels.length - 1] || "")),
    make("div", { class: "dim" }, [chart.mark_text, chart.note].filter(Boolean).join(" · ")));
}

function shares(title, list) {
  if (!list.length) return null;
  return make("figure", {}, make("figcaption", {}, title), table(["", "", ""], list.map((each) => {
    const fill = make("i");
    fill.style.width = `${each.of ? (100 * each.count) / each.of : 0}%`;
    return [each.name, make("span", {}, make("span", { class: "share" }, fill), share(each.count, each.of)), each.note];
  }), title));
}

// -- batch: the padded array as a heat strip ---------------------------------------------------------------

function batch(state) {
  const { head, columns } = state.data;
  if (!head.models.length || !head.models[0].rows.length) return null;
  const canvas = make("canvas", { role: "img" });
  const hover = make("div", { class: "dim", "aria-live": "off" }, " ");
  const chosen = { view: 0, grid: -1 };
  const pick = make("select", { "aria-label": "what is drawn", onchange: (event) => {
    const [view, grid] = event.target.value.split(":").map(Number);
    Object.assign(chosen, { view, grid });
    draw();
  } }, ...head.models.flatMap((view, at) => [[-1, "types and mask"], ...view.grids.map((grid, place) => [place, `${grid.name} (${grid.function}, ${grid.dtype})`])]
    .map(([place, name]) => make("option", { value: `${at}:${place}` }, `${view.event_type ? `${view.event_type}: ` : ""}${name}`))));
  const cell = () => Math.max(2, Math.min(12, (state.width - 100) / head.models[chosen.view].places.length));
  const values = () => (chosen.grid < 0 ? null : columns[`grid_${chosen.view}_${chosen.grid}`]);
  function draw() {
    const view = head.models[chosen.view], step = cell(), tall = 11, numbers = values(), types = columns[`model_${chosen.view}`];
    const pen = prepare(canvas, 96 + step * view.places.length, tall * view.rows.length + 2);
    let low = Infinity, high = -Infinity;
    if (numbers) for (let at = 0; at < numbers.length; at++) if (types[at] >= 0) { low = Math.min(low, numbers[at]); high = Math.max(high, numbers[at]); }
    pen.font = "10px system-ui, sans-serif";
    pen.textBaseline = "middle";
    view.rows.forEach((entity, row) => {
      pen.fillStyle = state.ink.text;
      pen.fillText(fit(pen, entity, 88), 2, row * tall + tall / 2 + 1);
      view.places.forEach((_, place) => {
        const at = row * view.places.length + place, x = 96 + place * step, y = row * tall + 1;
        if (types[at] < 0) {
          pen.fillStyle = state.ink.line;
          pen.fillRect(x, y + tall / 2 - 1, Math.max(1, step - 1), 1);
          return;
        }
        pen.globalAlpha = numbers ? 0.15 + 0.85 * ((numbers[at] - low) / (high - low || 1)) : 1;
        pen.fillStyle = numbers ? COLOURS[0] : COLOURS[Math.min(types[at], COLOURS.length - 1)];
        pen.fillRect(x, y, Math.max(1, step - (step > 4 ? 1 : 0)), tall - 1);
        pen.globalAlpha = 1;
      });
    });
    canvas.setAttribute("aria-label", `[${view.rows.length}, ${view.length}] ${view.order}, padded on the ${view.pad}`);
    title.textContent = `[${view.rows.length}, ${view.length}] · ${view.order.replace("_", " ")} · padded on the ${view.pad} · a line is padding`
      + (view.places.length < view.length ? ` · ${view.places.length} of the places` : "");
  }
  canvas.addEventListener("pointermove", (event) => {
    const view = head.models[chosen.view], box = canvas.getBoundingClientRect();
    const place = Math.floor((event.clientX - box.left - 96) / cell()), row = Math.floor((event.clientY - box.top - 1) / 11);
    if (place < 0 || place >= view.places.length || row < 0 || row >= view.rows.length) { hover.textContent = " "; return; }
    const at = row * view.places.length + place, type = columns[`model_${chosen.view}`][at];
    const said = type < 0 ? "padding" : head.types[type].name, number = values();
    hover.textContent = `${view.rows[row]} [${view.places[place]}]: ${said}${number ? ` ${+number[at].toPrecision(6)}` : ""}`;
  });
  const title = make("div", {});
  state.drawBatch = draw;
  return make("details", { ontoggle: (event) => { if (event.currentTarget.open) draw(); } }, make("summary", {}, "the model's view"),
    make("div", { class: "bar" }, pick, title), make("div", { class: "wide" }, canvas), hover);
}

// -- render ------------------------------------------------------------------------------------------------

function refresh(state, again = true) {
  if (again) {
    state.pinned = false;
    state.tip.hidden = true;
    state.ink = inks(state.shell);
    state.plan = layout(state, state.width);
    drawAxis(state);
  }
  drawStrips(state);
}

// Light text means a dark page, whichever host sets it.
function theme(state) {
  const parts = (getComputedStyle(state.shell).color.match(/[\d.]+/g) || []).map(Number);
  const light = 0.299 * parts[0] + 0.587 * parts[1] + 0.114 * parts[2] > 128;
  state.shell.toggleAttribute("data-dark", light);
}

function show(data, el) {
  const { head } = data;
  const all = strips(data);
  const state = {
    id: `nb-${Math.random().toString(36).slice(2)}`, data, strips: all, mode: "position", align: "as_of", nth: 1, sort: "given", out: true,
    types: head.types.map(() => true), focus: { row: -1, place: 0 }, pinned: false, width: 900,
  };
  order(state);
  state.axis = make("canvas", { "aria-hidden": "true", class: "axis" });
  state.canvas = make("canvas", { tabindex: 0, role: "application", "aria-roledescription": "strips", "aria-describedby": `${state.id}-keys`,
    "aria-label": `${all.length} users of ${head.name}, ${head.leak.said}` });
  state.scroll = make("div", { class: "scroll" }, state.canvas);
  state.caption = make("div", { class: "dim caption" });
  state.tip = make("div", { class: "tip", hidden: true });
  state.live = make("div", { class: "hidden", "aria-live": "polite", role: "status" });
  const keys = make("div", { class: "dim", id: `${state.id}-keys` }, "keys: ← → events · ↑ ↓ users · Home End · Enter pins · Escape");
  state.shell = make("section", { class: "nb-explorer", "aria-label": `Explorer of sequence ${head.name}` },
    make("div", { class: "title" }, head.title), leakPanel(data), ...head.warnings.map((said) => make("div", { class: "risk" }, `! ${said}`)),
    make("details", {}, make("summary", {}, "events, types, defaults"), table(["", ""], head.facts, "Facts")),
    make("details", {}, make("summary", {}, "steps"), stepsTable(data)),
    controls(state), state.axis, state.scroll, make("div", { class: "bar" }, keys, state.caption), state.tip, state.live, hiddenTable(data, all),
    make("details", {}, make("summary", {}, `charts over ${head.looked}`),
      make("div", { class: "figures" }, ...head.types.map((type) => histogram(type.lengths)), histogram(head.staleness),
        shares("enrichment hits", head.hits), shares("in the vocabulary", head.vocab))),
    batch(state));
  el.replaceChildren(state.shell);
  return listen(state);
}

function listen(state) {
  const at = (event) => {
    const box = state.canvas.getBoundingClientRect();
    return nearest(state, event.clientX - box.left, event.clientY - box.top);
  };
  state.canvas.addEventListener("pointermove", (event) => {
    if (state.pinned) return;
    const found = at(event);
    if (!found) { hideTip(state); return; }
    if (found.row === state.focus.row && found.place === state.focus.place && !state.tip.hidden) return;
    state.focus = { row: found.row, place: found.place };
    refresh(state, false);
    showTip(state, focused(state));
  });
  state.canvas.addEventListener("pointerleave", () => hideTip(state));
  state.canvas.addEventListener("click", (event) => {
    const found = at(event);
    state.pinned = false;
    if (!found) { hideTip(state); return; }
    state.focus = { row: found.row, place: found.place };
    refresh(state, false);
    pin(state);
  });
  state.canvas.addEventListener("keydown", (event) => onKey(state, event));
  state.canvas.addEventListener("focus", () => { if (state.focus.row < 0) move(state, 0, Infinity); });
  state.canvas.addEventListener("blur", () => hideTip(state));
  const again = () => {
    theme(state);
    state.width = Math.max(480, Math.floor(state.scroll.clientWidth) || 900);
    refresh(state);
    if (state.drawBatch) state.drawBatch();
  };
  const sizes = new ResizeObserver(again);
  sizes.observe(state.shell);
  // JupyterLab marks the body when its theme changes; everything else follows the system.
  const marks = new MutationObserver(again);
  for (const node of [document.body, document.documentElement]) {
    marks.observe(node, { attributes: true, attributeFilter: ["data-jp-theme-name", "data-jp-theme-light", "class", "style", "data-theme"] });
  }
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", again);
  again();
  return () => { sizes.disconnect(); marks.disconnect(); dark.removeEventListener("change", again); };
}

async function render({ model, el }) {
  let stop = () => {};
  async function paint() {
    stop();
    try {
      stop = show(await unpack(model.get("packed")), el);
    } catch (error) {
      el.textContent = `The explorer cannot be drawn here (${error}); the static picture says the same.`;
      throw error;
    }
  }
  model.on("change:packed", paint);
  await paint();
  return () => { model.off("change:packed", paint); stop(); };
}

export default { render };
