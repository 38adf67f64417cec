// @ts-check
/** The fleet view: totals, and every device with its speed, backlog and health. */
import { html, useState } from "./h.js";
import { now, query, useView } from "./data.js";
import { ago, count, percent, seconds, times } from "./format.js";
import { Pager, Search, Tag, Waiting } from "./parts.js";

const SIZE = 25;

/** @param {{summary: any}} props */
function Numbers({ summary: { fleet, queue, accuracy } }) {
  const numbers = [
    ["Devices ready", count(fleet.ready), `of ${count(fleet.devices)}`],
    ["Busy", percent(fleet.devices ? fleet.busy / fleet.devices : null), `${count(fleet.busy)} devices`],
    ["Backlog", seconds(fleet.backlogSeconds), ""],
    ["Pending tasks", count(queue.waiting), queue.overdue ? `${count(queue.overdue)} overdue` : ""],
    ["Oldest pending", queue.oldestCreatedAt ? seconds(Math.max(now() - queue.oldestCreatedAt, 0)) : "–", ""],
    ["Median error", percent(accuracy.medianErrorRatio), accuracy.tasks ? `${percent(accuracy.insideRatio)} in interval` : ""],
  ];
  return html`<dl class="panel numbers">
    ${numbers.map(([name, value, more]) => html`<div><dt>${name}</dt><dd>${value} <small>${more}</small></dd></div>`)}
  </dl>`;
}

/** @param {{text: string, share: number, kind?: string}} props */
const Meter = ({ text, share, kind = "" }) => html`<div class=${`meter ${kind}`}>
  <b>${text}</b><span><i style=${{ width: `${Math.min(100 * share, 100)}%` }}></i></span>
</div>`;

/** @param {{device: any}} props */
function Health({ device }) {
  if (!device.ready) return html`<${Tag} text="Unschedulable" kind="warn" />`;
  if (device.problems.length) return html`<${Tag} text=${device.problems.join(", ")} kind="warn" />`;
  return html`<${Tag} text=${device.taken ? "Busy" : "Idle"} kind=${device.taken ? "good" : "idle"} />`;
}

/** @param {{list: any, device: any}} props */
const Row = ({ list, device }) => html`<tr>
  <td><span class="name">${device.device}</span><span class="sub name mid">${device.text ?? device.node}</span></td>
  <td class="mid">${device.provider}<span class="sub name">${device.node}</span></td>
  <td>${device.speed === null ? html`<span class="faint">not predicted</span>` : html`
    <${Meter} text=${times(device.speed)} share=${device.speed / list.fastest} />`}</td>
  <td><${Meter} kind="backlog" text=${device.backlogSeconds ? seconds(device.backlogSeconds) : "–"}
    share=${list.longestSeconds ? device.backlogSeconds / list.longestSeconds : 0} /></td>
  <td><${Health} device=${device} /></td>
  <td class="wide soft">${device.calibration ?? "–"}</td>
  <td class="wide num soft">${ago(device.measuredAt, now())}</td>
</tr>`;

export function Fleet() {
  const [search, setSearch] = useState("");
  const [[sort, order], setSort] = useState(["backlog", "desc"]);
  const [offset, setOffset] = useState(0);
  const summary = useView("api/summary").data;
  const { data: list, error } = useView(`api/fleet${query({ search, sort, order, offset, limit: SIZE })}`);
  /** @param {{name: string, by: string, kind?: string}} props */
  const Head = ({ name, by, kind = "" }) => {
    const turned = sort === by ? (order === "desc" ? "asc" : "desc") : by === "name" ? "asc" : "desc";
    const sorted = sort === by ? (order === "desc" ? "descending" : "ascending") : undefined;
    return html`<th class=${kind} aria-sort=${sorted}>
      <button onClick=${() => (setSort([by, turned]), setOffset(0))}>${name}</button></th>`;
  };
  return html`
    ${summary && html`<${Numbers} summary=${summary} />`}
    <div class="tools">
      <h2 class="grow">Devices</h2>
      <${Search} label="Find a device or node" value=${search} onInput=${(/** @type {string} */ text) => (setSearch(text), setOffset(0))} />
    </div>
    ${!list ? html`<${Waiting} error=${error} />` : html`<div class="panel">
      ${!list.matching ? html`<p class="empty">${search ? "No matching devices." : "No device has been probed yet."}</p>` : html`
      <div class="scroll"><table>
        <thead><tr>
          <${Head} name="Device" by="name" /><th class="mid">Provider</th>
          <${Head} name="Speed" by="speed" /><${Head} name="Backlog" by="backlog" /><${Head} name="Health" by="health" />
          <th class="wide">Observed / predicted</th><${Head} name="Last probe" by="measured" kind="wide num" />
        </tr></thead>
        <tbody>${list.devices.map((/** @type {any} */ each) => html`<${Row} key=${each.device} list=${list} device=${each} />`)}</tbody>
      </table></div>`}
      <${Pager} offset=${offset} size=${SIZE} of=${list.matching} what="devices" onMove=${setOffset} />
    </div>`}
    <p class="soft small" style=${{ marginTop: "10px" }}>Speed is relative to the mean of the fleet over all profiled models: a device at 2 × needs half the time.</p>`;
}
