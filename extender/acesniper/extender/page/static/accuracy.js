// @ts-check
/** The accuracy view: predicted against observed latency. */
import { html, useState } from "./h.js";
import { useView, useWidth } from "./data.js";
import { count, digits, off, percent, seconds, short, tick } from "./format.js";
import { logarithmic, logTicks } from "./scale.js";
import { taskLink, Waiting } from "./parts.js";

const EDGE = { left: 58, right: 14, top: 10, bottom: 42 };
const NEAR = 0.25;
const WORST = 8;

/** @typedef {{task: string, model: string, device: string, predicted: number, low: number, high: number, observed: number, inside: boolean}} Point */

/** @param {any[]} row @returns {Point} */
const point = ([task, model, device, predicted, low, high, observed]) => ({
  task, model, device, predicted, low, high, observed, inside: observed >= low && observed <= high,
});

/** @param {{points: Point[], chosen: Point | null, onChoose: (point: Point | null) => void}} props */
function Scatter({ points, chosen, onChoose }) {
  const [place, full] = useWidth(640);
  const size = Math.max(full, 240);
  const height = Math.min(size * 0.82, 520);
  const all = points.flatMap((each) => [each.predicted, each.observed]);
  const low = Math.min(...all) * 0.8;
  const high = Math.max(...all) * 1.25;
  const share = logarithmic(low, high);
  const x = (/** @type {number} */ value) => EDGE.left + share(value) * (size - EDGE.left - EDGE.right);
  const y = (/** @type {number} */ value) => height - EDGE.bottom - share(value) * (height - EDGE.top - EDGE.bottom);
  const ticks = logTicks(low, high).filter((_, each, list) => size > 420 || list.length < 5 || each % 2 === 0);
  const edge = (/** @type {number} */ factor) => `${x(low)},${y(low * factor)} ${x(high)},${y(high * factor)}`;
  const back = (/** @type {number} */ factor) => `${x(high)},${y(high * factor)} ${x(low)},${y(low * factor)}`;
  const find = (/** @type {any} */ event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const [left, top] = [event.clientX - box.left, event.clientY - box.top];
    const far = (/** @type {Point} */ each) => Math.hypot(x(each.predicted) - left, y(each.observed) - top);
    const nearest = points.reduce((best, each) => (far(each) < far(best) ? each : best), points[0]);
    return far(nearest) < 24 ? nearest : null;
  };
  return html`<div ref=${place}><svg width=${size} height=${height} role="img" aria-label="Observed over predicted latency of recently finished tasks"
      onPointerMove=${(/** @type {any} */ event) => onChoose(find(event))}
      onClick=${(/** @type {any} */ event) => { const found = find(event); if (found) location.hash = taskLink(found.task); }}>
    <clipPath id="inner"><rect x=${EDGE.left} y=${EDGE.top} width=${size - EDGE.left - EDGE.right} height=${height - EDGE.top - EDGE.bottom} /></clipPath>
    <g clip-path="url(#inner)"><polygon class="band" points=${`${edge(1 + NEAR)} ${back(1 - NEAR)}`} /></g>
    ${ticks.map((each) => html`<g>
      <line class="grid" x1=${x(each)} x2=${x(each)} y1=${EDGE.top} y2=${height - EDGE.bottom} />
      <line class="grid" x1=${EDGE.left} x2=${size - EDGE.right} y1=${y(each)} y2=${y(each)} />
      <text x=${x(each)} y=${height - EDGE.bottom + 17} text-anchor="middle">${tick(each)}</text>
      <text x=${EDGE.left - 8} y=${y(each) + 4} text-anchor="end">${tick(each)}</text></g>`)}
    <line class="even" x1=${x(low)} y1=${y(low)} x2=${x(high)} y2=${y(high)} />
    ${points.map((each) => each.inside
      ? html`<circle class=${`dot ${each === chosen ? "chosen" : ""}`} cx=${x(each.predicted)} cy=${y(each.observed)} r="3.6" />`
      : html`<rect class=${`dot outside ${each === chosen ? "chosen" : ""}`} x=${x(each.predicted) - 3.6} y=${y(each.observed) - 3.6} width="7.2" height="7.2"
          transform=${`rotate(45 ${x(each.predicted)} ${y(each.observed)})`} />`)}
    <text class="ink" x=${size - EDGE.right} y=${height - 6} text-anchor="end">predicted</text>
    <text class="ink" x=${EDGE.left + 8} y=${EDGE.top + 14}>observed</text>
  </svg></div>`;
}

/** @param {{points: Point[]}} props */
const Worst = ({ points }) => html`<div class="panel"><div class="scroll"><table>
  <thead><tr><th>Largest errors</th><th class="num">Predicted</th><th class="num">Observed</th><th class="num">Error</th></tr></thead>
  <tbody>${points.map((each) => html`<tr>
    <td><a class="name" href=${taskLink(each.task)}>${short(each.task)}</a><span class="sub name">${each.model} on ${each.device}</span></td>
    <td class="num">${seconds(each.predicted)}</td><td class="num">${seconds(each.observed)}</td>
    <td class="num">${off(each.predicted, each.observed)}</td></tr>`)}
  </tbody></table></div></div>`;

export function Accuracy() {
  const [chosen, setChosen] = useState(/** @type {Point | null} */ (null));
  const { data, error } = useView("api/accuracy");
  const points = data ? data.points.map(point) : [];
  const far = (/** @type {Point} */ each) => Math.abs(Math.log(each.observed / each.predicted));
  const worst = [...points].sort((one, other) => far(other) - far(one)).slice(0, WORST);
  return html`
    <div class="lead"><h2>Predicted against observed</h2>
      <p>Latency of one inference for each recently finished task. Points on the line were predicted exactly.</p></div>
    ${!data ? html`<${Waiting} error=${error} />` : !points.length ? html`<div class="panel empty">No task has finished yet.</div>` : html`
    <div class="two">
      <div class="panel pad">
        <div class="key">
          <span><i class="inside"></i>inside its 90 % interval</span><span><i class="outside"></i>outside</span>
          <span><i class="band"></i>within 25 %</span></div>
        <${Scatter} points=${points} chosen=${chosen} onChoose=${setChosen} />
        <p class="spot">${chosen ? html`<b>${short(chosen.task)}</b>: ${chosen.model} on ${chosen.device}, ${seconds(chosen.predicted)} predicted
          (${seconds(chosen.low)} to ${seconds(chosen.high)}), ${seconds(chosen.observed)} observed` : "Point at a task for its figures; click it for the reasons of its placement."}</p>
      </div>
      <div class="stack">
        <dl class="panel pad facts">
          <div><dt>Median error</dt><dd>${percent(data.medianErrorRatio)}</dd></div>
          <div><dt>Inside the interval</dt><dd>${percent(data.insideRatio)}</dd></div>
          <div><dt>Observed / predicted</dt><dd>${digits(data.observedOverPredicted)}</dd></div>
          <div><dt>Tasks</dt><dd>${count(data.tasks)}</dd></div>
        </dl>
        <${Worst} points=${worst} />
      </div>
    </div>`}`;
}
