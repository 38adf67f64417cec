// @ts-check
/** The task list, newest first. */
import { html, useState } from "./h.js";
import { now, query, useView } from "./data.js";
import { ago, count, off, seconds, short } from "./format.js";
import { Interval, Pager, Phase, Search, taskLink, Waiting } from "./parts.js";

const SIZE = 25;
const PHASES = ["Pending", "Queued", "Scheduled", "Running", "Succeeded", "Failed"];

/** @param {{task: any}} props */
const Row = ({ task }) => html`<tr>
  <td><a class="name" href=${taskLink(task.task)}>${short(task.task)}</a><span class="sub name">${task.model}</span></td>
  <td><${Phase} phase=${task.phase} /></td>
  <td class="mid"><span class="name">${task.device || task.node || html`<span class="faint">–</span>`}</span></td>
  <td class="num mid">${task.predictedSeconds === null ? html`<span class="faint">–</span>` : html`
    ${seconds(task.predictedSeconds)}<span class="sub"><${Interval} low=${task.lowSeconds} high=${task.highSeconds} /></span>`}</td>
  <td class="num">${task.observedSeconds === null ? html`<span class="faint">–</span>` : html`
    ${seconds(task.observedSeconds)}<span class="sub">${off(task.predictedSeconds, task.observedSeconds)}</span>`}</td>
  <td class="num soft wide">${ago(task.createdAt, now())}</td>
</tr>`;

export function Tasks() {
  const [phase, setPhase] = useState("");
  const [search, setSearch] = useState("");
  const [offset, setOffset] = useState(0);
  const { data: list, error } = useView(`api/tasks${query({ phase, search, offset, limit: SIZE })}`);
  const choose = (/** @type {string} */ each) => (setPhase(each), setOffset(0));
  const of = list ? list.phases : {};
  const total = Object.values(of).reduce((sum, each) => sum + each, 0);
  return html`
    <div class="lead"><h2>Tasks</h2><p>Latencies are of one inference. Open a task for the reasons of its placement.</p></div>
    <div class="tools">
      <div class="segments" role="group" aria-label="Phase">
        <button aria-pressed=${phase === ""} onClick=${() => choose("")}>All ${count(total)}</button>
        ${PHASES.filter((each) => of[each]).map((each) => html`
          <button aria-pressed=${phase === each} onClick=${() => choose(each)}>${each} ${count(of[each])}</button>`)}
      </div>
      <span class="grow"></span>
      <${Search} label="Find a task, model or node" value=${search} onInput=${(/** @type {string} */ text) => (setSearch(text), setOffset(0))} />
    </div>
    ${!list ? html`<${Waiting} error=${error} />` : html`<div class="panel">
      ${!list.matching ? html`<p class="empty">${total ? "No matching tasks." : "There are no tasks yet."}</p>` : html`
      <div class="scroll"><table>
        <thead><tr><th>Task</th><th>Phase</th><th class="mid">Device</th><th class="num mid">Predicted</th><th class="num">Observed</th><th class="num wide">Created</th></tr></thead>
        <tbody>${list.tasks.map((/** @type {any} */ each) => html`<${Row} key=${each.task} task=${each} />`)}</tbody>
      </table></div>`}
      <${Pager} offset=${offset} size=${SIZE} of=${list.matching} what="tasks" onMove=${setOffset} />
    </div>`}`;
}
