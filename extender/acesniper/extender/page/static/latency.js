// @ts-check
/** The latency view: predicted latency of every model on every device, in blocks where there are many. */
import { html, useEffect, useRef, useState } from "./h.js";
import { likelyWidth, query, useView, useWidth } from "./data.js";
import { count, seconds, short } from "./format.js";
import { colour, css, logarithmic, onto } from "./scale.js";
import { Waiting } from "./parts.js";

const ROW = 16;
const MOST_ROWS = 40;
const READABLE = 12;
const ALL = { row: 0, rows: 1_000_000, column: 0, columns: 1_000_000 };

/** @param {any} group @param {boolean} last */
const name = (group, last = false) => short(last ? group.last : group.first);
/** @param {any} group @param {string} what */
const label = (group, what) => (group.count === 1 ? name(group) : `${count(group.count)} ${what} like ${name(group)}`);

/** @param {any} heat */
function scaleOf(heat) {
  const all = heat.latencySeconds.flat().filter((/** @type {number | null} */ each) => each !== null);
  const low = all.length ? Math.min(...all) : 1e-3;
  const high = all.length ? Math.max(...all) : 1;
  const share = logarithmic(low, high);
  return { low, high, of: (/** @type {number} */ value) => colour(share(value)) };
}

/** @param {{scale: any}} props */
function Key({ scale }) {
  const place = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  useEffect(() => {
    const brush = place.current?.getContext("2d");
    if (!brush) return;
    for (let x = 0; x < 160; x += 1) {
      brush.fillStyle = css(colour(x / 159));
      brush.fillRect(x, 0, 1, 10);
    }
  }, []);
  return html`<div class="scale"><span>${seconds(scale.low)}</span><canvas ref=${place} width="160" height="10"
    aria-hidden="true"></canvas><span>${seconds(scale.high)}</span></div>`;
}

/** A table, for few pairs. @param {{heat: any, scale: any}} props */
const Cells = ({ heat, scale }) => html`<div class="scroll pad"><table class="cells">
  <thead><tr><td></td>${heat.columns.map((/** @type {any} */ each) => html`<th scope="col">${name(each)}</th>`)}</tr></thead>
  <tbody>${heat.rows.map((/** @type {any} */ row, /** @type {number} */ y) => html`<tr><th scope="row">${name(row)}</th>
    ${heat.columns.map((/** @type {any} */ _, /** @type {number} */ x) => {
      const value = heat.latencySeconds[y][x];
      if (value === null) return html`<td class="faint">–</td>`;
      const rgb = scale.of(value);
      return html`<td style=${{ background: css(rgb), color: onto(rgb) }}><b>${seconds(value)}</b>
        <small>${seconds(heat.lowSeconds[y][x])} to ${seconds(heat.highSeconds[y][x])}</small></td>`;
    })}</tr>`)}
  </tbody></table></div>`;

/**
 * A heat map, for many pairs, with a cursor moved by pointer and arrow keys.
 * @param {{heat: any, scale: any, onZoom: (row: any, column: any) => void, onLeave: () => void}} props
 */
function HeatMap({ heat, scale, onZoom, onLeave }) {
  const [place, width] = useWidth(600);
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const [[y, x], setCursor] = useState([0, 0]);
  const rows = heat.rows.length;
  const columns = heat.columns.length;
  const height = rows * ROW;
  const [at, to] = [heat.rows[Math.min(y, rows - 1)], heat.columns[Math.min(x, columns - 1)]];
  useEffect(() => {
    const element = canvas.current;
    const brush = element?.getContext("2d");
    if (!element || !brush) return;
    const dots = devicePixelRatio || 1;
    element.width = Math.round(width * dots);
    element.height = Math.round(height * dots);
    brush.scale(dots, dots);
    const step = width / columns;
    const gap = step > 5 ? 1 : 0;
    heat.latencySeconds.forEach((/** @type {(number | null)[]} */ line, /** @type {number} */ row) =>
      line.forEach((value, column) => {
        if (value === null) return;
        brush.fillStyle = css(scale.of(value));
        brush.fillRect(column * step, row * ROW, step - gap + (gap ? 0 : 0.6), ROW - 1);
      }),
    );
    brush.strokeStyle = "#fff";
    brush.lineWidth = 3.5;
    brush.strokeRect(x * step, y * ROW - 0.5, Math.max(step - gap, 3), ROW);
    brush.strokeStyle = "#111";
    brush.lineWidth = 1.5;
    brush.strokeRect(x * step, y * ROW - 0.5, Math.max(step - gap, 3), ROW);
  }, [heat, width, x, y]);
  const find = (/** @type {any} */ event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const within = (/** @type {number} */ share, /** @type {number} */ size) => Math.min(Math.max(Math.floor(share * size), 0), size - 1);
    return [within((event.clientY - box.top) / box.height, rows), within((event.clientX - box.left) / box.width, columns)];
  };
  const press = (/** @type {KeyboardEvent} */ event) => {
    const steps = /** @type {Record<string, [number, number]>} */ ({ ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] });
    if (event.key in steps) {
      const [down, across] = steps[event.key];
      setCursor([Math.min(Math.max(y + down, 0), rows - 1), Math.min(Math.max(x + across, 0), columns - 1)]);
    } else if (event.key === "Enter") onZoom(at, to);
    else if (event.key === "Escape") onLeave();
    else return;
    event.preventDefault();
  };
  const value = heat.latencySeconds[Math.min(y, rows - 1)][Math.min(x, columns - 1)];
  const every = Math.max(1, Math.ceil(14 / ROW));
  return html`
    <p class="reading" aria-live="polite">
      <b>${value === null ? "not predicted" : seconds(value)}</b>
      ${value !== null && html`<span class="soft">90 %: ${seconds(heat.lowSeconds[Math.min(y, rows - 1)][Math.min(x, columns - 1)])} to ${seconds(heat.highSeconds[Math.min(y, rows - 1)][Math.min(x, columns - 1)])}</span>`}
      <span>${label(at, "models")} <span class="soft">on</span> ${label(to, "devices")}</span>
    </p>
    <div class="map">
      <div class="names" style=${{ height: `${height}px` }}>
        ${heat.rows.map((/** @type {any} */ each, /** @type {number} */ row) => row % every ? null : html`
          <span class="clip" style=${{ top: `${(row + 0.5) * ROW}px` }}>${name(each)}</span>`)}
      </div>
      <div ref=${place}><canvas ref=${canvas} tabindex="0" role="img" style=${{ height: `${height}px` }}
        aria-label="Heat map of latencies. Arrow keys move, Enter zooms in, Escape goes back."
        onPointerMove=${(/** @type {any} */ event) => setCursor(find(event))}
        onClick=${(/** @type {any} */ event) => { const [row, column] = find(event); onZoom(heat.rows[row], heat.columns[column]); }}
        onKeyDown=${press}></canvas></div>
      <div class="across"><span>← faster devices</span><span class="mid">each row is a model, or a group of similar speed</span><span>slower →</span></div>
    </div>`;
}

export function Latency() {
  const [place, width] = useWidth(likelyWidth());
  const [path, setPath] = useState([ALL]);
  const window_ = path[path.length - 1];
  const most = Math.min(Math.max(Math.floor((width - 220) / 90) * 10, 20), 120);
  const { data: heat, error } = useView(`api/latency${query({ ...window_, height: MOST_ROWS, width: most })}`, 5000);
  const leave = () => setPath((/** @type {any[]} */ each) => (each.length > 1 ? each.slice(0, -1) : each));
  const zoom = (/** @type {any} */ row, /** @type {any} */ column) => {
    if (row.count === 1 && column.count === 1) return;
    const wide = (/** @type {any} */ group, /** @type {number} */ least) => {
      const size = Math.max(group.count, least);
      return [Math.max(group.at - Math.floor((size - group.count) / 2), 0), size];
    };
    const [at, rows] = wide(row, 12);
    const [from, columns] = wide(column, READABLE);
    setPath((/** @type {any[]} */ each) => [...each, { row: at, rows, column: from, columns }]);
  };
  const known = heat && heat.rows.length > 0 && heat.columns.length > 0;
  const scale = known ? scaleOf(heat) : null;
  const few = known && heat.columns.length <= READABLE && heat.columns.every((/** @type {any} */ each) => each.count === 1);
  const readable = few && heat.rows.every((/** @type {any} */ each) => each.count === 1);
  const span = (/** @type {any[]} */ groups) => {
    const last = groups[groups.length - 1];
    return `${count(groups[0].at + 1)} to ${count(last.at + last.count)}`;
  };
  return html`<div ref=${place}>
    <div class="lead"><h2>Predicted latency</h2>
      <p>Latency of one inference of each model on each device, whether or not it ran there, with its 90 % interval.</p></div>
    ${!heat ? html`<${Waiting} error=${error} />` : !known ? html`<div class="panel empty">No model has been profiled or no device probed yet.</div>` : html`
    <div class="tools">
      ${path.length > 1 && html`<button onClick=${leave}>← Back</button>`}
      <span class="grow soft">${path.length > 1
        ? `Models ${span(heat.rows)} of ${count(heat.models)}, devices ${span(heat.columns)} of ${count(heat.devices)}`
        : `${count(heat.models)} models on ${count(heat.devices)} devices, by ${heat.source}`}</span>
      <${Key} scale=${scale} />
    </div>
    <div class="panel">${readable ? html`<${Cells} heat=${heat} scale=${scale} />`
      : html`<${HeatMap} heat=${heat} scale=${scale} onZoom=${zoom} onLeave=${leave} />`}</div>
    ${!readable && html`<p class="soft small" style=${{ marginTop: "10px" }}>Click or press Enter to zoom in.</p>`}`}
  </div>`;
}
