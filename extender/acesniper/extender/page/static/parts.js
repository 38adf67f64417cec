// @ts-check
/** Components shared by several views. */
import { html, useEffect } from "./h.js";
import { count, seconds } from "./format.js";

/** @param {{text: string, kind?: string}} props */
export const Tag = ({ text, kind = "" }) => html`<span class=${`tag ${kind}`}><i></i>${text}</span>`;

const KINDS = /** @type {Record<string, string>} */ ({ Running: "good", Succeeded: "done", Failed: "warn" });
/** @param {{phase: string}} props */
export const Phase = ({ phase }) => html`<${Tag} text=${phase} kind=${KINDS[phase] ?? "idle"} />`;

/**
 * @param {{label: string, value: string, onInput: (text: string) => void}} props
 */
export const Search = ({ label, value, onInput }) => html`
  <input type="search" placeholder=${label} aria-label=${label} value=${value}
    onInput=${(/** @type {any} */ event) => onInput(event.target.value)} />`;

/**
 * Page controls of a list; goes back to the last page when the list has become shorter.
 * @param {{offset: number, size: number, of: number, what: string, onMove: (offset: number) => void}} props
 */
export function Pager({ offset, size, of, what, onMove }) {
  const last = Math.max(Math.ceil(of / size) - 1, 0) * size;
  useEffect(() => {
    if (offset > last) onMove(last);
  }, [offset, last]);
  if (of <= size) return null;
  return html`<div class="pager">
    <span>${count(offset + 1)} to ${count(Math.min(offset + size, of))} of ${count(of)} ${what}</span>
    <button disabled=${offset === 0} onClick=${() => onMove(Math.max(offset - size, 0))}>Previous</button>
    <button disabled=${offset + size >= of} onClick=${() => onMove(offset + size)}>Next</button>
  </div>`;
}

/** @param {{low: number | null, high: number | null}} props */
export const Interval = ({ low, high }) =>
  low === null || high === null ? null : html`<span class="soft small">${seconds(low)} to ${seconds(high)}</span>`;

/** @param {{error: string | null}} props */
export const Waiting = ({ error }) => html`<div class="panel empty">${error ?? "Loading …"}</div>`;

/** @param {string} task */
export const taskLink = (task) => `#/task/${task}`;
