// @ts-check
/** Requests to the extender: views are polled while the page is visible. */
import { useEffect, useRef, useState } from "./h.js";

export const EVERY_MS = 2000;

let skew = 0;
/** Time of the extender's clock, in seconds since the epoch. */
export const now = () => Date.now() / 1000 + skew;

/** @type {Set<(when: number | null) => void>} */
const watchers = new Set();
/** Subscribe to responses: called with their time, or null after a failed request. @param {(when: number | null) => void} watcher */
export function onResponse(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

/**
 * Request a path once.
 * @param {string} path
 * @param {AbortSignal} signal
 */
async function request(path, signal) {
  try {
    const answer = await fetch(path, { signal });
    const date = Date.parse(answer.headers.get("date") ?? "");
    if (date) skew = Math.abs(date - Date.now()) < 2000 ? 0 : (date - Date.now()) / 1000;
    const body = await answer.json();
    for (const each of watchers) each(Date.now());
    return { body, tag: answer.headers.get("etag"), ok: answer.ok };
  } catch (error) {
    if (!signal.aborted) for (const each of watchers) each(null);
    throw error;
  }
}

/**
 * A view that is polled: `data` is null until the first response; `error` is the extender's message.
 * The data of the previous path stay until the new ones arrive, to avoid flicker.
 * @param {string} path
 * @param {number} [every] milliseconds; 0: no polling
 * @returns {{data: any, error: string | null}}
 */
export function useView(path, every = EVERY_MS) {
  const [view, setView] = useState(/** @type {{data: any, error: string | null}} */ ({ data: null, error: null }));
  const tag = useRef(/** @type {string | null} */ (null));
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    tag.current = null;
    const next = async () => {
      clearTimeout(timer);
      if (document.hidden) return;
      try {
        const answer = await request(path, stop.signal);
        if (!answer.ok) setView({ data: null, error: answer.body.detail });
        else if (answer.tag === null || answer.tag !== tag.current) setView({ data: answer.body, error: null });
        tag.current = answer.tag;
      } catch {
        if (stop.signal.aborted) return;
      }
      if (every) timer = setTimeout(next, every);
    };
    next();
    document.addEventListener("visibilitychange", next);
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", next);
    };
  }, [path, every]);
  return view;
}

/** Width of the content before layout, from the figures of the style sheet. */
export const likelyWidth = () => Math.min(innerWidth, 1240) - (innerWidth > 640 ? 48 : 28);

/**
 * The current width of an element in pixels.
 * @param {number} first width until it is measured
 */
export function useWidth(first) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const [width, setWidth] = useState(first);
  useEffect(() => {
    const element = place.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.round(entry.contentRect.width)));
    observer.observe(element);
    return () => observer.disconnect();
  }, [place.current]);
  return /** @type {const} */ ([place, width]);
}

/**
 * A path whose parts are names. URLs resolve "." and "..", encoded or not: encoded twice, they stay parts of the path.
 * @param {string[]} parts
 */
export const pathOf = (...parts) =>
  parts.map((part) => encodeURIComponent(part).replace(/^\.{1,2}$/, (dots) => dots.replaceAll(".", "%252E"))).join("/");

/** @param {Record<string, string | number | undefined>} values */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : "";
}
