// @ts-check
/** The view of one task: its candidates with the terms of their finish time, and its result. */
import { html } from "./h.js";
import { pathOf, useView, useWidth } from "./data.js";
import { count, off, seconds, tick } from "./format.js";
import { timeStep } from "./scale.js";
import { Phase, Waiting } from "./parts.js";

const TERMS = /** @type {const} */ ([
  ["backlog", "backlogSeconds", "wait for a slot"],
  ["cold", "coldStartSeconds", "container and model start"],
  ["transfer", "transferSeconds", "transfer of the model file"],
  ["run", "runSeconds", "inferences"],
]);
const ROW = 58;
const TOP = 24;

/** @param {{candidates: any[]}} props */
function Candidates({ candidates }) {
  const [place, full] = useWidth(900);
  const after = 70;
  const width = Math.max(full - after, 160);
  const late = (/** @type {any} */ each) => each.finishSeconds - each.runSeconds + each.inferences * each.highSeconds;
  const span = Math.max(...candidates.map(late)) * 1.02;
  const x = (/** @type {number} */ value) => (value / span) * width;
  const step = timeStep(span, Math.max(width / 100, 2));
  const ticks = Array.from({ length: Math.floor(span / step) + 1 }, (_, each) => each * step);
  const height = TOP + candidates.length * ROW;
  return html`<div ref=${place}><svg width=${full} height=${height} role="group" aria-label="Finish time of each candidate, term by term">
    ${ticks.map((each) => html`<g><line class="grid" x1=${x(each)} x2=${x(each)} y1=${TOP - 6} y2=${height} />
      <text x=${x(each)} y="13" text-anchor=${each ? "middle" : "start"}>${each ? tick(each) : "decision"}</text></g>`)}
    ${candidates.map((each, row) => {
      const y = TOP + row * ROW;
      let from = 0;
      const bars = TERMS.map(([kind, name, text]) => {
        const bar = html`<rect class=${kind} x=${x(from)} y=${y + 24} width=${Math.max(x(each[name]), 0)} height="18"><title>${text}: ${seconds(each[name])}</title></rect>`;
        from += each[name];
        return bar;
      });
      const before = each.finishSeconds - each.runSeconds;
      const [low, high] = [before + each.inferences * each.lowSeconds, before + each.inferences * each.highSeconds];
      const middle = y + 33;
      return html`<g role="img" aria-label=${`${each.device}: finish in ${seconds(each.finishSeconds)}`}>
        <text class="ink" x="0" y=${y + 17} style=${{ fontWeight: row ? 450 : 650 }}>${each.device}${each.device === each.node ? "" : ` on ${each.node}`}${row ? "" : " · chosen"}</text>
        <g class=${row ? "rest" : ""}>${bars}</g>
        <g class="whisker"><line x1=${x(low)} x2=${x(high)} y1=${middle} y2=${middle} /><line x1=${x(low)} x2=${x(low)} y1=${middle - 5} y2=${middle + 5} />
          <line x1=${x(high)} x2=${x(high)} y1=${middle - 5} y2=${middle + 5} /></g>
        <text class="ink" x=${x(high) + 8} y=${middle + 4} style=${{ fontWeight: row ? 450 : 650 }}>${seconds(each.finishSeconds)}</text>
      </g>`;
    })}
  </svg></div>`;
}

/** @param {{decision: any}} props */
function Decision({ decision }) {
  const [chosen, ...others] = decision.candidates;
  const sooner = others.find((/** @type {any} */ each) => each.finishSeconds < chosen.finishSeconds * 0.995);
  const refused = Object.entries(decision.refused ?? {});
  return html`
    <section class="panel pad stack">
      <div class="lead split" style=${{ marginBottom: 0 }}><h3>Reasons for the placement</h3>
        <div class="key">${TERMS.map(([kind, , text]) => html`<span><i class=${kind}></i>${text}</span>`)}<span><i class="whisker"></i>90 % interval</span></div></div>
      <${Candidates} candidates=${decision.candidates} />
      ${sooner && html`<p class="note">${sooner.device} would have finished this task sooner; ${decision.policy} reserves it for tasks that gain more from it.</p>`}
    </section>
    <section class="panel"><div class="scroll"><table>
      <thead><tr><th>Device</th><th class="num">Backlog</th><th class="num">Cold start</th><th class="num">Transfer</th>
        <th class="num">Inferences × latency</th><th class="num">90 % interval</th><th class="num">Finish</th></tr></thead>
      <tbody>${decision.candidates.map((/** @type {any} */ each) => html`<tr>
        <td><span class="name">${each.device}</span><span class="sub name">${each.node}</span></td>
        ${["backlogSeconds", "coldStartSeconds", "transferSeconds"].map((name) => html`<td class="num">${each[name] > 0 ? seconds(each[name]) : "–"}</td>`)}
        <td class="num">${count(each.inferences)} × ${seconds(each.latencySeconds)}</td>
        <td class="num soft">${seconds(each.lowSeconds)} to ${seconds(each.highSeconds)}</td>
        <td class="num"><b>${seconds(each.finishSeconds)}</b></td></tr>`)}
      </tbody></table></div></section>
    ${refused.length > 0 && html`<section class="panel"><div class="scroll"><table>
      <thead><tr><th>Infeasible device</th><th>Reason</th></tr></thead>
      <tbody>${refused.map(([device, reason]) => html`<tr><td><span class="name">${device}</span></td><td class="soft">${reason}</td></tr>`)}</tbody>
    </table></div></section>`}`;
}

/** @param {{task: any}} props */
function Outcome({ task: { predicted, observed } }) {
  const pairs = [
    ["One inference", predicted.latencySeconds, observed?.latencyMedianSeconds],
    ["Wait", predicted.waitSeconds, observed?.waitSeconds],
    ["Cold start", predicted.coldStartSeconds, observed?.loadSeconds === undefined ? undefined
      : (observed.containerSeconds ?? 0) + (observed.fetchSeconds ?? 0) + observed.loadSeconds],
  ];
  return html`<section class="panel"><div class="scroll"><table>
    <thead><tr><th>Result</th><th class="num">Predicted</th><th class="num">Observed</th><th class="num">Error</th></tr></thead>
    <tbody>${pairs.map(([name, expected, seen]) => html`<tr><td>${name}</td><td class="num">${seconds(expected)}</td>
      <td class="num">${seconds(seen)}</td><td class="num soft">${seen !== undefined && expected > 0 ? off(expected, seen) : "–"}</td></tr>`)}</tbody>
  </table></div></section>`;
}

/** @param {{planned: any}} props */
const Planned = ({ planned }) => html`<section class="panel pad"><p class="note">Planned for <b>${planned.device}</b>, to start
  in ${seconds(planned.startsInSeconds)} and to run for ${seconds(planned.busySeconds)}, behind ${count(planned.before)} other tasks. The reasons are recorded when it starts.</p></section>`;

/** @param {{namespace: string, name: string}} props */
export function Task({ namespace, name }) {
  const path = pathOf("api", "tasks", namespace, name);
  const { data: task, error } = useView(path, 5000);
  if (!task) return html`<p class="tools"><a href="#/tasks">← Tasks</a></p><${Waiting} error=${error} />`;
  const facts = [
    ["Model", task.model],
    ["Inferences", count(task.inferences)],
    ["Deadline", task.deadline],
    ["Device", task.device ?? task.node],
    ["Policy", task.decision?.policy],
    ["Attempts", task.attempts ? count(task.attempts) : null],
  ].filter(([, value]) => value);
  return html`
    <p class="tools"><a href="#/tasks">← Tasks</a></p>
    <div class="lead split"><h2>${name} <span class="soft" style=${{ fontWeight: 400 }}>in ${namespace}</span></h2><${Phase} phase=${task.phase} /></div>
    <div class="stack">
      <section class="panel pad"><dl class="facts">${facts.map(([label, value]) => html`<div><dt>${label}</dt><dd>${value}</dd></div>`)}</dl>
        ${task.message && html`<p class="soft" style=${{ marginTop: "10px" }}>${task.message}</p>`}
        ${task.waiting && html`<p class="soft">The planner: ${task.waiting}.</p>`}</section>
      ${task.decision ? html`<${Decision} decision=${task.decision} />` : task.planned ? html`<${Planned} planned=${task.planned} />`
        : html`<section class="panel empty">${task.phase === "Succeeded" || task.phase === "Failed" || task.phase === "Running"
          ? "The task was scheduled without a latency prediction." : "No decision yet."}</section>`}
      ${task.predicted && html`<${Outcome} task=${task} />`}
    </div>`;
}
