// @ts-check
/** The plan view: a timeline for each device, with running and planned tasks. */
import { html, useState } from "./h.js";
import { now, query, useView, useWidth } from "./data.js";
import { count, seconds, short, tick } from "./format.js";
import { timeStep } from "./scale.js";
import { Pager, Search, taskLink, Waiting } from "./parts.js";

const SIZE = 20;
const ROW = 30;
const PAST = 0.14;
const TOP = 24;

/** Text truncated to the available width; empty if there is too little. @param {string} text @param {number} room */
function fitting(text, room) {
  const most = Math.floor((room - 12) / 6.4);
  return most < 4 ? "" : text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

/** Name shortened in the middle, since names of a fleet often share a prefix. @param {string} text @param {number} room */
function ends(text, room) {
  const most = Math.floor(room / 7);
  const half = Math.floor((most - 1) / 2);
  return text.length <= most ? text : `${text.slice(0, half)}…${text.slice(-half)}`;
}

/** @param {{bar: any, y: number, x: (at: number) => number, width: number, when: number}} props */
function Bar({ bar, y, x, width, when }) {
  // A task whose planned start has passed is about to start.
  const delay = bar.kind === "planned" ? Math.max(when - bar.start, 0) : 0;
  const from = Math.max(x(bar.start + delay), 0);
  const to = Math.min(x(bar.end + delay), width);
  if (to <= from) return null;
  const kind = bar.kind === "planned" ? "planned" : bar.late ? "late" : "running";
  const room = Math.max(to - from - 1.5, 2);
  const starts = bar.kind === "planned" ? `starts in ${seconds(Math.max(bar.start - when, 0))}, takes ${seconds(bar.end - bar.start)}`
    : `${bar.late ? "longer than predicted; " : ""}${seconds(Math.max(bar.end - when, 0))} left`;
  const label = `${short(bar.task)}: ${bar.model || "unknown model"}, ${starts}`;
  return html`<a href=${taskLink(bar.task)} aria-label=${label}>
    <title>${label}</title>
    <rect class=${kind} x=${from} y=${y + 4} width=${room} height=${ROW - 8} rx="3" />
    <text class=${kind === "running" ? "on" : kind === "late" ? "on amber" : "off"} x=${from + 6} y=${y + ROW / 2 + 4}>${fitting(short(bar.task), room)}</text>
  </a>`;
}

/** @param {{plan: any}} props */
function Lines({ plan }) {
  const [place, full] = useWidth(1000);
  const names = full < 560 ? 96 : 170;
  const width = Math.max(full - names - 16, 120);
  const when = now();
  const span = Math.max(...plan.devices.map((/** @type {any} */ each) => each.free - when), 10) * 1.03;
  const x = (/** @type {number} */ at) => width * PAST + ((at - when) / span) * width * (1 - PAST);
  const step = timeStep(span, Math.max(width / 90, 2));
  const ticks = Array.from({ length: Math.floor(span / step) + 1 }, (_, each) => each * step);
  const height = TOP + plan.devices.length * ROW;
  return html`<div ref=${place}><svg width=${full} height=${height + 6} role="group" aria-label="Timeline of the plan">
    <g transform=${`translate(${names}, 0)`}>
      ${ticks.map((each) => html`<g>
        <line class=${each ? "grid" : "now"} x1=${x(when + each)} x2=${x(when + each)} y1=${TOP - 5} y2=${height} />
        <text class=${each ? "" : "ink"} x=${x(when + each)} y="13" text-anchor="middle">${each ? `+${tick(each)}` : "now"}</text></g>`)}
    </g>
    ${plan.devices.map((/** @type {any} */ device, /** @type {number} */ row) => html`<g key=${device.device}>
      <text class="ink" x=${names - 14} y=${TOP + row * ROW + ROW / 2 + 4} text-anchor="end">${ends(device.device, names - 14)}<title>${device.device}</title></text>
      <g transform=${`translate(${names}, 0)`}>
        ${device.bars.map((/** @type {any} */ bar) => html`<${Bar} key=${bar.task + bar.kind} bar=${bar} y=${TOP + row * ROW} x=${x} width=${width} when=${when} />`)}
      </g></g>`)}
  </svg></div>`;
}

export function Plan() {
  const [offset, setOffset] = useState(0);
  const [search, setSearch] = useState("");
  const { data: plan, error } = useView(`api/plan${query({ offset, limit: SIZE, search })}`, 1000);
  return html`
    <div class="lead"><h2>Plan</h2>
      <p>Running tasks, and where each pending task will start. The plan is recomputed at every event; a task may wait for a faster device.</p></div>
    ${!plan ? html`<${Waiting} error=${error} />` : html`
    <div class="tools">
      <div class="key grow">
        <span><i class="running"></i>${count(plan.running)} running</span>
        <span><i class="planned"></i>${count(plan.planned)} planned</span>
        <span><i class="late"></i>longer than predicted</span>
        ${plan.unplanned > 0 && html`<span>${count(plan.unplanned)} unschedulable</span>`}
      </div>
      <${Search} label="Find a device" value=${search} onInput=${(/** @type {string} */ text) => (setSearch(text), setOffset(0))} />
    </div>
    <div class="panel">
      ${plan.devices.length ? html`<div class="pad"><${Lines} plan=${plan} /></div>` : html`<p class="empty">${search ? "No matching device has tasks." : "No tasks are running or pending."}</p>`}
      <${Pager} offset=${offset} size=${SIZE} of=${plan.matching} what="devices with tasks" onMove=${setOffset} />
    </div>`}`;
}
